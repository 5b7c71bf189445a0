import { type Digest, Digester } from '../oci/digest.ts'
import type { TarHandler } from '../tar/decoder.ts'
import type { TarEntry } from '../tar/entry.ts'
import type { TarMember } from '../tar/member.ts'
import { ContentDigester } from './content-digest.ts'

const zeros = new Uint8Array(64 * 1024)

/** Takes the members of a layer's tar as they pass by and gives its content digest, as the writer of the tar had it. */
export class ContentScan implements TarHandler {
  readonly #content = new ContentDigester()
  #entry: TarEntry | undefined
  #digester = new Digester()

  entry({ entry }: TarMember): boolean {
    this.#entry = undefined
    if (entry.type !== 'file') {
      this.#content.add(entry, undefined)
      return false
    }
    this.#entry = entry
    this.#digester = new Digester()
    return true
  }

  content(bytes: Uint8Array, offset: number): void {
    this.#fill(offset)
    this.#digester.update(bytes)
  }

  end(): void {
    const entry = this.#entry
    if (entry === undefined) return
    this.#fill(entry.size)
    this.#content.add(entry, this.#digester.digest())
    this.#entry = undefined
  }

  /** The digest, once all members have passed. */
  digest(): Digest {
    return this.#content.digest()
  }

  /** Holes of a sparse file read as zeros. */
  #fill(offset: number): void {
    while (this.#digester.size < offset)
      this.#digester.update(zeros.subarray(0, Math.min(zeros.length, offset - this.#digester.size)))
  }
}
