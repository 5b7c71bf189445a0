import type { Tree } from '../layers/tree.ts'
import { field, parseFields, readBytes } from './metadata-file.ts'
import { type Package, UnreadableMetadata } from './package.ts'
import { packageUrl } from './purl.ts'
import { ZipReader } from './zip.ts'

const largestArchive = 512 * 1024 * 1024
const largestNested = 128 * 1024 * 1024
const largestMetadata = 1024 * 1024
/** Bytes of archives in one archive that are unpacked in all. */
const mostNested = 1024 * 1024 * 1024
/** Characters of a name in an archive; others are left out. */
const longestName = 1024
const archiveName = /\.(?:jar|war|ear|hpi|jpi)$/i

/** True for an archive of Java. */
export function isJavaArchive(path: string): boolean {
  return archiveName.test(path)
}

/**
 * The packages of a Java archive and of those in it, one level deep: what Maven left in `META-INF/maven`, else what the
 * manifest and the file's name say of the archive. Throws UnreadableMetadata.
 */
export async function readJavaArchive(tree: Tree, path: string): Promise<Package[]> {
  const archive = new ZipReader(readBytes(tree, path, largestArchive))
  const packages = await packagesOf(archive, path)
  let budget = mostNested
  for (const member of archive.members) {
    if (!archiveName.test(member.name) || member.name.length > longestName) continue
    budget -= member.size
    if (budget < 0) throw new UnreadableMetadata('the archives in it have more bytes than are read')
    const nested = new ZipReader(await archive.read(member.name, largestNested))
    packages.push(...(await packagesOf(nested, `${path}/${member.name}`)))
  }
  return packages
}

async function packagesOf(archive: ZipReader, path: string): Promise<Package[]> {
  const packages: Package[] = []
  let manifest = ''
  for (const member of archive.members) {
    if (/^META-INF\/maven\/[^/]+\/[^/]+\/pom\.properties$/.test(member.name)) {
      const properties = parseProperties(await text(archive, member.name))
      const [group = '', artifact = '', version = ''] = ['groupId', 'artifactId', 'version'].map((name) =>
        properties.get(name),
      )
      if (artifact !== '') packages.push(mavenPackage({ group, artifact, version, path }))
    } else if (member.name === 'META-INF/MANIFEST.MF') manifest = await text(archive, member.name)
  }
  // What is shaded into an archive has properties of its own.
  const isOwn = ({ name }: Package): boolean => fileName(path).startsWith(name.slice(name.indexOf(':') + 1))
  return packages.some(isOwn) ? packages : [...packages, ...manifestPackage(manifest, path)]
}

async function text(archive: ZipReader, name: string): Promise<string> {
  return new TextDecoder().decode(await archive.read(name, largestMetadata))
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
  for (const line of text.split(/\r?\n/)) {
    const match = /^([\w.]+)([ \t]*)[=:](.*)$/.exec(line.trim())
    if (match !== null) properties.set(match[1] ?? '', (match[3] ?? '').trim())
  }
  return properties
}

function fileName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}
