import { removeFile, rename } from '../../linux/names.ts'
import { readTextFile, TextFileWriter } from '../../linux/text-file.ts'
import { type Digest, isDigest } from '../../oci/digest.ts'

/** Form of the file. To be changed with the form of what LayerWriter writes: bytes of both must not come together. */
const head = 'cairn layer parts 2\n'
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

/** What the file says of the layer as it was. */
interface EarlierLayer {
  readonly layer: Digest
  readonly text: string
  /** Where in the text the line of a key begins. */
  readonly lines: ReadonlyMap<string, number>
}

/**
 * Which entries a step's layer had when it was last packed, and where they stand in its tar: of a layer in which little has
 * changed since then nearly all can be copied as it is, without opening a file. To be disposed of.
 *
 * The file has a line for each entry, `<start> <end> <key>`, and the digest of the tar in the last one.
 */
export class LayerParts implements Disposable {
  readonly #before: EarlierLayer | undefined
  readonly #temporaryPath: string
  readonly #now: TextFileWriter
  #count = 0
  #isSaved = false

  private constructor(temporaryPath: string, before?: EarlierLayer) {
    this.#temporaryPath = temporaryPath
    this.#before = before
    this.#now = new TextFileWriter(temporaryPath)
    this.#now.write(head)
  }

  /** Digest of the tar, where there is an earlier one. */
  get layer(): Digest | undefined {
    return this.#before?.layer
  }

  /**
   * Reads what is known, from the file at `path`; nothing where that is missing or no such file. What is noted is written to
   * `temporaryPath`, on the same file system.
   */
  static read(path: string, temporaryPath: string): LayerParts {
    const text = readTextFile(path, longest) ?? ''
    const last = text.lastIndexOf('\n', text.length - 2) + 1
    const layer = text.slice(last, -1)
    if (!text.startsWith(head) || !isDigest(layer)) return LayerParts.none(temporaryPath)
    const lines = new Map<string, number>()
    for (let line = head.length; line < last;) {
      const next = text.indexOf('\n', line) + 1
      const key = text.indexOf(' ', text.indexOf(' ', line) + 1) + 1
      lines.set(text.slice(key, next - 1), line)
      line = next
    }
    return new LayerParts(temporaryPath, { layer, text, lines })
  }

  /** Nothing known. */
  static none(temporaryPath: string): LayerParts {
    return new LayerParts(temporaryPath)
  }

  /** Where the entry stands that `key` tells all of: attributes, time and content. */
  find(key: string): PartPlace | undefined {
    const { text = '', lines } = this.#before ?? {}
    const line = lines?.get(key)
    if (line === undefined) return undefined
    const space = text.indexOf(' ', line)
    return { start: Number(text.slice(line, space)), end: Number(text.slice(space, text.indexOf(' ', space + 1))) }
  }

  /** Notes where an entry stands in the new layer. Throws SystemCallError. */
  note(key: string, { start, end }: PartPlace): void {
    if (this.#count++ < mostParts) this.#now.write(`${start} ${end} ${key}\n`)
  }

  /** Keeps what was noted of the new layer in the file at `path`, where that is worth it. Throws SystemCallError. */
  save(path: string, layer: Digest): void {
    if (this.#count < fewestParts || this.#count > mostParts) return
    this.#now.write(`${layer}\n`)
    this.#now.close()
    rename(this.#temporaryPath, path)
    this.#isSaved = true
  }

  [Symbol.dispose](): void {
    this.#now[Symbol.dispose]()
    if (!this.#isSaved) removeFile(this.#temporaryPath)
  }
}
