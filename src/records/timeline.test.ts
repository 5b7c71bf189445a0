import { describe, expect, test } from 'bun:test'
import type { Digest } from '../oci/digest.ts'
import type { BuildRecord, ExplainedStep, RecordEnd, RecordItem } from './record.ts'
import { buildTimeline, type Timeline } from './timeline.ts'
import { renderTimelinePage } from './timeline-page.ts'

/** Name → beginning and end in milliseconds, and what it needs; without that what it waited for is not told. */
type Run = readonly [name: string, start: number, end: number, inputs?: readonly string[]]

const began = 1_700_000_000_000

function recordOf(
  end: number,
  steps: readonly ExplainedStep[] = [],
  name = 'app',
): BuildRecord & { readonly end: RecordEnd } {
  return {
    id: 'a'.repeat(25),
    name,
    createdAt: began,
    context: '/app',
    dockerfile: 'Dockerfile',
    platforms: [],
    buildArgs: [],
    tags: [],
    cairnVersion: '1',
    status: 'completed',
    end: { completedAt: began + end, status: 'completed', steps, total: steps.length, cached: 0 },
  }
}

async function* itemsOf(runs: readonly Run[], log = ''): AsyncGenerator<RecordItem> {
  const vertex = ([id, , , inputs]: Run): object => ({ type: 'vertex', id, name: id, ...(inputs && { inputs }) })
  for (const run of runs) yield { kind: 'event', event: vertex(run) as never }
  for (const run of runs) {
    const started = { ...vertex(run), started: began + run[1] }
    yield { kind: 'event', event: started as never }
    const data = new TextEncoder().encode(log)
    const timestamp = began + run[1]
    if (log !== '') yield { kind: 'event', event: { type: 'log', vertex: run[0], stream: 1, data, timestamp } }
    yield { kind: 'event', event: { ...started, completed: began + run[2] } as never }
  }
}

async function timelineOf(end: number, runs: readonly Run[]): Promise<Timeline> {
  return await buildTimeline(recordOf(end), itemsOf(runs))
}

const criticalOf = ({ spans }: Timeline): string[] =>
  spans.filter(({ isCritical }) => isCritical).map(({ name }) => name)

describe('buildTimeline()', () => {
  test('follows the critical path from the end of the build to its beginning, through what has no inputs', async () => {
    const timeline = await timelineOf(1000, [
      ['load', 0, 20],
      ['metadata', 20, 100],
      ['base', 100, 100, []],
      ['slow', 100, 700, ['base']],
      ['fast', 100, 300, ['base']],
      ['copy', 700, 800, ['slow', 'fast']],
      ['export', 800, 990],
    ])
    expect(criticalOf(timeline)).toEqual(['load', 'metadata', 'base', 'slow', 'copy', 'export'])
    expect(timeline.duration).toBe(1000)
    const spent = timeline.spans.filter(({ isCritical }) => isCritical).map(({ start, end }) => end - start)
    expect(spent.reduce((sum, time) => sum + time, 0)).toBe(990)
  })

  test('ends the path of a build that failed with what failed, whatever was stopped after it', async () => {
    const items = async function* (): AsyncGenerator<RecordItem> {
      for await (const item of itemsOf([
        ['base', 0, 10, []],
        ['stopped', 10, 500, ['base']],
        ['failed', 10, 490, ['base']],
      ])) {
        const event = item.kind === 'event' && item.event.type === 'vertex' ? item.event : undefined
        const error = event?.id === 'failed' ? 'exit code: 1' : event?.id === 'stopped' ? 'context canceled' : undefined
        yield event?.completed === undefined || error === undefined
          ? item
          : { kind: 'event', event: { ...event, error } }
      }
    }
    const timeline = await buildTimeline(recordOf(510), items())
    expect(timeline.spans.map(({ outcome }) => outcome)).toEqual(['done', 'canceled', 'failed'])
    expect(criticalOf(timeline)).toEqual(['base', 'failed'])
  })

  test('takes neither steps side by side nor one that needs itself for a path', async () => {
    const timeline = await timelineOf(500, [
      ['a', 0, 500, ['b']],
      ['b', 0, 400, ['a']],
      ['c', 0, 300],
    ])
    expect(criticalOf(timeline)).toEqual(['a'])
  })

  test('tells what a cause cost: not more than the path is shorter without it', async () => {
    const step = (id: string, path: string): ExplainedStep => ({
      id,
      title: id,
      text: `COPY ${path} /`,
      kind: 'copy',
      stage: '0',
      line: 2,
      inputs: [],
      outcome: 'ran',
      miss: { own: [{ kind: 'file', path, change: 'content' }] },
    })
    const runs: Run[] = [
      ['slow', 0, 600, []],
      ['fast', 0, 500, []],
      ['last', 600, 700, ['slow', 'fast']],
    ]
    const { costs } = await buildTimeline(recordOf(700, [step('slow', 's'), step('fast', 'f')]), itemsOf(runs))
    expect(costs.map(({ steps, spent, gain }) => [...steps, spent, gain])).toEqual([
      ['slow', 600, 100],
      ['fast', 500, 0],
    ])
  })

  test('takes a thousand steps in a row', async () => {
    const runs = Array.from({ length: 1000 }, (_, index): Run => [
      `step ${index}`,
      index * 2,
      index * 2 + 2,
      index === 0 ? [] : [`step ${index - 1}`],
    ])
    const timeline = await timelineOf(2000, runs)
    expect(criticalOf(timeline)).toHaveLength(1000)
    expect(renderTimelinePage(recordOf(2000), timeline).match(/class="row"/g)).toHaveLength(1000)
  })
})

describe('renderTimelinePage()', () => {
  const hostile = `"'><script>alert(1)</script><img src=x onerror=alert(1)>&lt;\u0000\u001b[31m\u202e</style></title>`

  test('shows hostile texts as texts, wherever they stand', async () => {
    const step = {
      id: hostile,
      title: hostile,
      text: hostile,
      kind: 'run',
      stage: hostile,
      line: 1,
      inputs: [],
    } as const
    const causes = [{ kind: 'file', path: hostile, change: 'content' }] as const
    const steps: ExplainedStep[] = [{ ...step, outcome: 'ran', miss: { own: causes }, advice: [hostile] }]
    const record = {
      ...recordOf(100, steps, hostile),
      context: hostile,
      dockerfile: hostile,
      target: hostile,
    }
    const failed = {
      ...record,
      end: { ...recordOf(100, steps).end, error: { code: 'X', message: hostile }, imageId: hostile as Digest },
    }
    const page = renderTimelinePage(failed, await buildTimeline(failed, itemsOf([[hostile, 0, 90, []]], hostile)))
    const elements: string[] = []
    const attributes = new Set<string>()
    await new HTMLRewriter()
      .on('*', {
        element: (element) => {
          elements.push(element.tagName)
          for (const [name] of element.attributes) attributes.add(name)
        },
      })
      .transform(new Response(page))
      .text()
    expect(elements.filter((name) => ['script', 'img', 'iframe', 'svg', 'a', 'form', 'base'].includes(name))).toEqual(
      [],
    )
    expect([...attributes].toSorted()).toEqual([
      'charset',
      'class',
      'content',
      'http-equiv',
      'lang',
      'name',
      'style',
      'title',
    ])
    expect(elements.filter((name) => name === 'style')).toHaveLength(1)
    // oxlint-disable-next-line no-control-regex -- that is what must not be there
    expect(page).not.toMatch(/[\u0000\u001b\u202e]/)
    expect(page).toContain(`default-src 'none'`)
  })
})
