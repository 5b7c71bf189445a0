import { CairnError } from '../../errors/error.ts'
import type { FileStatus } from '../../linux/file-status.ts'
import type { TarSink } from '../../tar/writer.ts'
import { DirectoryPacker } from './directory-packer.ts'
import { isOpaqueValue, type Xattrs } from '../layer-xattrs.ts'
import { LayerWriter, type LayerWriterOptions, type WrittenLayer } from './layer-writer.ts'
import type { Tree, TreeEntry } from '../tree.ts'

export interface ChangesOptions extends LayerWriterOptions {
  /** Paths relative to the root (`etc/resolv.conf`) that are left out with all below them. */
  readonly exclude?: ReadonlySet<string>
  /**
   * The layers below as one tree. With it, directories that were only copied up (same mode, owner, time and
   * attributes) and hold no change are left out, and a changed mode or owner of the root itself is kept.
   */
  readonly lower?: Tree | undefined
}

/**
 * Writes what an overlay's upper directory changed as a layer (image-spec layer.md §change types) to the file
 * `target` or into a sink. Whiteouts become `.wh.` entries, opaque directories get `.wh..wh..opq` as their first entry,
 * overlayfs's own attributes are never written. Removes the file again when it fails. Throws OVERLAY_UNSUPPORTED for an
 * upper directory made with redirect_dir or metacopy on, FILE_CHANGED, LAYER_UNSAFE, SystemCallError.
 */
export function packChanges(upper: string, target: string | TarSink, options: ChangesOptions = {}): WrittenLayer {
  const writer = new LayerWriter(target, options)
  try {
    using packer = new DirectoryPacker(writer, upper)
    new ChangeWalk(writer, packer, options).run()
    return writer.finish()
  } finally {
    writer.abort()
  }
}

class ChangeWalk {
  readonly #writer: LayerWriter
  readonly #packer: DirectoryPacker
  readonly #exclude: ReadonlySet<string>
  readonly #lower: Tree | undefined
  /** Directories above the current path whose own entry waits for a first change below them. */
  readonly #pending: (() => void)[] = []

  constructor(writer: LayerWriter, packer: DirectoryPacker, options: ChangesOptions) {
    this.#writer = writer
    this.#packer = packer
    this.#exclude = options.exclude ?? new Set()
    this.#lower = options.lower
  }

  run(): void {
    // The root is never opaque: overlayfs merges the roots of its layers whatever their attributes say.
    const status = this.#packer.status('')
    const { kept } = this.#packer.xattrs('')
    const before = this.#lower?.lookup('/')
    if (before !== undefined && !isSameDirectory(before, status, kept, false)) this.#packer.add('', status, kept)
    this.#walk('', this.#packer.list(''))
  }

  #walk(directory: string, names: readonly string[]): void {
    for (const name of names) {
      const path = directory === '' ? name : `${directory}/${name}`
      if (!this.#exclude.has(path)) this.#change(path)
    }
  }

  #change(path: string): void {
    const status = this.#packer.status(path)
    if (status.type === 'character-device' && status.rdevMajor === 0 && status.rdevMinor === 0)
      return this.#removal(path)
    const { kept, overlay } = this.#packer.xattrs(path)
    if (overlay.size > 0) this.#checkFeatures(path, overlay)
    if (status.type === 'directory')
      return this.#directory(path, status, kept, isOpaqueValue(overlayValue(overlay, 'opaque')))
    if (status.type === 'socket') return
    this.#emitPending()
    this.#packer.add(path, status, kept)
  }

  #removal(path: string): void {
    this.#emitPending()
    this.#writer.addWhiteout(path)
  }

  #directory(path: string, status: FileStatus, xattrs: Xattrs, opaque: boolean): void {
    const names = this.#packer.list(path)
    const before = this.#lower?.lookup(`/${path}`)
    const hasExcluded = names.some((name) => this.#exclude.has(`${path}/${name}`))
    const isUnchanged = !opaque && before !== undefined && isSameDirectory(before, status, xattrs, !hasExcluded)
    const add = (): void => {
      this.#packer.add(path, status, xattrs)
      if (opaque) this.#writer.addOpaque(path)
    }
    if (!isUnchanged) {
      this.#emitPending()
      add()
      return this.#walk(path, names)
    }
    const depth = this.#pending.push(add)
    this.#walk(path, names)
    if (this.#pending.length === depth) this.#pending.pop()
  }

  #emitPending(): void {
    if (this.#pending.length === 0) return
    for (const add of this.#pending.splice(0)) add()
  }

  /** Such an upper directory does not hold all that the mount showed, so a layer made of it would lack files. */
  #checkFeatures(path: string, overlay: Xattrs): void {
    for (const feature of ['redirect', 'metacopy'] as const) {
      if (overlayValue(overlay, feature) !== undefined)
        throw new CairnError('OVERLAY_UNSUPPORTED', `${path} was changed on an overlay with ${feature} on`, {
          hint: 'Mount it with redirect_dir=nofollow,metacopy=off.',
        })
    }
  }
}

function overlayValue(overlay: Xattrs, name: string): Uint8Array | undefined {
  return overlay.get(`trusted.overlay.${name}`) ?? overlay.get(`user.overlay.${name}`)
}

function isSameDirectory(before: TreeEntry, now: FileStatus, xattrs: Xattrs, withTime: boolean): boolean {
  if (before.type !== 'directory' || before.mode !== now.mode || before.uid !== now.uid || before.gid !== now.gid)
    return false
  // Layers keep whole seconds.
  if (withTime && before.mtimeSeconds !== now.mtimeSeconds) return false
  if (before.xattrs.size !== xattrs.size) return false
  for (const [name, value] of xattrs) {
    const other = before.xattrs.get(name)
    if (other === undefined || Buffer.compare(value, other) !== 0) return false
  }
  return true
}
