/**
 * Linux file names are bytes. Here a name is a string: its valid UTF-8 parts as text, and each byte that is not part
 * of valid UTF-8 as the lone surrogate U+DC00 + byte (Python's surrogateescape). Decoding and encoding are inverse for
 * every sequence of bytes.
 */

const encoder = new TextEncoder()
const strictDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Below it bytes are taken one by one, which costs less than a call. */
const shortLength = 48

const escapeBase = 0xdc00
const firstEscape = 0xdc80
const lastEscape = 0xdcff

/** The bytes of a name or path (without a NUL) as a string. Never fails. */
export function decodePath(bytes: Uint8Array): string {
  const length = bytes.length
  if (length < shortLength) {
    let text = ''
    let index = 0
    while (index < length) {
      const byte = bytes[index] as number
      if (byte >= 0x80) break
      text += String.fromCharCode(byte)
      index++
    }
    if (index === length) return text
  }
  try {
    return strictDecoder.decode(bytes)
  } catch {
    return decodeInvalid(bytes)
  }
}

/** A path as bytes, without a NUL. Throws RangeError for a lone surrogate that {@link decodePath} never makes. */
export function encodePath(path: string): Uint8Array<ArrayBuffer> {
  if (path.isWellFormed()) return encoder.encode(path)
  const bytes = new Uint8Array(path.length * 3)
  return bytes.slice(0, encodeEscaped(path, bytes))
}

/**
 * Writes a path's bytes into `target`, without a NUL, and gives their count, or -1 where they do not fit.
 * Throws as {@link encodePath}.
 */
export function encodePathInto(path: string, target: Uint8Array): number {
  const { length } = path
  if (length < shortLength && length <= target.length) {
    let index = 0
    for (; index < length; index++) {
      const code = path.charCodeAt(index)
      if (code >= 0x80) break
      target[index] = code
    }
    if (index === length) return length
  }
  if (path.isWellFormed()) {
    const { read, written } = encoder.encodeInto(path, target)
    return read === path.length ? written : -1
  }
  const bytes = encodePath(path)
  if (bytes.length > target.length) return -1
  target.set(bytes)
  return bytes.length
}

/** How many bytes a path has. */
export function pathByteLength(path: string): number {
  return path.isWellFormed() ? Buffer.byteLength(path) : encodePath(path).length
}

/**
 * Order of the names' bytes, as `Array.prototype.sort` wants it. Differs from the order of UTF-16 code units only
 * for names with characters beyond U+FFFF or bytes that are not UTF-8.
 */
export function comparePaths(left: string, right: string): number {
  const length = Math.min(left.length, right.length)
  for (let index = 0; index < length; index++) {
    const a = left.charCodeAt(index)
    const b = right.charCodeAt(index)
    if (a === b) continue
    if (a < 0xd800 && b < 0xd800) return a - b
    return Buffer.compare(encodePath(left), encodePath(right))
  }
  return left.length - right.length
}

function encodeEscaped(path: string, target: Uint8Array): number {
  let offset = 0
  for (const character of path) {
    const code = character.codePointAt(0) as number
    if (code >= firstEscape && code <= lastEscape) {
      target[offset++] = code - escapeBase
    } else if (code >= 0xd800 && code <= 0xdfff) {
      throw new RangeError(`path ${JSON.stringify(path)} has an unpaired surrogate that stands for no byte`)
    } else {
      offset += encoder.encodeInto(character, target.subarray(offset)).written
    }
  }
  return offset
}

function decodeInvalid(bytes: Uint8Array): string {
  let text = ''
  let index = 0
  while (index < bytes.length) {
    const length = sequenceLength(bytes, index)
    if (length === 0) {
      text += String.fromCharCode(escapeBase + (bytes[index] as number))
      index++
    } else {
      text += strictDecoder.decode(bytes.subarray(index, index + length))
      index += length
    }
  }
  return text
}

/** Length of the valid UTF-8 sequence at `index` (Unicode 15, table 3-7), or 0. */
function sequenceLength(bytes: Uint8Array, index: number): number {
  const first = bytes[index] as number
  if (first < 0x80) return 1
  const second = bytes[index + 1] ?? 0
  if (first >= 0xc2 && first <= 0xdf) return isContinuation(second) ? 2 : 0
  if (!isContinuation(second) || !isContinuation(bytes[index + 2] ?? 0)) return 0
  if (first >= 0xe0 && first <= 0xef) {
    const isValid = first === 0xe0 ? second >= 0xa0 : first === 0xed ? second < 0xa0 : true
    return isValid ? 3 : 0
  }
  if (first < 0xf0 || first > 0xf4 || !isContinuation(bytes[index + 3] ?? 0)) return 0
  const isValid = first === 0xf0 ? second >= 0x90 : first === 0xf4 ? second < 0x90 : true
  return isValid ? 4 : 0
}

function isContinuation(byte: number): boolean {
  return (byte & 0xc0) === 0x80
}
