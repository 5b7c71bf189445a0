import { CairnError, reworded } from '../errors/error.ts'
import type { TarHandler } from '../tar/decoder.ts'
import type { TarEntry } from '../tar/entry.ts'
import type { TarMember } from '../tar/member.ts'
import type { FileTree, StoredFile } from './file-tree.ts'
import type { SecretLog } from './secret-log.ts'

/** A regular file whose bytes are going by. */
interface OpenFile {
  readonly entry: TarEntry
  readonly path: string
  readonly bytes: number
  /** Taken over all bytes at once where they come in one piece. */
  hash: Bun.CryptoHasher | undefined
  content: string
}

/** What all layers together hold. */
interface StoredTotals {
  files: number
  bytes: number
  /** Bytes of each layer's files. */
  readonly layers: number[]
}

/**
 * Takes the members of one layer after the other, each byte once: puts them into the tree, hashes what files hold, and
 * has their bytes searched for secrets. Errors name the layer and the member.
 */
export class LayerReader implements TarHandler {
  readonly stored: StoredTotals = { files: 0, bytes: 0, layers: [] }
  readonly #tree: FileTree
  readonly #secrets: SecretLog
  #layerName = ''
  #layer = -1
  #open: OpenFile | undefined

  constructor(tree: FileTree, secrets: SecretLog) {
    this.#tree = tree
    this.#secrets = secrets
  }

  /** The next layer begins; `name` names it in errors. */
  beginLayer(name: string): void {
    this.#layerName = name
    this.#layer++
    this.stored.layers.push(0)
    this.#tree.beginLayer()
  }

  /** The layer's members have all gone by. Throws LAYER_UNSAFE. */
  endLayer(): void {
    try {
      this.#tree.endLayer()
    } catch (error) {
      throw this.#named(error, '')
    }
  }

  entry(member: TarMember): boolean {
    const { entry } = member
    return this.#located(entry, () => this.#begin(member))
  }

  content(bytes: Uint8Array): void {
    const open = this.#open
    if (open === undefined) return
    if (bytes.length === open.bytes && open.hash === undefined)
      open.content = shortHash(Bun.CryptoHasher.hash('sha256', bytes))
    else (open.hash ??= new Bun.CryptoHasher('sha256')).update(bytes)
    this.#secrets.push(bytes)
  }

  end(): void {
    const open = this.#open
    if (open === undefined) return
    this.#open = undefined
    const content = open.hash === undefined ? open.content : shortHash(open.hash.digest())
    this.#located(open.entry, () => {
      const file = this.#put(open.path, open.entry, open.bytes, content)
      this.#secrets.end(open.path, file)
    })
  }

  #begin(member: TarMember): boolean {
    const { entry, extents } = member
    const path = this.#tree.place(entry)
    if (path === undefined) return false
    if (entry.type === 'hardlink') this.#tree.putLink(path, entry.linkname)
    else if (entry.type === 'directory') this.#tree.putDirectory(path, this.#fileOf(entry, 0, ''))
    else {
      const bytes = entry.type === 'file' ? extents.reduce((sum, { length }) => sum + length, 0) : 0
      if (bytes === 0) this.#put(path, entry, 0, '')
      else {
        // Where the holes of a sparse file are belongs to its content; its zeros are not gone through.
        const isSparse = bytes !== entry.size
        const hash = isSparse
          ? new Bun.CryptoHasher('sha256').update(
              JSON.stringify([entry.size, extents.map(({ offset, length }) => [offset, length])]),
            )
          : undefined
        this.#open = { entry, path, bytes, hash, content: '' }
        this.#secrets.begin(path, bytes)
        return true
      }
    }
    return false
  }

  #put(path: string, entry: TarEntry, bytes: number, content: string): StoredFile {
    const file = this.#fileOf(entry, bytes, content)
    this.#tree.putFile(path, file)
    this.stored.files++
    this.stored.bytes += bytes
    this.stored.layers[this.#layer] = (this.stored.layers[this.#layer] ?? 0) + bytes
    return file
  }

  #fileOf(entry: TarEntry, bytes: number, content: string): StoredFile {
    const { type, mode, uid, gid, mtimeSeconds, linkname, xattrs } = entry
    const capabilities = xattrs.get('security.capability')
    return { type, layer: this.#layer, bytes, content, mode, uid, gid, mtimeSeconds, linkname, capabilities, names: 0 }
  }

  #located<T>(entry: TarEntry, run: () => T): T {
    try {
      return run()
    } catch (error) {
      throw this.#named(error, `, ${JSON.stringify(entry.path)}`)
    }
  }

  #named(error: unknown, where: string): unknown {
    if (!(error instanceof CairnError) || error.code === 'LIMIT_EXCEEDED') return error
    return reworded(error, `${this.#layerName}${where}: ${error.message}`)
  }
}

/** 128 bits of a hash, a byte a character: an image may have millions of files. */
function shortHash(hash: Uint8Array): string {
  return Buffer.from(hash.buffer, hash.byteOffset, 16).toString('latin1')
}
