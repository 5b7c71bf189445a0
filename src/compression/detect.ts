export type Compression = 'none' | 'gzip' | 'zstd' | 'bzip2' | 'xz'

/** Bytes that {@link detectCompression} needs to be sure. */
export const magicLength = 10

/** How data that begins with `bytes` is compressed, by content alone; `none` for anything unknown. */
export function detectCompression(bytes: Uint8Array): Compression {
  if (startsWith(bytes, [0x1f, 0x8b, 0x08])) return 'gzip'
  if (startsWith(bytes, [0x28, 0xb5, 0x2f, 0xfd]) || isSkippableFrame(bytes)) return 'zstd'
  if (startsWith(bytes, [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00])) return 'xz'
  return isBzip2(bytes) ? 'bzip2' : 'none'
}

/** RFC 8878 §3.1.2: magic number 0x184D2A50 to 0x184D2A5F. */
function isSkippableFrame(bytes: Uint8Array): boolean {
  return ((bytes[0] ?? 0) & 0xf0) === 0x50 && startsWith(bytes.subarray(1), [0x2a, 0x4d, 0x18])
}

/** `BZh`, the block size, then the mark of a block or of the end. */
function isBzip2(bytes: Uint8Array): boolean {
  const level = bytes[3] ?? 0
  if (!startsWith(bytes, [0x42, 0x5a, 0x68]) || level < 0x31 || level > 0x39) return false
  const mark = bytes.subarray(4)
  return (
    startsWith(mark, [0x31, 0x41, 0x59, 0x26, 0x53, 0x59]) || startsWith(mark, [0x17, 0x72, 0x45, 0x38, 0x50, 0x90])
  )
}

function startsWith(bytes: Uint8Array, magic: readonly number[]): boolean {
  return magic.every((byte, index) => bytes[index] === byte)
}
