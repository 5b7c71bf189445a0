import type { LayerTree } from '../layers/tree.ts'
import type { DifferenceCause } from './difference-cause.ts'

/** A file that a step made and that has the day in it on which it was made. */
export interface DatedFile extends DifferenceCause {
  /** Absolute. */
  readonly path: string
  /** The day, as the file has it. */
  readonly text: string
}

/** Bytes of a file that is looked at. */
const largestFile = 1 << 20
/** Files of one layer that are told. */
const mostFiles = 20
const millisecondsOfDay = 86_400_000

/**
 * The files of a layer with the time `mtime` (seconds) that say which day `now` is, in UTC: building once more on that day
 * does not show that another day gives other bytes. Files are read.
 */
export function datedFiles(layer: LayerTree, mtime: number, now: Date): readonly DatedFile[] {
  const found: DatedFile[] = []
  const day = dayPattern(now)
  const pending = ['/']
  for (let path = pending.pop(); path !== undefined && found.length < mostFiles; path = pending.pop()) {
    const entry = layer.lookup(path)
    if (path === '/' || entry?.type === 'directory')
      for (const name of layer.list(path)) pending.push(`${path === '/' ? '' : path}/${name}`)
    if (entry?.type !== 'file' || entry.mtimeSeconds !== mtime || entry.size > largestFile) continue
    const content = Buffer.concat([...layer.read(path)].map((piece) => piece.slice())).toString('latin1')
    const dated = /^\/etc\/shadow-?$/.test(path) ? datedAccount(path, content, now) : datedText(path, content, day)
    if (dated !== undefined) found.push(dated)
  }
  return found.toSorted((left, right) => (left.path < right.path ? -1 : 1))
}

/** shadow(5): the third field is the day of the last change. */
function datedAccount(path: string, content: string, now: Date): DatedFile | undefined {
  const day = String(Math.floor(now.getTime() / millisecondsOfDay))
  const line = content.split('\n', 10_000).find((one) => one.split(':')[2] === day)
  if (line === undefined) return undefined
  return {
    path,
    text: `${line.split(':', 1)[0]}:…:${day}`,
    cause: 'an account holds the day of its last change',
    advice:
      'call useradd and its like as SOURCE_DATE_EPOCH=315532800 useradd …, which they take for today; others want a sed of the third field',
  }
}

function datedText(path: string, content: string, day: RegExp): DatedFile | undefined {
  const text = day.exec(content)?.[0]
  if (text === undefined) return undefined
  return {
    path,
    text,
    cause: 'a date',
    advice: 'leave it out, or take it from SOURCE_DATE_EPOCH (ARG SOURCE_DATE_EPOCH, date -d @$SOURCE_DATE_EPOCH)',
  }
}

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

/** A day as programs write it: 2026-11-22, 20261122, 22 Nov 2026, Nov 22, 2026, `Nov 22 10:11:12 UTC 2026`. */
function dayPattern(now: Date): RegExp {
  const [year = '', month = '', day = ''] = now.toISOString().slice(0, 10).split('-')
  const name = months[now.getUTCMonth()] ?? ''
  const number = `0?${Number(day)}`
  const forms = [
    `${year}(?<between>[-/.]?)${month}\\k<between>${day}(?!\\d{1,3}(?!\\d))`,
    `${number} ${name}[a-z]* ${year}(?!\\d)`,
    `${name}[a-z]* +${number},? (?:[\\d:]{5,8} (?:[A-Z]{3,4} )?)?${year}(?!\\d)`,
  ]
  return new RegExp(`(?<![\\w.])(?:${forms.join('|')})`)
}
