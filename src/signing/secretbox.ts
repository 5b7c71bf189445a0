/**
 * Authenticated encryption with a 32-byte key and a 24-byte nonce: NaCl's secretbox, which is XSalsa20 and Poly1305. The
 * format of cosign's private keys is made of it, and no API of the system has it.
 */

const tagSize = 16
const sigma = [0x61707865, 0x3320646e, 0x79622d32, 0x6b206574] as const

/** The message as `tag || ciphertext`. */
export function seal(message: Uint8Array, nonce: Uint8Array, key: Uint8Array): Uint8Array<ArrayBuffer> {
  const { authenticator, cipher } = cryptWith(message, nonce, key)
  const box = new Uint8Array(tagSize + cipher.length)
  box.set(poly1305(cipher, authenticator))
  box.set(cipher, tagSize)
  return box
}

/** What {@link seal} was given; undefined for another key, or a box that was changed. */
export function unseal(box: Uint8Array, nonce: Uint8Array, key: Uint8Array): Uint8Array<ArrayBuffer> | undefined {
  if (box.length < tagSize) return undefined
  const cipher = box.subarray(tagSize)
  const { authenticator, cipher: message } = cryptWith(cipher, nonce, key)
  const expected = poly1305(cipher, authenticator)
  let difference = 0
  for (const [index, byte] of expected.entries()) difference |= byte ^ (box[index] ?? 0)
  return difference === 0 ? message : undefined
}

/** The first 32 bytes of the key stream are the key of the authenticator. */
function cryptWith(
  data: Uint8Array,
  nonce: Uint8Array,
  key: Uint8Array,
): { readonly authenticator: Uint8Array; readonly cipher: Uint8Array<ArrayBuffer> } {
  if (key.length !== 32 || nonce.length !== 24) throw new RangeError('a key has 32 bytes and a nonce 24')
  const subkey = hsalsa20(key, nonce.subarray(0, 16))
  const stream = salsa20Stream(subkey, nonce.subarray(16), 32 + data.length)
  const cipher = data.map((byte, index) => byte ^ (stream[32 + index] ?? 0))
  return { authenticator: stream.subarray(0, 32), cipher: new Uint8Array(cipher) }
}

function words(bytes: Uint8Array): number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return Array.from({ length: bytes.length / 4 }, (_, index) => view.getUint32(index * 4, true))
}

/** The input block of Salsa20 for a key and 16 bytes of nonce and counter. */
function inputBlock(key: readonly number[], input: readonly number[]): Uint32Array {
  const [s0, s1, s2, s3] = sigma
  return Uint32Array.from([s0, ...key.slice(0, 4), s1, ...input, s2, ...key.slice(4), s3])
}

/** Indices of the quarter rounds of a double round: columns, then rows. */
const quarters = [
  [0, 4, 8, 12],
  [5, 9, 13, 1],
  [10, 14, 2, 6],
  [15, 3, 7, 11],
  [0, 1, 2, 3],
  [5, 6, 7, 4],
  [10, 11, 8, 9],
  [15, 12, 13, 14],
] as const

function rounds(block: Uint32Array): Uint32Array {
  const x = block.slice()
  const at = (index: number): number => x[index] ?? 0
  const mix = (target: number, sum: number, bits: number): void => {
    x[target] = at(target) ^ ((sum << bits) | (sum >>> (32 - bits)))
  }
  for (let round = 0; round < 20; round += 2)
    for (const [a, b, c, d] of quarters) {
      mix(b, (at(a) + at(d)) | 0, 7)
      mix(c, (at(b) + at(a)) | 0, 9)
      mix(d, (at(c) + at(b)) | 0, 13)
      mix(a, (at(d) + at(c)) | 0, 18)
    }
  return x
}

function hsalsa20(key: Uint8Array, input: Uint8Array): readonly number[] {
  const x = rounds(inputBlock(words(key), words(input)))
  return [0, 5, 10, 15, 6, 7, 8, 9].map((index) => x[index] ?? 0)
}

function salsa20Stream(key: readonly number[], nonce: Uint8Array, length: number): Uint8Array {
  const stream = new Uint8Array(Math.ceil(length / 64) * 64)
  const view = new DataView(stream.buffer)
  for (let block = 0; block * 64 < length; block++) {
    const input = inputBlock(key, [...words(nonce), block, 0])
    const output = rounds(input)
    for (const [index, word] of output.entries())
      view.setUint32(block * 64 + index * 4, word + (input[index] ?? 0), true)
  }
  return stream
}

/** Poly1305 (RFC 8439, 2.5). Messages are keys: a few hundred bytes. */
function poly1305(message: Uint8Array, key: Uint8Array): Uint8Array {
  const prime = 2n ** 130n - 5n
  const r = littleEndian(key.subarray(0, 16)) & 0x0ffffffc0ffffffc0ffffffc0fffffffn
  let sum = 0n
  for (let at = 0; at < message.length; at += 16) {
    const block = message.subarray(at, at + 16)
    sum = ((sum + littleEndian(block) + (1n << BigInt(block.length * 8))) * r) % prime
  }
  let tag = sum + littleEndian(key.subarray(16, 32))
  return Uint8Array.from({ length: tagSize }, () => {
    const byte = Number(tag & 0xffn)
    tag >>= 8n
    return byte
  })
}

function littleEndian(bytes: Uint8Array): bigint {
  return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n)
}
