/**
 * What a tar is made of but for the content of its files, as vbatts/tar-split writes it: one line of JSON for each run of
 * bytes that is no content and one for each member. With the files this gives the tar again, byte for byte.
 */
export class TarSplit {
  readonly #lines: string[] = []

  /** Bytes as they stand in the tar: of a header with all that belongs to it, after the padding of the file before. */
  segment(bytes: Uint8Array): void {
    if (bytes.length > 0) this.#add({ type: 2, payload: bytes.toBase64() })
  }

  /** A member: `sum` is the CRC-64 of its content, if it has any. */
  file(name: string, size: number, sum: Uint8Array | undefined): void {
    this.#add({ type: 1, name, ...(size === 0 ? {} : { size }), payload: sum?.toBase64() ?? null })
  }

  bytes(): Uint8Array<ArrayBuffer> {
    return new TextEncoder().encode(this.#lines.join(''))
  }

  #add(entry: object): void {
    this.#lines.push(`${JSON.stringify({ ...entry, position: this.#lines.length })}\n`)
  }
}
