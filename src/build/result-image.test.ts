import { describe, expect, test } from 'bun:test'
import { digestOf } from '../oci/digest.ts'
import { parsePlatform } from '../oci/platform.ts'
import type { BuildPlan } from './graph.ts'
import type { PackedLayer } from './layer.ts'
import { resultConfig } from './result-image.ts'

const now = new Date('2030-01-01T00:00:00.000Z')
const time = (minute: number): string => `2025-01-01T00:${String(minute).padStart(2, '0')}:00.000Z`

function layer(name: string, createdAt: string): PackedLayer {
  return { diffId: digestOf(name), size: 1, contentDigest: digestOf(name), createdAt }
}

/** `-` stands for an entry without a layer, `+` for one with; those before `|` are the base image's. */
function plan(entries: string, epoch?: number): BuildPlan {
  const inheritedHistory = entries.indexOf('|')
  const history = Array.from(entries.replace('|', ''), (kind, index) => ({
    created_by: `${index}`,
    ...(kind === '-' ? { empty_layer: true } : {}),
    ...(index < inheritedHistory ? { created: `2020-01-0${index + 1}T00:00:00Z` } : {}),
  }))
  const config = { architecture: 'amd64', os: 'linux', history, rootfs: { type: 'layers' as const, diff_ids: [] } }
  return {
    ops: [],
    target: undefined,
    wanted: [],
    config,
    inheritedHistory,
    platform: parsePlatform('linux/amd64'),
    epoch,
    fixedTime: undefined,
    warnings: [],
  }
}

const fixedPlan = (entries: string, fixedTime: number): BuildPlan => ({ ...plan(entries), fixedTime })

const times = (entries: string, layers: PackedLayer[], epoch?: number): (string | undefined)[] =>
  resultConfig(plan(entries, epoch), layers, now).history?.map(({ created }) => created) ?? []

const base = layer('base', '')
const [one, two] = [layer('one', time(1)), layer('two', time(2))]

describe('resultConfig()', () => {
  test('gives layers their times and entries without one that of the next layer, else of the last', () => {
    expect(times('+|-+-+-', [base, one, two])).toEqual([
      '2020-01-01T00:00:00Z',
      time(1),
      time(1),
      time(1),
      time(2),
      time(2),
    ])
  })

  test('gives all that is new the fixed time, and the base image its own', () => {
    const config = resultConfig(fixedPlan('+|-+-', 315_532_800), [base, one], now)
    const fixed = '1980-01-01T00:00:00Z'
    expect(config.history?.map(({ created }) => created)).toEqual(['2020-01-01T00:00:00Z', fixed, fixed, fixed])
    expect(config.created).toBe(fixed)
    expect(resultConfig(fixedPlan('|', 315_532_800), [], now).created).toBe(fixed)
  })

  test('leaves the base image its own times and takes the last of them where nothing new has one', () => {
    expect(times('+-|--', [base])).toEqual([
      '2020-01-01T00:00:00Z',
      '2020-01-02T00:00:00Z',
      '2020-01-02T00:00:00Z',
      '2020-01-02T00:00:00Z',
    ])
  })

  test('takes the time of the build where there is no other', () => {
    expect(times('|-', [])).toEqual(['2030-01-01T00:00:00.000Z'])
    expect(resultConfig(plan('|'), [], now).created).toBe('2030-01-01T00:00:00.000Z')
  })

  test('says that the image was made when its last entry was', () => {
    expect(resultConfig(plan('+|+-+', undefined), [base, one, two], now).created).toBe(time(2))
  })

  test('puts new entries back to the epoch, and no others', () => {
    const epoch = Date.parse(time(1)) / 1000 + 30
    expect(times('+|+-+', [base, one, two], epoch)).toEqual([
      '2020-01-01T00:00:00Z',
      time(1),
      time(1),
      '2025-01-01T00:01:30Z',
    ])
    expect(resultConfig(plan('+|+', 0), [base, one], now).created).toBe('1970-01-01T00:00:00Z')
  })

  test('lists the layers', () => {
    expect(resultConfig(plan('+|+'), [base, one], now).rootfs).toEqual({
      type: 'layers',
      diff_ids: [base.diffId, one.diffId],
    })
  })
})
