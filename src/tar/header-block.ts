import { decodePath } from '../linux/path-bytes.ts'

/** POSIX.1-2017 pax, "ustar Interchange Format", with the GNU and v7 variants. */
export const BLOCK_SIZE = 512

/** Offset and length of each field of a header block. */
export const fields = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  type: [156, 1],
  linkname: [157, 100],
  magic: [257, 8],
  devMajor: [329, 8],
  devMinor: [337, 8],
  prefix: [345, 155],
} as const satisfies Record<string, readonly [offset: number, length: number]>

export type Field = readonly [offset: number, length: number]

export type HeaderFormat = 'v7' | 'ustar' | 'star' | 'gnu'

const magicGnu = 'ustar  \0'

/** Which kind of header this block is, by its magic; undefined when its checksum is wrong. */
export function headerFormat(block: Uint8Array): HeaderFormat | undefined {
  if (!isChecksumRight(block)) return undefined
  const magic = latin1(block, fields.magic)
  if (magic === magicGnu) return 'gnu'
  if (!magic.startsWith('ustar\0')) return 'v7'
  return latin1(block, [508, 4]) === 'tar\0' ? 'star' : 'ustar'
}

/** True for a block of zeros, two of which end an archive. */
export function isZeroBlock(block: Uint8Array): boolean {
  for (let index = 0; index < BLOCK_SIZE; index++) if (block[index] !== 0) return false
  return true
}

/** Sum of all bytes with the checksum field counted as spaces. Old writers summed signed bytes. */
function isChecksumRight(block: Uint8Array): boolean {
  const wanted = numberField(block, fields.checksum)
  let sum = 256
  let negative = 0
  for (let index = 0; index < BLOCK_SIZE; index++) {
    if (index === 148) index = 156
    const byte = block[index] as number
    sum += byte
    if (byte >= 128) negative++
  }
  return wanted === sum || wanted === sum - 256 * negative
}

/** Bytes of a text field up to the first NUL, as a path string. */
export function textField(block: Uint8Array, field: Field): string {
  const [offset, length] = field
  let end = offset
  while (end < offset + length && block[end] !== 0) end++
  return end === offset ? '' : decodePath(block.subarray(offset, end))
}

/**
 * A number: octal digits between spaces and NULs, or GNU's base-256 (first bit set, two's complement). An empty field
 * is 0. Undefined when it is neither or does not fit a safe integer.
 */
export function numberField(block: Uint8Array, field: Field): number | undefined {
  const [offset, length] = field
  const first = block[offset] as number
  if ((first & 0x80) !== 0) return base256(block, offset, length)
  let index = offset
  let end = offset + length
  while (index < end && (block[index] === 0x20 || block[index] === 0)) index++
  while (end > index && (block[end - 1] === 0x20 || block[end - 1] === 0)) end--
  let value = 0
  for (; index < end; index++) {
    const digit = (block[index] as number) - 0x30
    if (digit < 0 || digit > 7) {
      // A NUL ends the number; what follows is left over from an older header.
      if (block[index] === 0) break
      return undefined
    }
    value = value * 8 + digit
  }
  return Number.isSafeInteger(value) ? value : undefined
}

function base256(block: Uint8Array, offset: number, length: number): number | undefined {
  const isNegative = ((block[offset] as number) & 0x40) !== 0
  let value = isNegative ? -1n : 0n
  for (let index = 0; index < length; index++) {
    let byte = block[offset + index] as number
    if (index === 0) byte = isNegative ? byte | 0x80 : byte & 0x7f
    value = (value << 8n) | BigInt(byte)
  }
  const number = Number(isNegative ? BigInt.asIntN(length * 8, value) : value)
  return Number.isSafeInteger(number) ? number : undefined
}

function latin1(block: Uint8Array, field: Field): string {
  const [offset, length] = field
  let text = ''
  for (let index = offset; index < offset + length; index++) text += String.fromCharCode(block[index] as number)
  return text
}
