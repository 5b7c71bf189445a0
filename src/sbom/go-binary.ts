import type { Tree, TreeEntry } from '../layers/tree.ts'
import { type Package, UnreadableMetadata } from './package.ts'
import { packageUrl } from './purl.ts'

/** How far into a segment is looked: other sections of it come first where the C linker was used. */
const searched = 64 * 1024 * 1024
const headSize = 4096
const magicAlignment = 16
const largestInfo = 16 * 1024 * 1024
const mostHeaders = 128
const magic = new Uint8Array([0xff, ...new TextEncoder().encode(' Go buildinf:')])
const loaded = 1
const writable = 2
/** Bit of the flags: the texts follow the header. Go before 1.18 has pointers to them. */
const inline = 2

/** True for a file that may be a program. */
export function mayBeProgram(entry: TreeEntry): boolean {
  return entry.type === 'file' && (entry.mode & 0o111) !== 0 && entry.size > headSize
}

/**
 * The modules that a Go program is made of, from the build information that the linker leaves in its data segment
 * (debug/buildinfo); none for any other file. Throws UnreadableMetadata for one that Go before 1.18 built.
 */
export function readGoBinary(tree: Tree, path: string): Package[] {
  const info = buildInfo(tree.read(path))
  if (info === undefined) return []
  const packages: Package[] = []
  if (/^go\d/.test(info.version)) packages.push(goPackage('stdlib', info.version.slice(2).split(' ', 1)[0] ?? '', path))
  for (const { name, version } of modulesOf(info.modules)) packages.push(goPackage(name, version, path))
  return packages
}

function goPackage(name: string, version: string, path: string): Package {
  const parts = name.toLowerCase().split('/')
  const known = version === '(devel)' ? '' : version
  const purl = packageUrl({ type: 'golang', namespace: parts.slice(0, -1), name: parts.at(-1) ?? '', version: known })
  return { type: 'golang', name, version: known, purl, licenses: [], path }
}

/** `mod`, `dep` and, in place of the one before it, `=>` lines. */
function modulesOf(text: string): { readonly name: string; readonly version: string }[] {
  const modules: { name: string; version: string }[] = []
  for (const line of text.split('\n')) {
    const [kind, name = '', version = ''] = line.split('\t')
    if (name === '' || (kind !== 'mod' && kind !== 'dep' && kind !== '=>')) continue
    if (kind === '=>') modules.pop()
    // A replacement by a directory has no version of its own.
    modules.push({ name, version })
  }
  return modules
}

interface BuildInfo {
  readonly version: string
  readonly modules: string
}

/** Reads no further than the end of the information, or of the last segment that can have it. */
function buildInfo(pieces: Iterable<Uint8Array>): BuildInfo | undefined {
  let segments: readonly Segment[] | undefined
  /** What was read before and is still needed: the head, the end of the last piece, or all from the magic bytes on. */
  let kept: Uint8Array<ArrayBuffer> = new Uint8Array(0)
  let keptFrom = 0
  let isFound = false
  for (const piece of pieces) {
    kept = append(kept, piece)
    if (segments === undefined) {
      if (kept.length < headSize) continue
      segments = dataSegments(kept)
    }
    if (!isFound) {
      const at = findMagic(kept, keptFrom, segments)
      const from = at ?? Math.max(0, kept.length - magicAlignment)
      isFound = at !== undefined
      kept = kept.slice(from)
      keptFrom += from
    }
    if (isFound) {
      const info = parseInfo(kept)
      if (info !== undefined) return info
      if (kept.length > largestInfo) throw new UnreadableMetadata('its build information is not whole')
    } else if (!segments.some(({ end }) => end > keptFrom)) return undefined
  }
  return undefined
}

function append(kept: Uint8Array<ArrayBuffer>, piece: Uint8Array): Uint8Array<ArrayBuffer> {
  const joined = new Uint8Array(kept.length + piece.length)
  joined.set(kept)
  joined.set(piece, kept.length)
  return joined
}

/** Bytes of a file, from 0. */
interface Segment {
  readonly start: number
  readonly end: number
}

/** The writable segments of a 64-bit or 32-bit ELF file; empty for any other. */
function dataSegments(head: Uint8Array<ArrayBuffer>): readonly Segment[] {
  const view = new DataView(head.buffer, head.byteOffset, head.byteLength)
  if (view.getUint32(0) !== 0x7f454c46) return []
  const is64 = head[4] === 2
  const little = head[5] === 1
  const word = (at: number): number => (is64 ? Number(view.getBigUint64(at, little)) : view.getUint32(at, little))
  const table = word(is64 ? 32 : 28)
  const size = view.getUint16(is64 ? 54 : 42, little)
  const count = view.getUint16(is64 ? 56 : 44, little)
  const segments: Segment[] = []
  for (let index = 0; index < Math.min(count, mostHeaders); index++) {
    const at = table + index * size
    if (size < 32 || at + 56 > head.length) break
    const flags = view.getUint32(is64 ? at + 4 : at + 24, little)
    const start = word(is64 ? at + 8 : at + 4)
    const length = word(is64 ? at + 32 : at + 16)
    if (view.getUint32(at, little) === loaded && (flags & writable) !== 0 && Number.isSafeInteger(start + length))
      segments.push({ start, end: start + Math.min(length, searched) })
  }
  return segments
}

/** Where in `bytes`, which begin at `offset` of the file, the information begins. */
function findMagic(bytes: Uint8Array<ArrayBuffer>, offset: number, segments: readonly Segment[]): number | undefined {
  const area = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  for (let at = area.indexOf(magic); at >= 0; at = area.indexOf(magic, at + 1)) {
    const position = offset + at
    const isInside = segments.some(({ start, end }) => position >= start && position < end)
    if (isInside && position % magicAlignment === 0) return at
  }
  return undefined
}

/** What begins with the magic bytes; undefined where more is needed. */
function parseInfo(bytes: Uint8Array): BuildInfo | undefined {
  if (bytes.length < 32) return undefined
  if (((bytes[15] ?? 0) & inline) === 0)
    throw new UnreadableMetadata('it was built by Go before 1.18, whose build information is not read')
  const version = lengthPrefixed(bytes, 32)
  const modules = version === undefined ? undefined : lengthPrefixed(bytes, version.end)
  if (version === undefined || modules === undefined) return undefined
  // Sixteen bytes before and after mark the text.
  const text = modules.text.length > 32 ? modules.text.subarray(16, -16) : new Uint8Array(0)
  const decoder = new TextDecoder()
  return { version: decoder.decode(version.text), modules: decoder.decode(text) }
}

function lengthPrefixed(
  bytes: Uint8Array,
  at: number,
): { readonly text: Uint8Array; readonly end: number } | undefined {
  let length = 0
  for (let index = 0; index < 5; index++) {
    const byte = bytes[at + index]
    if (byte === undefined) return undefined
    length += (byte & 0x7f) * 2 ** (7 * index)
    if (byte < 0x80) {
      const start = at + index + 1
      return start + length > bytes.length
        ? undefined
        : { text: bytes.subarray(start, start + length), end: start + length }
    }
  }
  throw new UnreadableMetadata('its build information is not whole')
}
