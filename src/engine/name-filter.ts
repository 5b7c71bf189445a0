import { CairnError } from '../errors/error.ts'

export interface NameFilterOptions {
  /** Names that fit one of these are taken; all if there are none. `GLOB` with `*`, `?`, `[…]`, or `/REGEX/`. */
  readonly include?: readonly string[]
  /** Names that fit one of these are not. */
  readonly exclude?: readonly string[]
  /** A range as npm has them (`>=1.2 <2`, `^1`, `1.x`): only names that are versions in it. */
  readonly version?: string | undefined
}

/** Which names are wanted. Throws USAGE for a pattern or range that cannot be read. */
export function nameFilter({ include = [], exclude = [], version }: NameFilterOptions): (name: string) => boolean {
  const [wanted, unwanted] = [include.map(patternOf), exclude.map(patternOf)]
  if (version !== undefined && !/^[\w.<>=^~|*+ -]+$/.test(version))
    throw new CairnError('USAGE', `${JSON.stringify(version)} is no range of versions`)
  return (name) => {
    if (wanted.length > 0 && !wanted.some((pattern) => pattern.test(name))) return false
    if (unwanted.some((pattern) => pattern.test(name))) return false
    if (version === undefined) return true
    const found = versionOf(name)
    return found !== undefined && Bun.semver.satisfies(found, version)
  }
}

function patternOf(text: string): RegExp {
  const isExpression = text.length > 2 && text.startsWith('/') && text.endsWith('/')
  try {
    if (isExpression) return new RegExp(text.slice(1, -1))
    const glob = text.replace(/[.+^${}()|\\]/g, String.raw`\$&`)
    return new RegExp(`^${glob.replace(/\*/g, '.*').replace(/\?/g, '.').replace(/\[!/g, '[^')}$`)
  } catch (cause) {
    throw new CairnError('USAGE', `${JSON.stringify(text)} is no pattern`, { cause })
  }
}

/** The version that a tag stands for (`v1.2` is 1.2.0), or undefined. */
function versionOf(tag: string): string | undefined {
  const match = /^v?(\d+)(?:\.(\d+))?(?:\.(\d+))?([-+][0-9A-Za-z.+-]+)?$/.exec(tag)
  if (match === null) return undefined
  const [, major = '0', minor = '0', patch = '0', rest = ''] = match
  return `${Number(major)}.${Number(minor)}.${Number(patch)}${rest}`
}

/** Orders tags for people: versions by their rank, the lowest first unless told otherwise, before all other tags by name. */
export function compareTags(a: string, b: string, highestFirst = false): number {
  const [one, other] = [versionOf(a), versionOf(b)]
  if (one !== undefined && other !== undefined) {
    const order = Bun.semver.order(one, other)
    if (order !== 0) return highestFirst ? -order : order
  } else if (one !== undefined || other !== undefined) return one === undefined ? 1 : -1
  return a < b ? -1 : a > b ? 1 : 0
}
