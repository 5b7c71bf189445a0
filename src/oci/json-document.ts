import type { ErrorCode } from '../errors/codes.ts'
import { CairnError } from '../errors/error.ts'
import { isJsonObject } from './descriptor.ts'

/** A JSON document as it came, and what it says. Digests are over `raw`; a document is never written again from `value`. */
export interface ParsedDocument<T> {
  readonly raw: Uint8Array<ArrayBuffer>
  readonly value: T
}

/** Largest manifest, index or image config that is read, in bytes: what distribution-spec asks registries to take at least. */
export const largestDocument = 4 * 1024 * 1024

/** Deepest nesting that is read; no document of the specifications comes near. */
const deepestNesting = 256

/** How errors about a document are told. */
export interface DocumentKind {
  /** `manifest`, `image index`. */
  readonly name: string
  readonly code: ErrorCode
}

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const encoder = new TextEncoder()

/**
 * Reads a JSON object. Refuses more than `limit` bytes, bytes that are not UTF-8, anything that is not one JSON
 * object, and an object in it with the same key twice (two readers could take different values from it).
 */
export function parseJsonDocument(
  input: Uint8Array | string,
  kind: DocumentKind,
  limit: number = largestDocument,
): ParsedDocument<Readonly<Record<string, unknown>>> {
  const size = typeof input === 'string' ? Buffer.byteLength(input) : input.byteLength
  if (size > limit)
    throw new CairnError(kind.code, `${kind.name} has ${size} bytes, more than the ${limit} that are accepted`)
  const raw = typeof input === 'string' ? encoder.encode(input) : input.slice()
  let text: string
  try {
    text = typeof input === 'string' ? input : decoder.decode(raw)
  } catch (cause) {
    throw new CairnError(kind.code, `${kind.name} is not UTF-8 text`, { cause })
  }
  if (isNestedTooDeep(raw))
    throw new CairnError(kind.code, `${kind.name} is nested more than ${deepestNesting} levels deep`)
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new CairnError(kind.code, `${kind.name} is not JSON: ${cause instanceof Error ? cause.message : ''}`, {
      cause,
    })
  }
  if (!isJsonObject(value)) throw new CairnError(kind.code, `${kind.name} is not a JSON object`)
  const twice = duplicateKey(text)
  if (twice !== undefined) throw new CairnError(kind.code, `${kind.name} has the key ${JSON.stringify(twice)} twice`)
  return { raw, value }
}

/**
 * Refuses a top-level key that differs from a known one in case only: Go's decoder would take `Layers` for `layers`,
 * others would not, and so the document would mean two things.
 */
export function refuseCaseVariants(
  value: Readonly<Record<string, unknown>>,
  known: readonly string[],
  kind: DocumentKind,
): void {
  const lower = new Map(known.map((name) => [name.toLowerCase(), name]))
  for (const key of Object.keys(value)) {
    const name = lower.get(key.toLowerCase())
    if (name !== undefined && name !== key)
      throw new CairnError(kind.code, `${kind.name} has the key ${JSON.stringify(key)} for ${JSON.stringify(name)}`)
  }
}

/** Whether brackets are nested too deep. It is asked before the text is parsed, which takes seconds for millions of them. */
function isNestedTooDeep(bytes: Uint8Array): boolean {
  let depth = 0
  let isInString = false
  for (let position = 0; position < bytes.length; position++) {
    const byte = bytes[position]
    if (byte === 0x22) isInString = !isInString
    else if (isInString) {
      if (byte === 0x5c) position++
    } else if (byte === 0x5b || byte === 0x7b) {
      if (++depth > deepestNesting) return true
    } else if (byte === 0x5d || byte === 0x7d) depth--
  }
  return false
}

/** The first key that one object of this valid JSON text has twice, or undefined. */
function duplicateKey(text: string): string | undefined {
  const open: (Set<string> | undefined)[] = []
  let position = 0
  while (position < text.length) {
    const character = text.charCodeAt(position)
    if (character === 0x22) {
      const end = stringEnd(text, position)
      const keys = open.at(-1)
      if (keys !== undefined && isKey(text, end)) {
        const literal = text.slice(position + 1, end - 1)
        const key = literal.includes('\\') ? (JSON.parse(`"${literal}"`) as string) : literal
        if (keys.has(key)) return key
        keys.add(key)
      }
      position = end
      continue
    }
    if (character === 0x7b) open.push(new Set())
    else if (character === 0x5b) open.push(undefined)
    if (character === 0x7d || character === 0x5d) open.pop()
    position++
  }
  return undefined
}

/** The position after the closing quote of the string that begins at `start`. */
function stringEnd(text: string, start: number): number {
  let quote = text.indexOf('"', start + 1)
  for (;;) {
    let backslashes = 0
    while (text.charCodeAt(quote - 1 - backslashes) === 0x5c) backslashes++
    if (backslashes % 2 === 0) return quote + 1
    quote = text.indexOf('"', quote + 1)
  }
}

function isKey(text: string, position: number): boolean {
  let at = position
  for (;;) {
    const character = text.charCodeAt(at)
    if (character === 0x3a) return true
    if (character !== 0x20 && character !== 0x0a && character !== 0x0d && character !== 0x09) return false
    at++
  }
}
