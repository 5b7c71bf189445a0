import { type CairnError, usageError } from '../errors/error.ts'
import type { TarLimits } from '../tar/limits.ts'
import { defaultTarLimits } from '../tar/limits.ts'

/** Bounds on archives and layers that come in from outside: what none may pass, whatever command reads it. */
export interface ContentLimits {
  /** Bytes that one layer or archive may unpack to. */
  readonly layerBytes: number
  /** Bytes that all layers of one image may unpack to. */
  readonly imageBytes: number
  /** How many times its own size compressed data may unpack to, past its first 64 MiB of output. */
  readonly ratio: number
  /** Members of a layer, length and depth of their paths, holes in its files. */
  readonly tar: Partial<TarLimits>
  /** Whether a layer may have members with an absolute path. They are never taken for paths of the host. */
  readonly absolutePaths: 'refuse' | 'allow'
}

export const defaultLimits: ContentLimits = {
  layerBytes: 256 * 1024 ** 3,
  imageBytes: 1024 ** 4,
  ratio: 250,
  tar: {},
  absolutePaths: 'refuse',
}

const byteUnits: Readonly<Record<string, number>> = { '': 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 }

type Draft = { -readonly [Key in keyof ContentLimits]: ContentLimits[Key] }

/** Name in `CAIRN_LIMITS` → what it sets. */
const settings: Readonly<Record<string, (limits: Draft, value: number) => void>> = {
  'layer-bytes': (limits, value) => void (limits.layerBytes = value),
  'image-bytes': (limits, value) => void (limits.imageBytes = value),
  ratio: (limits, value) => void (limits.ratio = value),
  entries: (limits, value) => setTar(limits, { entries: value }),
  'path-bytes': (limits, value) => setTar(limits, { pathLength: Math.min(value, defaultTarLimits.pathLength) }),
  depth: (limits, value) => setTar(limits, { depth: value }),
  'hole-bytes': (limits, value) => setTar(limits, { holeBytes: value }),
}

function setTar(limits: Draft, more: Partial<TarLimits>): void {
  limits.tar = { ...limits.tar, ...more }
}

/**
 * Limits as `CAIRN_LIMITS` gives them: `layer-bytes=20g,ratio=1000,absolute-paths=allow`. Numbers may end in k, m, g or
 * t (powers of 1024). What is not named keeps its default. Throws USAGE naming the setting.
 */
export function parseLimits(text: string | undefined): ContentLimits {
  const limits: Draft = { ...defaultLimits }
  for (const item of (text ?? '').split(',').map((one) => one.trim())) {
    if (item === '') continue
    const [name = '', value = ''] = item.split('=')
    if (name === 'absolute-paths' && (value === 'allow' || value === 'refuse')) {
      limits.absolutePaths = value
      continue
    }
    const set = Object.hasOwn(settings, name) ? settings[name] : undefined
    const match = /^(\d{1,12})([kmgt]?)$/i.exec(value)
    if (set === undefined || match === null) throw invalid(item)
    set(limits, Number(match[1]) * (byteUnits[(match[2] ?? '').toLowerCase()] ?? 1))
  }
  return limits
}

function invalid(item: string): CairnError {
  return usageError(`CAIRN_LIMITS has the setting ${JSON.stringify(item)}`, {
    hint: `It is NAME=NUMBER with k, m, g or t, for ${Object.keys(settings).join(', ')}; or absolute-paths=allow.`,
  })
}
