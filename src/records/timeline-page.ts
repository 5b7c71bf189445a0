import { printable } from '../dockerfile/characters.ts'
import { formatSeconds } from '../progress/quantities.ts'
import type { BuildRecord, ExplainedStep, RecordEnd } from './record.ts'
import type { Cost, Span, Timeline } from './timeline.ts'

/**
 * A timeline as one HTML file that needs nothing else: no script, no font, no server. All text of the build is hostile
 * and escaped.
 */
export function renderTimelinePage(record: BuildRecord, timeline: Timeline): string {
  const { name, id, createdAt, context, dockerfile, status, end } = record
  const title = `${name} · ${formatTime(timeline.duration)}`
  const steps = new Map((end?.steps ?? []).map((step) => [step.id, step]))
  const facts = [
    ['Build', id],
    ['Started', new Date(createdAt).toISOString()],
    ['Status', status],
    ['Context', context],
    ['Dockerfile', dockerfile],
    ...(end === undefined ? [] : [['Steps', stepsText(end)]]),
    ...(end?.imageId === undefined ? [] : [['Image', end.imageId]]),
    ...(end?.error === undefined ? [] : [['Error', end.error.message]]),
  ]
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escape(title)}</title>
<style>${style}</style>
<h1>${escape(name)} <small>${formatTime(timeline.duration)}</small></h1>
<dl>${facts.map(([term = '', text = '']) => `<dt>${escape(term)}<dd>${escape(text)}`).join('')}</dl>
<p class="legend"><i class="done"></i>ran <i class="cached"></i>cached <i class="failed"></i>failed <i class="canceled"></i>stopped
<i class="critical"></i>on the critical path</p>
<section class="chart">
${axis(timeline.duration)}
${timeline.spans.map((span) => row(span, steps.get(span.id), timeline.duration)).join('\n')}
</section>
${costs(timeline.costs)}
</html>
`
}

function stepsText({ total, cached, steps }: RecordEnd): string {
  const unreached = steps.filter(({ outcome }) => outcome === 'unreached').length
  return `${total}, ${cached} from the cache${unreached === 0 ? '' : `; ${unreached} not reached`}`
}

function row(span: Span, step: ExplainedStep | undefined, total: number): string {
  const { name, start, end, outcome, reason, isCritical, logTail } = span
  const left = percent(start, total)
  const width = percent(end - start, total)
  const spent = outcome === 'cached' ? 'cached' : formatTime(end - start)
  const details = [
    ...(reason === undefined ? [] : [`<p>rebuilt: ${escape(reason)}`]),
    ...(step?.advice ?? []).map((text) => `<p>advice: ${escape(text)}`),
    ...(logTail.length === 0 ? [] : [`<pre>${escape(logTail.join('\n'))}</pre>`]),
  ]
  const bar = `<span class="lane"><b class="${outcome}${isCritical ? ' critical' : ''}" style="left:${left};width:max(2px,${width})"></b></span>`
  const line = `<span class="name" title="${escape(name)}">${escape(name)}</span>${bar}<span class="time">${spent}</span>`
  return details.length === 0
    ? `<div class="row">${line}</div>`
    : `<details><summary class="row">${line}</summary>${details.join('')}</details>`
}

function axis(total: number): string {
  const marks = Array.from({ length: 5 }, (_, index) => {
    const at = (total * index) / 4
    return `<em style="left:${percent(at, total)}">${formatTime(at)}</em>`
  })
  return `<div class="row axis"><span class="name"></span><span class="lane">${marks.join('')}</span><span class="time"></span></div>`
}

function costs(list: readonly Cost[]): string {
  if (list.length === 0) return ''
  const rows = list.map(
    ({ cause, steps, spent, gain }) =>
      `<tr><td>${escape(cause)}<td title="${escape(steps.join('\n'))}">${steps.length}<td>${formatTime(spent)}<td>${formatTime(gain)}`,
  )
  return `<h2>What ran again, and why</h2>
<table><tr><th>cause<th>steps<th>time<th>shorter without it${rows.join('')}</table>`
}

/** `85ms`, `1.2s`: most steps are short. */
function formatTime(milliseconds: number): string {
  return milliseconds < 1000 ? `${Math.round(milliseconds)}ms` : formatSeconds(milliseconds)
}

function percent(part: number, whole: number): string {
  return `${whole <= 0 ? 0 : Math.min(100, (part / whole) * 100).toFixed(3)}%`
}

/** Text that is shown as what it is: no markup, no colours of a terminal, nothing that turns the direction of writing. */
function escape(text: string): string {
  const plain = printable(Bun.stripANSI(text)).replaceAll(/[\u202a-\u202e\u2066-\u2069]/g, '\ufffd')
  return Bun.escapeHTML(plain)
}

const style = `
:root{color-scheme:light dark;--line:#8884;--done:#3b82f6;--cached:#9ca3af;--failed:#dc2626;--canceled:#d97706}
body{font:14px/1.4 system-ui,sans-serif;margin:2em}
h1{overflow-wrap:anywhere}h1 small{font-weight:normal;color:#888}
dl{display:grid;grid-template-columns:max-content auto;gap:0 1em}dt{color:#888}dd{margin:0;overflow-wrap:anywhere}
.row{display:grid;grid-template-columns:minmax(12em,30%) 1fr 5em;gap:1em;align-items:center;border-top:1px solid var(--line);padding:2px 0}
details summary{list-style:none;cursor:pointer}summary .name::before{content:"▸ "}details[open] .name::before{content:"▾ "}details>p,details>pre{margin:.3em 0 .3em 2em;overflow-x:auto}
.name{white-space:nowrap;overflow:hidden;text-overflow:ellipsis}.time{text-align:right;font-variant-numeric:tabular-nums}
.lane{position:relative;height:1.2em}.lane b{position:absolute;height:100%;border-radius:2px}
.axis em{position:absolute;font-style:normal;color:#888;font-size:12px}
.done,.running{background:var(--done)}.cached{background:var(--cached)}.failed{background:var(--failed)}.canceled{background:var(--canceled)}
b.critical,i.critical{outline:2px solid #f59e0b}
.legend i{display:inline-block;width:1em;height:.8em;margin:0 .3em 0 1em}
table{border-collapse:collapse}td,th{padding:.2em .8em;border-top:1px solid var(--line);text-align:left;vertical-align:top}
`
