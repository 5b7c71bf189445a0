import { isCairnError } from '../errors/error.ts'
import { resolvePath } from '../layers/trees/resolve-path.ts'
import type { Tree } from '../layers/tree.ts'
import { UnreadableMetadata } from './package.ts'

/** The bytes of the file at `path`. Throws UnreadableMetadata for more than `limit`. */
export function readBytes(tree: Tree, path: string, limit: number): Uint8Array<ArrayBuffer> {
  const size = tree.lookup(path)?.size ?? 0
  if (size > limit) throw new UnreadableMetadata(`it has ${size} bytes, more than the ${limit} that are read`)
  const bytes = new Uint8Array(size)
  let position = 0
  for (const piece of tree.read(path)) {
    if (position + piece.length > size) throw new UnreadableMetadata('it is longer than its layer says')
    bytes.set(piece, position)
    position += piece.length
  }
  return bytes.subarray(0, position)
}

/** The file at `path` as text; bytes that are not UTF-8 become U+FFFD. Throws UnreadableMetadata for more than `limit` bytes. */
export function readText(tree: Tree, path: string, limit: number): string {
  return new TextDecoder().decode(readBytes(tree, path, limit))
}

/**
 * The text of a file that need not be there, symlinks followed; undefined also where it is larger than `limit` bytes, and
 * where symlinks lead nowhere.
 */
export function tryReadText(tree: Tree, path: string, limit: number): string | undefined {
  const resolved = tryResolve(tree, path)
  const entry = resolved === undefined ? undefined : tree.lookup(resolved)
  return resolved !== undefined && entry?.type === 'file' && entry.size <= limit
    ? readText(tree, resolved, limit)
    : undefined
}

function tryResolve(tree: Tree, path: string): string | undefined {
  try {
    return resolvePath(tree, path, { followLast: true })
  } catch (error) {
    if (isCairnError(error, 'FILE_UNKNOWN')) return undefined
    throw error
  }
}

/** Fields of the mail-like formats of dpkg, Python and Java manifests, by lower-case name; lists keep each occurrence. */
export type Fields = ReadonlyMap<string, readonly string[]>

/** Reads `Name: value` lines up to the first empty one. Lines that begin with a blank continue the one before. */
export function parseFields(text: string, limit = 10_000): Fields {
  const fields = new Map<string, string[]>()
  let values: string[] | undefined
  for (const line of text.split(/\r?\n/, limit)) {
    if (line === '') break
    if (/^[ \t]/.test(line)) {
      const last = values?.pop()
      if (values !== undefined && last !== undefined) values.push(`${last}\n${line.slice(1)}`)
      continue
    }
    const colon = line.indexOf(':')
    if (colon <= 0) continue
    const name = line.slice(0, colon).toLowerCase()
    values = fields.get(name) ?? []
    fields.set(name, values)
    values.push(line.slice(colon + 1).trim())
  }
  return fields
}

/** The first value of a field on one line, empty where it is absent. */
export function field(fields: Fields, name: string): string {
  return (fields.get(name)?.[0] ?? '').split('\n', 1)[0] ?? ''
}
