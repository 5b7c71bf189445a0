import { Database } from 'bun:sqlite'
import type { Tree, TreeEntry } from '../layers/tree.ts'
import { blankEntry } from '../tar/entry.ts'

/** Files by absolute path; those below a `bin` directory are executable, a text that begins with `-> ` is a symlink. */
export type FixtureFiles = Readonly<Record<string, string | Uint8Array>>

const encoder = new TextEncoder()

/** A root file system of these files, read in small pieces. */
export function treeOf(files: FixtureFiles): Tree {
  const contents = new Map(
    Object.entries(files).map(([path, value]) => [path, typeof value === 'string' ? encoder.encode(value) : value]),
  )
  const directories = new Map<string, Set<string>>([['/', new Set()]])
  for (const path of contents.keys()) {
    let directory = '/'
    for (const name of path.slice(1).split('/')) {
      directories.getOrInsertComputed(directory, () => new Set()).add(name)
      directory = directory === '/' ? `/${name}` : `${directory}/${name}`
    }
  }
  const entry = (type: 'file' | 'directory', size: number, mode: number): TreeEntry => ({
    ...blankEntry,
    type,
    mode,
    size,
    inode: undefined,
  })
  return {
    lookup: (path) => {
      const bytes = contents.get(path)
      const text = files[path]
      if (typeof text === 'string' && text.startsWith('-> '))
        return { ...entry('file', 0, 0o777), type: 'symlink', linkname: text.slice(3) }
      if (bytes !== undefined) return entry('file', bytes.length, path.includes('/bin/') ? 0o755 : 0o644)
      return directories.has(path) ? entry('directory', 0, 0o755) : undefined
    },
    list: (path) => [...(directories.get(path) ?? [])].sort(),
    *read(path) {
      const bytes = contents.get(path) ?? new Uint8Array(0)
      for (let at = 0; at < bytes.length; at += 5000) yield bytes.slice(at, at + 5000)
    },
  }
}

/** What a header of rpm says: texts by tag, numbers as 32 bits. */
export function rpmHeader(tags: Readonly<Record<number, string | number>>): Uint8Array {
  const data: number[] = []
  const index: number[][] = []
  for (const [tag, value] of Object.entries(tags)) {
    if (typeof value === 'number') while (data.length % 4 !== 0) data.push(0)
    index.push([Number(tag), typeof value === 'number' ? 4 : 6, data.length, 1])
    if (typeof value === 'number') data.push(...bigEndian(value))
    else data.push(...encoder.encode(value), 0)
  }
  const words = [index.length, data.length, ...index.flat()].flatMap(bigEndian)
  return new Uint8Array([...words, ...data])
}

function bigEndian(value: number): number[] {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 0xff)
}

/** A database of rpm with these headers, as a file in WAL mode. */
export function rpmDatabase(
  headers: readonly Uint8Array[],
  table = "CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)",
): Uint8Array {
  using database = new Database(':memory:')
  database.run(table)
  for (const header of headers) database.run('INSERT INTO Packages (blob) VALUES (?)', [header])
  const bytes = new Uint8Array(database.serialize())
  return bytes.fill(2, 18, 20)
}

/** A zip archive, members with an even position packed. */
export function zipOf(files: FixtureFiles): Uint8Array {
  const local: Uint8Array[] = []
  const directory: Uint8Array[] = []
  let offset = 0
  for (const [position, [name, value]] of Object.entries(files).entries()) {
    const raw = new Uint8Array(typeof value === 'string' ? encoder.encode(value) : value)
    const isPacked = position % 2 === 0
    const data = isPacked ? Bun.deflateSync(raw) : raw
    const path = encoder.encode(name)
    const fields = (start: readonly number[]): DataView => {
      const view = new DataView(new ArrayBuffer(start.length === 2 ? 46 : 30))
      const at = start.length === 2 ? 6 : 4
      view.setUint32(0, start[0] ?? 0, true)
      view.setUint16(at + 4, isPacked ? 8 : 0, true)
      view.setUint32(at + 14, data.length, true)
      view.setUint32(at + 18, raw.length, true)
      view.setUint16(at + 22, path.length, true)
      if (start.length === 2) view.setUint32(42, start[1] ?? 0, true)
      return view
    }
    const entry = new Uint8Array(fields([0x02014b50, offset]).buffer)
    directory.push(entry, path)
    local.push(new Uint8Array(fields([0x04034b50]).buffer), path, data)
    offset += 30 + path.length + data.length
  }
  const size = directory.reduce((sum, piece) => sum + piece.length, 0)
  const end = new DataView(new ArrayBuffer(22))
  end.setUint32(0, 0x06054b50, true)
  end.setUint16(10, directory.length / 2, true)
  end.setUint32(12, size, true)
  end.setUint32(16, offset, true)
  return new Uint8Array(Buffer.concat([...local, ...directory, new Uint8Array(end.buffer)]))
}

/** A 64-bit ELF file with build information of Go some way into its writable segment. */
export function goProgram(version: string, modules: string, flags = 2): Uint8Array {
  const bytes = new Uint8Array(200_000)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, 0x7f454c46)
  bytes.set([2, 1], 4)
  view.setBigUint64(32, 64n, true)
  view.setUint16(54, 56, true)
  view.setUint16(56, 2, true)
  // One segment to be read, which has the words too, and one to be written.
  for (const [index, [access, start]] of [
    [5, 0],
    [6, 0x10000],
  ].entries()) {
    const at = 64 + index * 56
    view.setUint32(at, 1, true)
    view.setUint32(at + 4, access ?? 0, true)
    view.setBigUint64(at + 8, BigInt(start ?? 0), true)
    view.setBigUint64(at + 32, 0x10000n, true)
  }
  const magic = [0xff, ...encoder.encode(' Go buildinf:')]
  bytes.set(magic, 0x8000)
  const at = 0x10000 + 20_000
  bytes.set([...magic, 8, flags], at)
  const marked = modules === '' ? '' : `${'<'.repeat(16)}${modules}${'>'.repeat(16)}`
  bytes.set([...prefixed(version), ...prefixed(marked)], at + 32)
  return bytes
}

function prefixed(text: string): number[] {
  const bytes = encoder.encode(text)
  const length: number[] = []
  for (let rest = bytes.length; ; rest >>>= 7) {
    if (rest < 0x80) return [...length, rest, ...bytes]
    length.push((rest & 0x7f) | 0x80)
  }
}
