/** A chunk is at least so long, unless its file ends; and at most. */
const shortest = 64 * 1024
const longest = 1024 * 1024
/** A boundary is found about every 128 KiB past the shortest length. */
const mask = 0x1ffff << 15

/** One number for each byte value: part of what makes chunks the same everywhere. Never to be changed. */
const gear = Int32Array.from({ length: 256 }, (_, byte) => {
  let value = (byte + 1) * 0x9e3779b1
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b)
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35)
  return value ^ (value >>> 16)
})

/** Bytes in one call of {@link roll}: many short calls are compiled, one long loop may be interpreted to its end. */
const stretch = 4096
/** The hash after the last {@link roll}. */
let rolled = 0

/** The position after the first boundary from `firstCut` on, or -1. */
function roll(bytes: Uint8Array, start: number, end: number, before: number, firstCut: number): number {
  let hash = before
  for (let at = start; at < end; at++) {
    hash = ((hash << 1) + (gear[bytes[at] as number] as number)) | 0
    if ((hash & mask) === 0 && at + 1 >= firstCut) return at + 1
  }
  rolled = hash
  return -1
}

/**
 * Finds where a file is cut, by its content: an insertion moves the boundaries around it only. The same file has the same
 * boundaries whatever the pieces it comes in.
 */
export class GearChunker {
  #hash = 0
  #length = 0

  /** How many of the bytes `start` to `end` still belong to the current chunk, and whether it ends with them. */
  take(bytes: Uint8Array, start: number, end: number): { readonly count: number; readonly isCut: boolean } {
    // The hash depends on the last 32 bytes only.
    const warm = shortest - 32
    let at = start + Math.max(0, Math.min(end - start, warm - this.#length))
    let hash = at > start ? 0 : this.#hash
    const firstCut = start + shortest - this.#length
    const last = Math.min(end, start + longest - this.#length)
    while (at < last) {
      const until = Math.min(last, at + stretch)
      const found = roll(bytes, at, until, hash, firstCut)
      if (found >= 0) return this.#cut(found - start)
      hash = rolled
      at = until
    }
    if (this.#length + (last - start) === longest) return this.#cut(last - start)
    this.#hash = hash
    this.#length += last - start
    return { count: last - start, isCut: false }
  }

  /** A file ends; the next one begins. */
  reset(): void {
    this.#hash = 0
    this.#length = 0
  }

  #cut(count: number): { readonly count: number; readonly isCut: boolean } {
    this.reset()
    return { count, isCut: true }
  }
}
