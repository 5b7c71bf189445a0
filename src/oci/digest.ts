declare const brand: unique symbol

/** `algorithm:hex`, checked: only {@link isDigest} and the hashing functions here make one. image-spec descriptor.md §digests. */
export type Digest = `${DigestAlgorithm}:${string}` & { readonly [brand]: 'Digest' }

export type DigestAlgorithm = 'sha256' | 'sha512'

const hexLength: Record<DigestAlgorithm, number> = { sha256: 64, sha512: 128 }

/** True when `text` is a digest that Cairn can verify. */
export function isDigest(text: string): text is Digest {
  const colon = text.indexOf(':')
  const algorithm = text.slice(0, colon)
  if (algorithm !== 'sha256' && algorithm !== 'sha512') return false
  const hex = text.slice(colon + 1)
  return hex.length === hexLength[algorithm] && /^[0-9a-f]+$/.test(hex)
}

export function digestAlgorithm(digest: Digest): DigestAlgorithm {
  return digest.slice(0, digest.indexOf(':')) as DigestAlgorithm
}

/** The hex part of a digest. */
export function digestHex(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1)
}

/** Digest of a short value held in memory; a string counts as its UTF-8 bytes. */
export function digestOf(data: string | Uint8Array, algorithm: DigestAlgorithm = 'sha256'): Digest {
  // At one go: of a small file an object to hash it with costs as much as the hash.
  return `${algorithm}:${Bun.CryptoHasher.hash(algorithm, data, 'hex')}` as Digest
}

/** Takes bytes in any number of pieces and gives their digest and count. */
export class Digester {
  readonly algorithm: DigestAlgorithm
  readonly #hash: Bun.CryptoHasher
  #size = 0

  constructor(algorithm: DigestAlgorithm = 'sha256') {
    this.algorithm = algorithm
    this.#hash = new Bun.CryptoHasher(algorithm)
  }

  /** Bytes taken so far (UTF-16 length for strings of ASCII, which is all that is passed as strings). */
  get size(): number {
    return this.#size
  }

  update(data: string | Uint8Array): this {
    this.#hash.update(data)
    this.#size += data.length
    return this
  }

  /** The digest of all bytes so far. Ends the digester. */
  digest(): Digest {
    return `${this.algorithm}:${this.#hash.digest('hex')}` as Digest
  }
}
