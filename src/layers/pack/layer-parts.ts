import { writeTextFile, readTextFile } from '../../linux/text-file.ts'
import { rename } from '../../linux/names.ts'
import type { Digest } from '../../oci/digest.ts'

/** Form of the file. To be changed with the form of what LayerWriter writes: bytes of both must not come together. */
const version = 'cairn layer parts 1'
/** A layer with fewer files is packed as quickly. */
const fewestParts = 1000
/** More would take too much memory. */
const mostParts = 250_000
/** Bytes that are read of a file. */
const longest = 256 * 1024 * 1024

/** Where an entry stands in a layer's tar, headers and padding included: multiples of 512. */
export interface PartPlace {
  readonly start: number
  readonly end: number
}

/**
 * Which entries a step's layer had when it was last packed, and where they stand in its tar: of a layer in which little has
 * changed since then nearly all can be copied as it is, without opening a file.
 */
export class LayerParts {
  /** Digest of the tar, where there is an earlier one. */
  readonly layer: Digest | undefined
  readonly #before: ReadonlyMap<string, PartPlace>
  readonly #now: string[] = []

  private constructor(layer: Digest | undefined, before: ReadonlyMap<string, PartPlace>) {
    this.layer = layer
    this.#before = before
  }

  /** Reads what is known, from the file at `path`; nothing where that is missing or no such file. */
  static read(path: string): LayerParts {
    const [head, layer, ...lines] = (readTextFile(path, longest) ?? '').split('\n')
    if (head !== version || layer === undefined) return LayerParts.none()
    const before = new Map<string, PartPlace>()
    for (const line of lines) {
      const [, start, end, key] = /^(\d{1,15}) (\d{1,15}) (.*)$/s.exec(line) ?? []
      if (key !== undefined) before.set(key, { start: Number(start), end: Number(end) })
    }
    return new LayerParts(layer as Digest, before)
  }

  /** Nothing known. */
  static none(): LayerParts {
    return new LayerParts(undefined, new Map())
  }

  /** Where the entry stands that `key` tells all of: attributes, time and content. */
  find(key: string): PartPlace | undefined {
    return this.#before.get(key)
  }

  /** Notes where an entry stands in the new layer. */
  note(key: string, { start, end }: PartPlace): void {
    if (this.#now.length <= mostParts) this.#now.push(`${start} ${end} ${key}`)
  }

  /**
   * Keeps what was noted of the new layer in the file at `path`, where that is worth it. It is written at `temporary` first,
   * on the same file system. Throws SystemCallError.
   */
  save(path: string, temporary: string, layer: Digest): void {
    if (this.#now.length < fewestParts || this.#now.length > mostParts) return
    writeTextFile(temporary, `${version}\n${layer}\n${this.#now.join('\n')}\n`)
    rename(temporary, path)
  }
}
