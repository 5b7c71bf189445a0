import type { Tree } from '../layers/tree.ts'
import { field, parseFields, readBytes } from './metadata-file.ts'
import { type Package, UnreadableMetadata } from './package.ts'
import { packageUrl } from './purl.ts'
import { type UnpackBudget, ZipReader } from './zip.ts'

const largestArchive = 512 * 1024 * 1024
const largestNested = 128 * 1024 * 1024
const largestMetadata = 1024 * 1024
/** Bytes that are unpacked of one file of the image, in all: of archives in it, and of the texts in these. */
const mostNested = 1024 * 1024 * 1024
const mostMetadata = 64 * 1024 * 1024
/** Lines of a pom.properties; Maven writes five. */
const mostProperties = 1000
/** An `.ear` holds a `.war` which holds a `.jar`. */
const deepest = 3
/** Characters of a name in an archive; others are left out. */
const longestName = 1024
const archiveName = /\.(?:jar|war|ear|hpi|jpi)$/i

/** True for an archive of Java. */
export function isJavaArchive(path: string): boolean {
  return archiveName.test(path)
}

/**
 * The packages of a Java archive and of those in it, up to three levels deep: what Maven left in `META-INF/maven`, else
 * what the manifest and the file's name say of the archive. Throws UnreadableMetadata, with the packages of what could
 * be read.
 */
export async function readJavaArchive(tree: Tree, path: string): Promise<Package[]> {
  const scan: ArchiveScan = {
    packages: [],
    failures: [],
    nested: { bytes: mostNested },
    metadata: { bytes: mostMetadata },
  }
  await scanArchive(readBytes(tree, path, largestArchive), path, 0, scan)
  const [failure] = scan.failures
  if (failure === undefined) return scan.packages
  const others = scan.failures.length - 1
  throw new UnreadableMetadata(others === 0 ? failure : `${failure}; and ${others} more in it`, scan.packages)
}

/** What was found so far in one file of the image, and what may still be unpacked of it. */
interface ArchiveScan {
  readonly packages: Package[]
  readonly failures: string[]
  readonly nested: UnpackBudget
  readonly metadata: UnpackBudget
}

async function scanArchive(
  bytes: Uint8Array<ArrayBuffer>,
  path: string,
  depth: number,
  scan: ArchiveScan,
): Promise<void> {
  const archive = new ZipReader(bytes)
  await tolerating(scan, async () => {
    scan.packages.push(...(await packagesOf(archive, path, scan.metadata)))
  })
  if (depth === deepest) return
  for (const { name } of archive.members) {
    if (!archiveName.test(name) || name.length > longestName) continue
    // oxlint-disable-next-line no-await-in-loop -- one in memory at a time
    await tolerating(scan, async () => {
      await scanArchive(await archive.read(name, largestNested, scan.nested), `${path}/${name}`, depth + 1, scan)
    })
  }
}

/** What cannot be read of an archive does not hide the rest of it. */
async function tolerating(scan: ArchiveScan, work: () => Promise<void>): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (!(error instanceof UnreadableMetadata)) throw error
    scan.failures.push(error.message)
  }
}

async function packagesOf(archive: ZipReader, path: string, budget: UnpackBudget): Promise<Package[]> {
  const packages: Package[] = []
  let manifest = ''
  for (const member of archive.members) {
    if (/^META-INF\/maven\/[^/]+\/[^/]+\/pom\.properties$/.test(member.name)) {
      const properties = parseProperties(await text(archive, member.name, budget))
      const [group = '', artifact = '', version = ''] = ['groupId', 'artifactId', 'version'].map((name) =>
        properties.get(name),
      )
      if (artifact !== '') packages.push(mavenPackage({ group, artifact, version, path }))
    } else if (member.name === 'META-INF/MANIFEST.MF') manifest = await text(archive, member.name, budget)
  }
  // What is shaded into an archive has properties of its own.
  const isOwn = ({ name }: Package): boolean => fileName(path).startsWith(name.slice(name.indexOf(':') + 1))
  return packages.some(isOwn) ? packages : [...packages, ...manifestPackage(manifest, path)]
}

async function text(archive: ZipReader, name: string, budget: UnpackBudget): Promise<string> {
  return new TextDecoder().decode(await archive.read(name, largestMetadata, budget))
}

function manifestPackage(manifest: string, path: string): Package[] {
  // A line of a manifest goes on after a line break and one blank.
  const fields = parseFields(manifest.replace(/\r?\n /g, ''))
  const [, base = '', named = ''] = /^(.+?)(?:-(\d[^/]*))?\.[a-z]+$/i.exec(fileName(path)) ?? []
  const version = field(fields, 'implementation-version') || field(fields, 'bundle-version') || named
  const symbolic = field(fields, 'bundle-symbolicname').split(';', 1)[0] ?? ''
  if (version === '' || base === '') return []
  const vendor = field(fields, 'implementation-vendor-id')
  const group = vendor || (symbolic.includes('.') ? symbolic.slice(0, symbolic.lastIndexOf('.')) : '')
  const license = field(fields, 'bundle-license').slice(0, 200)
  return [{ ...mavenPackage({ group, artifact: base, version, path }), licenses: license === '' ? [] : [license] }]
}

interface Coordinates {
  readonly group: string
  readonly artifact: string
  readonly version: string
  readonly path: string
}

function mavenPackage({ group, artifact, version, path }: Coordinates): Package {
  const name = group === '' ? artifact : `${group}:${artifact}`
  return {
    type: 'maven',
    name,
    version,
    purl: packageUrl({ type: 'maven', namespace: [group], name: artifact, version }),
    licenses: [],
    path,
  }
}

function parseProperties(text: string): Map<string, string> {
  const properties = new Map<string, string>()
  for (const line of text.split(/\r?\n/, mostProperties)) {
    const match = /^([\w.]+)([ \t]*)[=:](.*)$/.exec(line.trim())
    if (match !== null) properties.set(match[1] ?? '', (match[3] ?? '').trim())
  }
  return properties
}

function fileName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}
