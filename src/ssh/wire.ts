import { CairnError } from '../errors/error.ts'

/** Reads the data types of the SSH protocol. RFC 4251 §5. Throws CONFIG_INVALID, naming `name`, past the end. */
export class WireReader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #name: string
  #at = 0

  constructor(bytes: Uint8Array, name: string) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#name = name
  }

  get left(): number {
    return this.#bytes.length - this.#at
  }

  uint32(): number {
    return this.#view.getUint32(this.#take(4))
  }

  /** A `string`: its length and so many bytes. */
  bytes(): Uint8Array {
    const length = this.uint32()
    const start = this.#take(length)
    return this.#bytes.subarray(start, start + length)
  }

  text(): string {
    return new TextDecoder().decode(this.bytes())
  }

  /** The magnitude of an `mpint` without its leading zeros. */
  natural(): Uint8Array {
    const bytes = this.bytes()
    const first = bytes.findIndex((byte) => byte !== 0)
    return first < 0 ? bytes.subarray(bytes.length) : bytes.subarray(first)
  }

  #take(length: number): number {
    if (length > this.left) throw new CairnError('CONFIG_INVALID', `${this.#name} is cut off`)
    const start = this.#at
    this.#at += length
    return start
  }
}

/** A `uint32`. */
export function uint32(value: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value)
  return bytes
}

/** A `string`: its length and the bytes. */
export function wireString(value: string | Uint8Array): Uint8Array {
  const bytes = typeof value === 'string' ? new TextEncoder().encode(value) : value
  return concatenated(uint32(bytes.length), bytes)
}

/** An `mpint` of a natural number, given as its bytes from the highest. */
export function wireNatural(magnitude: Uint8Array): Uint8Array {
  const first = magnitude.findIndex((byte) => byte !== 0)
  const bytes = first < 0 ? magnitude.subarray(magnitude.length) : magnitude.subarray(first)
  return wireString((bytes[0] ?? 0) >= 0x80 ? concatenated(new Uint8Array(1), bytes) : bytes)
}

export function concatenated(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts))
}
