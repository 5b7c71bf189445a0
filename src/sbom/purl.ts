import type { OperatingSystem, PackageType } from './package.ts'

export interface PurlParts {
  readonly type: PackageType | 'oci' | 'docker'
  readonly namespace?: readonly string[]
  readonly name: string
  readonly version?: string
  /** Those without a value are left out. */
  readonly qualifiers?: Readonly<Record<string, string | undefined>>
}

/** A package URL in its canonical form (purl-spec): qualifiers sorted, everything else as given. */
export function packageUrl({ type, namespace = [], name, version = '', qualifiers = {} }: PurlParts): string {
  const path = [...namespace, name].filter((part) => part !== '').map(encode)
  const query = Object.entries(qualifiers)
    .filter((pair): pair is [string, string] => pair[1] !== undefined && pair[1] !== '')
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(([key, value]) => `${key}=${encode(value)}`)
  const suffix = query.length === 0 ? '' : `?${query.join('&')}`
  return `pkg:${type}/${path.join('/')}${version === '' ? '' : `@${encode(version)}`}${suffix}`
}

/** The `distro` qualifier of packages of a distribution: `debian-12`. */
export function distroOf(os: OperatingSystem | undefined): string | undefined {
  if (os === undefined) return undefined
  return os.version === '' ? os.id : `${os.id}-${os.version}`
}

/** Percent-encoding of purl-spec: letters, digits, `.-_~` and the colon stay. */
function encode(text: string): string {
  return encodeURIComponent(text.toWellFormed())
    .replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll('%3A', ':')
}
