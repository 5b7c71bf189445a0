import type { Database } from 'bun:sqlite'
import type { Tree } from '../layers/tree.ts'
import { readBytes } from './metadata-file.ts'
import { type OperatingSystem, type Package, UnreadableMetadata } from './package.ts'
import { distroOf, packageUrl } from './purl.ts'
import { parseRpmHeader } from './rpm-header.ts'

const largestDatabase = 256 * 1024 * 1024
const mostPackages = 100_000
const directories: ReadonlySet<string> = new Set(['/var/lib/rpm', '/usr/lib/sysimage/rpm', '/usr/share/rpm'])

/** True for rpm's database in any of its formats. */
export function isRpmDatabase(path: string): boolean {
  const slash = path.lastIndexOf('/')
  return (
    directories.has(path.slice(0, slash)) && /^(?:rpmdb\.sqlite|Packages|Packages\.db)$/.test(path.slice(slash + 1))
  )
}

/** The installed packages of rpm, from a database of SQLite. Throws UnreadableMetadata, also for older formats. */
export async function readRpmDatabase(tree: Tree, path: string, os: OperatingSystem | undefined): Promise<Package[]> {
  if (!path.endsWith('.sqlite'))
    throw new UnreadableMetadata(
      `it is rpm's older ${path.endsWith('.db') ? 'ndb' : 'Berkeley DB'} format, of which nothing is read`,
    )
  const log = tree.lookup(`${path}-wal`)
  if (log !== undefined && log.size > 0)
    throw new UnreadableMetadata('it has changes in a write-ahead log; rpm has to finish in the image')
  const bytes = readBytes(tree, path, largestDatabase)
  // What is in memory has no write-ahead log: the versions of the file format say whether there may be one.
  if (bytes[18] === 2) bytes.fill(1, 18, 20)
  const { Database: SqliteDatabase } = await import('bun:sqlite')
  let database: Database | undefined
  try {
    database = SqliteDatabase.deserialize(bytes, { readonly: true })
    return [...packagesIn(database, path, os)]
  } catch (error) {
    if (error instanceof UnreadableMetadata) throw error
    throw new UnreadableMetadata(`it is no whole database: ${error instanceof Error ? error.message : String(error)}`)
  } finally {
    database?.close()
  }
}

function* packagesIn(database: Database, path: string, os: OperatingSystem | undefined): Generator<Package> {
  database.run('PRAGMA trusted_schema = OFF')
  database.run('PRAGMA cell_size_check = ON')
  const table = database
    .query<{ sql: string | null }, []>("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = 'Packages'")
    .get()
  // A view or a computed column could run for ever.
  if (!/^CREATE TABLE\s+["']?Packages["']?\s*\([^()]*\)$/i.test(table?.sql ?? ''))
    throw new UnreadableMetadata('it has not the table that rpm makes')
  let count = 0
  for (const { blob } of database.query<{ blob: unknown }, []>('SELECT blob FROM Packages ORDER BY hnum').iterate()) {
    if (++count > mostPackages) throw new UnreadableMetadata(`it has more than ${mostPackages} packages`)
    if (!(blob instanceof Uint8Array)) throw new UnreadableMetadata('a package has no header')
    const header = parseRpmHeader(blob)
    // Keys that signatures are checked with are kept as packages.
    if (header.name === '' || header.name === 'gpg-pubkey') continue
    const { name, version, release, epoch, architecture, license, vendor, url, sourceRpm } = header
    const whole = `${version}-${release}`
    yield {
      type: 'rpm',
      name,
      version: epoch === undefined ? whole : `${epoch}:${whole}`,
      purl: packageUrl({
        type: 'rpm',
        namespace: [os?.id ?? ''],
        name,
        version: whole,
        qualifiers: { arch: architecture, distro: distroOf(os), epoch: epoch?.toString(), upstream: sourceRpm },
      }),
      licenses: license === '' ? [] : [license],
      ...(vendor === '' ? {} : { supplier: vendor }),
      ...(url === '' ? {} : { homepage: url }),
      path,
    }
  }
}
