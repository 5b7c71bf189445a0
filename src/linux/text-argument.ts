import { SystemCallError, errno } from './errno.ts'
import { ptr, stableBytes } from './libc.ts'

const encoder = new TextEncoder()

/**
 * Memory for one text argument of a system call, made once and filled anew for each call: nothing that the garbage
 * collector could take away between asking for its address and the call.
 */
export class TextArgument {
  readonly #bytes: Uint8Array<ArrayBuffer>
  readonly #address: ReturnType<typeof ptr>

  /** @param capacity - bytes, the closing NUL among them */
  constructor(capacity: number) {
    this.#bytes = stableBytes(capacity)
    this.#address = ptr(this.#bytes)
  }

  /** Address of `text` in UTF-8 with a NUL behind it, valid until the next use. E2BIG (of `call`) if it does not fit. */
  of(text: string, call: string): ReturnType<typeof ptr> {
    const { read, written } = encoder.encodeInto(text, this.#bytes)
    if (read < text.length || written === this.#bytes.length)
      throw new SystemCallError(call, errno.E2BIG, `${text.slice(0, 80)}…`)
    this.#bytes[written] = 0
    return this.#address
  }
}
