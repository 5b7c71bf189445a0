import { CairnError } from '../../errors/error.ts'
import { redactUrl } from '../../errors/redact.ts'
import { listDirectory } from '../../linux/directories.ts'
import { tryLstat } from '../../linux/file-status.ts'
import { readTextFile } from '../../linux/text-file.ts'
import { machineTrust } from '../../linux/trusted-certificates.ts'

/** One suite of a package archive. */
export interface ArchiveSuite {
  /** Of the archive, without a slash at its end. */
  readonly uri: string
  /** As in sources.list: `bookworm`, `bookworm-security`, or a path that ends with `/`. */
  readonly suite: string
}

/** The suites that apt would read by the text of sources.list and of `.sources` files (sources.list(5)), each once. */
export function parseSources(text: string): ArchiveSuite[] {
  const suites = new Map<string, ArchiveSuite>()
  for (const { uri: written, suite } of [...oneLineSources(text), ...stanzaSources(text)]) {
    const uri = written.replace(/\/+$/, '')
    suites.set(`${uri} ${suite}`, { uri, suite })
  }
  return [...suites.values()]
}

/** `deb [option=value] URI suite component…` */
function oneLineSources(text: string): ArchiveSuite[] {
  return text.split('\n').flatMap((line) => {
    const match = /^\s*deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)/.exec(line)
    return match === null ? [] : [{ uri: match[1] ?? '', suite: match[2] ?? '' }]
  })
}

/** Stanzas with the fields `URIs` and `Suites`. */
function stanzaSources(text: string): ArchiveSuite[] {
  return text.split(/\n\s*\n/).flatMap((stanza) => {
    const words = (name: string): string[] => {
      const match = new RegExp(`^${name}:(.*(?:\\n[ \\t].*)*)`, 'im').exec(stanza)
      return (match?.[1] ?? '').split(/\s+/).filter((word) => word !== '')
    }
    if (words('Enabled')[0]?.toLowerCase() === 'no') return []
    return words('URIs').flatMap((uri) => words('Suites').map((suite) => ({ uri, suite })))
  })
}

/** What a Release file says of its suite, as far as it is used here. */
export interface Release {
  /** Seconds since 1970. */
  readonly date: number
  readonly origin: string | undefined
  readonly version: string | undefined
  readonly codename: string | undefined
}

/** A Release or InRelease file. Undefined where it has no date. */
export function parseRelease(text: string): Release | undefined {
  const field = (name: string): string | undefined => new RegExp(`^${name}:[ \\t]*(.*)$`, 'm').exec(text)?.[1]?.trim()
  const date = Date.parse(field('Date') ?? '')
  if (!Number.isFinite(date)) return undefined
  return { date: date / 1000, origin: field('Origin'), version: field('Version'), codename: field('Codename') }
}

const largestRelease = 16 * 1024 * 1024

/**
 * When the newest of the suites was released, in seconds since 1970, by what the archives say now. Nothing is verified
 * here: compare with {@link verifiedReleases}. Throws NETWORK naming the file.
 */
export async function newestRelease(suites: readonly ArchiveSuite[], signal: AbortSignal): Promise<number> {
  const dates = await Promise.all(suites.map((suite) => releaseDate(suite, signal)))
  return Math.max(...dates)
}

async function releaseDate({ uri, suite }: ArchiveSuite, signal: AbortSignal): Promise<number> {
  const directory = suite.endsWith('/') ? `${uri}/${suite}` : `${uri}/dists/${suite}/`
  const failures: string[] = []
  for (const name of ['InRelease', 'Release']) {
    const text = await readRelease(`${directory}${name}`, signal, failures)
    const release = text === undefined ? undefined : parseRelease(text)
    if (release !== undefined) return release.date
    if (text !== undefined) failures.push(`${name} has no date`)
  }
  throw new CairnError(
    'NETWORK',
    `cannot tell the date of ${redactUrl(`${directory}InRelease`)}: ${failures.join(', ')}`,
    {
      hint: 'Check the suite and the mirror, or set SOURCE_DATE_EPOCH to the date the image is to have.',
    },
  )
}

async function readRelease(url: string, signal: AbortSignal, failures: string[]): Promise<string | undefined> {
  const local = /^(?:file|copy):(?:\/\/)?(\/.*)$/.exec(url)?.[1]
  if (local !== undefined) {
    const text = readTextFile(local, largestRelease)
    if (text === undefined) failures.push(`there is no ${local}`)
    return text
  }
  if (!/^https?:\/\//.test(url)) {
    failures.push('only http, https and file can be asked')
    return undefined
  }
  try {
    const limits = AbortSignal.any([signal, AbortSignal.timeout(60_000)])
    const response = await fetch(url, { signal: limits, ...machineTrust() })
    if (response.ok) return await response.text()
    failures.push(`the server answered ${response.status}`)
  } catch (error) {
    signal.throwIfAborted()
    failures.push(error instanceof Error ? error.message : String(error))
  }
  return undefined
}

/** The Release files that apt fetched into the root filesystem `rootfs` and whose signatures it checked. */
export function verifiedReleases(rootfs: string): Release[] {
  const lists = `${rootfs}/var/lib/apt/lists`
  if (tryLstat(lists)?.type !== 'directory') return []
  return listDirectory(lists)
    .map(({ name }) => name)
    .filter((name) => /_(?:In)?Release$/.test(name))
    .toSorted()
    .flatMap((name) => parseRelease(readTextFile(`${lists}/${name}`, largestRelease) ?? '') ?? [])
}
