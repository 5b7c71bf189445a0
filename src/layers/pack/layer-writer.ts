import { CairnError } from '../../errors/error.ts'
import { close, open, openFlags, startWriteback, write } from '../../linux/files.ts'
import { removeFile } from '../../linux/names.ts'
import { type Digest, Digester, digestOf } from '../../oci/digest.ts'
import { blankEntry, type TarEntry } from '../../tar/entry.ts'
import { type TarSink, TarWriter } from '../../tar/writer.ts'
import { ContentDigester, contentLine } from '../content-digest.ts'
import { fileChanged } from './file-changed.ts'
import type { LayerParts, PartPlace } from './layer-parts.ts'
import { baseName } from '../member-path.ts'
import type { Tree } from '../tree.ts'
import { opaqueMarker, parseWhiteout, whiteoutName } from '../whiteouts.ts'

/** Where the bytes of a file in a layer come from. */
export type LayerContent =
  | { readonly from: 'bytes'; readonly bytes: Uint8Array }
  /** A file of this machine, a symlink not followed; opened by `open` where that is given, and then only called `path`. */
  | { readonly from: 'file'; readonly path: string; readonly open?: () => number }
  | { readonly from: 'tree'; readonly tree: Tree; readonly path: string }

export interface LayerWriterOptions {
  /** Seconds since 1970: later modification times are set back to it (SOURCE_DATE_EPOCH). */
  readonly epoch?: number | undefined
  /** Keep fractions of seconds. Off as in docker and containerd: they cost 1 KiB a file in the layer. */
  readonly keepNanoseconds?: boolean
  /** What an earlier layer was made of, and that one, open: what is the same is copied from there. Notes what this one has. */
  readonly reuse?: { readonly parts: LayerParts; readonly fd: number; readonly name: string } | undefined
}

export interface WrittenLayer {
  /** Digest of the uncompressed layer. */
  readonly diffId: Digest
  /** Bytes of the uncompressed layer. */
  readonly size: number
  /** Digest of what the layer holds regardless of times, see {@link ContentDigester}. */
  readonly contentDigest: Digest
  /** Members, whiteouts included. */
  readonly entries: number
}

const writebackBytes = 16 * 1024 * 1024

/**
 * Writes one layer's tar and takes its digests in the same pass. The caller gives entries in the order they shall stand,
 * parents before children, with paths relative to the root (`etc/passwd`). The layer goes to a file, which must be
 * closed by {@link finish} or {@link abort}, or into a sink.
 */
export class LayerWriter {
  readonly #path: string | undefined
  readonly #fd: number
  readonly #options: LayerWriterOptions
  readonly #digester = new Digester()
  readonly #content = new ContentDigester()
  readonly #tar: TarWriter
  #entries = 0
  #isOpen = true
  #written = 0
  #handedOver = 0
  /** What of the earlier layer comes next: neighbours are copied at once. */
  #run: PartPlace | undefined

  /** Creates or truncates the file `target`. Throws SystemCallError. */
  constructor(target: string | TarSink, options: LayerWriterOptions = {}) {
    const { O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW } = openFlags
    this.#options = options
    this.#path = typeof target === 'string' ? target : undefined
    this.#fd = typeof target === 'string' ? open(target, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW) : -1
    const sink: TarSink = typeof target === 'string' ? (bytes) => this.#write(bytes, target) : target
    this.#tar = new TarWriter((bytes) => {
      this.#digester.update(bytes)
      sink(bytes)
    })
  }

  /**
   * Adds one entry; a file needs `content` of exactly `entry.size` bytes unless that is 0. Throws FILE_CHANGED naming
   * the file when there are more or fewer, or others than its tree knows, LAYER_UNSAFE for a name that would be read as a whiteout, TAR_INVALID for
   * what no archive can hold, SystemCallError.
   */
  add(entry: TarEntry, content?: LayerContent): void {
    const path = entry.path.endsWith('/') ? entry.path.replace(/\/+$/, '') : entry.path
    if (parseWhiteout(baseName(path)) !== undefined)
      throw new CairnError('LAYER_UNSAFE', `${entry.path}: a layer cannot hold a file with the prefix ".wh."`, {
        hint: 'In a layer such a name says that a file of the layers below is removed.',
      })
    this.#add(entry, content)
  }

  /** Says that `path` of the layers below is gone. */
  addWhiteout(path: string): void {
    const slash = path.lastIndexOf('/')
    this.#addMarker(path.slice(0, slash + 1) + whiteoutName(path.slice(slash + 1)))
  }

  /** Says that nothing the layers below have in the directory `path` shows. `''` is the root. */
  addOpaque(path: string): void {
    this.#addMarker(path === '' ? opaqueMarker : `${path}/${opaqueMarker}`)
  }

  /** Ends and closes the layer. When it throws, {@link abort} is still to be called. */
  finish(): WrittenLayer {
    this.#copyRun()
    this.#tar.finish()
    this.#close()
    return {
      diffId: this.#digester.digest(),
      size: this.#tar.position,
      contentDigest: this.#content.digest(),
      entries: this.#entries,
    }
  }

  /** Closes and removes the unfinished file. Does nothing after {@link finish}. */
  abort(): void {
    if (!this.#isOpen) return
    this.#close()
    if (this.#path !== undefined) removeFile(this.#path)
  }

  /** The disk begins early with a large layer, while the rest of it is read and hashed. */
  #write(bytes: Uint8Array, path: string): void {
    write(this.#fd, bytes, path)
    this.#written += bytes.length
    if (this.#written - this.#handedOver < writebackBytes) return
    startWriteback(this.#fd, this.#handedOver, this.#written - this.#handedOver)
    this.#handedOver = this.#written
  }

  #close(): void {
    if (this.#isOpen && this.#fd >= 0) close(this.#fd)
    this.#isOpen = false
  }

  #addMarker(path: string): void {
    this.#add({ ...blankEntry, type: 'file', path, mode: 0 })
  }

  #add(given: TarEntry, content?: LayerContent): void {
    const entry = this.#withTime(given)
    this.#entries++
    const known =
      entry.type === 'file' && content?.from === 'tree' ? content.tree.knownDigest?.(content.path) : undefined
    const expected = known === undefined ? undefined : contentLine(entry, known)
    if (expected !== undefined && this.#takeOver(entry, expected)) return
    this.#copyRun()
    const start = this.#tar.nextMember
    this.#tar.add(entry)
    const digest = entry.type === 'file' ? this.#copyContent(entry, content, known) : undefined
    const line = expected ?? contentLine(entry, digest)
    this.#content.addLine(line)
    if (known !== undefined) this.#options.reuse?.parts.note(partKey(entry, line), { start, end: this.#tar.nextMember })
  }

  /** Takes the entry from the earlier layer, where that has it; what it is by then is checked when it is copied. */
  #takeOver(entry: TarEntry, line: string): boolean {
    const { reuse } = this.#options
    if (reuse === undefined) return false
    const key = partKey(entry, line)
    const place = reuse.parts.find(key)
    if (place === undefined) return false
    if (this.#run?.end !== place.start) this.#copyRun()
    this.#run = { start: this.#run?.start ?? place.start, end: place.end }
    const end = this.#tar.nextMember + this.#run.end - this.#run.start
    reuse.parts.note(key, { start: end - (place.end - place.start), end })
    this.#content.addLine(line)
    return true
  }

  #copyRun(): void {
    const { reuse } = this.#options
    if (this.#run === undefined || reuse === undefined) return
    const { start, end } = this.#run
    this.#run = undefined
    this.#tar.copyMembers(reuse.fd, start, end - start, reuse.name)
  }

  /** Copies the bytes of a file and gives their digest. */
  #copyContent(entry: TarEntry, content: LayerContent | undefined, known: Digest | undefined): Digest {
    if (content?.from === 'tree' && content.tree.isImmutable === true && known !== undefined) {
      this.#copy(content)
      return known
    }
    const digest = this.#copyHashed(entry, content)
    if (content?.from === 'tree' && digest !== (known ?? digest))
      throw fileChanged(content.tree.hostPath?.(content.path) ?? content.path)
    return digest
  }

  #copyHashed({ size }: TarEntry, content: LayerContent | undefined): Digest {
    if (content === undefined) return digestOf('')
    let whole: Digest | undefined
    let digester: Digester | undefined
    this.#copy(content, (bytes) => {
      // Most files come in one piece.
      if (bytes.length === size) whole = digestOf(bytes)
      else (digester ??= new Digester()).update(bytes)
    })
    return whole ?? digester?.digest() ?? digestOf('')
  }

  #withTime(entry: TarEntry): TarEntry {
    const { epoch, keepNanoseconds = false } = this.#options
    if (
      epoch !== undefined &&
      (entry.mtimeSeconds > epoch || (entry.mtimeSeconds === epoch && entry.mtimeNanoseconds > 0))
    )
      return { ...entry, mtimeSeconds: epoch, mtimeNanoseconds: 0 }
    return keepNanoseconds || entry.mtimeNanoseconds === 0 ? entry : { ...entry, mtimeNanoseconds: 0 }
  }

  #copy(content: LayerContent, observe?: (bytes: Uint8Array) => void): void {
    switch (content.from) {
      case 'bytes':
        observe?.(content.bytes)
        this.#tar.write(content.bytes)
        return
      case 'tree': {
        const { tree, path } = content
        if (tree.open !== undefined) return this.#copyFile(tree.open(path), tree.hostPath?.(path) ?? path, observe)
        for (const bytes of tree.read(path)) {
          observe?.(bytes)
          this.#tar.write(bytes)
        }
        return
      }
      case 'file':
        return this.#copyFile(content.open?.() ?? openFile(content.path), content.path, observe)
      default:
        content satisfies never
    }
  }

  /** Closes `fd`. */
  #copyFile(fd: number, name: string, observe?: (bytes: Uint8Array) => void): void {
    try {
      this.#tar.copyFrom(fd, name, observe)
    } finally {
      close(fd)
    }
  }
}

/** All that decides which bytes an entry has in a layer. */
function partKey({ mtimeSeconds, mtimeNanoseconds }: TarEntry, line: string): string {
  return `${mtimeSeconds} ${mtimeNanoseconds} ${line}`
}

function openFile(path: string): number {
  return open(path, openFlags.O_RDONLY | openFlags.O_NOFOLLOW | openFlags.O_NONBLOCK)
}
