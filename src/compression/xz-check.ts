/** The sums an xz stream may carry over its uncompressed data (xz-file-format 1.1.0 §2.1.1.2), by their ID. */
export interface Check {
  readonly length: number
  update(bytes: Uint8Array): void
  /** The sum as the file has it. */
  digest(): Uint8Array
}

/** The check of this ID, or undefined for the reserved ones. */
export function createCheck(id: number): Check | undefined {
  switch (id) {
    case 0:
      return { length: 0, update: () => {}, digest: () => new Uint8Array(0) }
    case 1:
      return crc32Check()
    case 4:
      return crc64Check()
    case 10:
      return sha256Check()
    default:
      return undefined
  }
}

function crc32Check(): Check {
  let sum = 0
  return {
    length: 4,
    update: (bytes) => void (sum = Bun.hash.crc32(bytes, sum)),
    digest: () => littleEndian([sum]),
  }
}

function sha256Check(): Check {
  const hash = new Bun.CryptoHasher('sha256')
  return { length: 32, update: (bytes) => void hash.update(bytes), digest: () => new Uint8Array(hash.digest()) }
}

/** CRC-64 of ECMA-182, reflected, in two halves. */
function crc64Check(): Check {
  const { low, high } = crc64Tables()
  let lower = 0xffffffff
  let upper = 0xffffffff
  return {
    length: 8,
    update: (bytes) => {
      for (let index = 0; index < bytes.length; index++) {
        const entry = (lower ^ (bytes[index] as number)) & 0xff
        lower = ((lower >>> 8) | (upper << 24)) ^ (low[entry] as number)
        upper = (upper >>> 8) ^ (high[entry] as number)
      }
    },
    digest: () => littleEndian([~lower >>> 0, ~upper >>> 0]),
  }
}

function crc64Tables(): { readonly low: Int32Array; readonly high: Int32Array } {
  const polynomial = 0xc96c5795d7870f42n
  const low = new Int32Array(256)
  const high = new Int32Array(256)
  for (let byte = 0; byte < 256; byte++) {
    let value = BigInt(byte)
    for (let bit = 0; bit < 8; bit++) value = (value & 1n) === 1n ? (value >> 1n) ^ polynomial : value >> 1n
    low[byte] = Number(BigInt.asIntN(32, value))
    high[byte] = Number(BigInt.asIntN(32, value >> 32n))
  }
  return { low, high }
}

function littleEndian(words: readonly number[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(words.length * 4))
  for (const [index, word] of words.entries()) view.setUint32(index * 4, word, true)
  return new Uint8Array(view.buffer)
}
