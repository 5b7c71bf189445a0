import type { FileTotal } from './analysis.ts'
import type { FileNode, StoredFile, TreeObserver } from './file-tree.ts'

/** Bytes of lower layers that a layer has hidden. */
export interface HiddenFiles {
  readonly kind: 'overwritten' | 'removed' | 'metadata'
  /** The file, or what was removed as a whole. */
  readonly node: FileNode
  readonly bytes: number
  readonly files: number
  /** Index of the layer that hid them. */
  readonly layer: number
  /** Index of the layer that holds them. */
  readonly origin: number
  /** Of `metadata`: what is not the same. */
  readonly detail: string
}

/** What one layer did. */
export interface LayerChanges {
  readonly added: FileTotal
  readonly changed: FileTotal
  readonly removed: FileTotal
}

interface Count {
  files: number
  bytes: number
}

/** Keeps account of what each layer adds, changes, removes and hides. */
export class HiddenFileLog implements TreeObserver {
  readonly hidden: HiddenFiles[] = []
  readonly #layers: { readonly added: Count; readonly changed: Count; readonly removed: Count }[] = []

  /** For each layer, base first. */
  get layers(): readonly LayerChanges[] {
    return this.#layers
  }

  beginLayer(): void {
    const none = (): Count => ({ files: 0, bytes: 0 })
    this.#layers.push({ added: none(), changed: none(), removed: none() })
  }

  added(_node: FileNode, file: StoredFile): void {
    // One more name of a file has no bytes of its own.
    count(this.#layers.at(-1)?.added, file.names === 1 ? file.bytes : 0)
  }

  replaced(node: FileNode, before: StoredFile, after: StoredFile): void {
    count(this.#layers.at(-1)?.changed, after.names === 1 ? after.bytes : 0)
    if (before.names > 0 || before.bytes === 0) return
    const isSame = before.content === after.content && before.bytes === after.bytes
    this.hidden.push({
      kind: isSame ? 'metadata' : 'overwritten',
      node,
      bytes: before.bytes,
      files: 1,
      layer: this.#layers.length - 1,
      origin: before.layer,
      detail: isSame ? differences(before, after) : '',
    })
  }

  removed(top: FileNode, files: readonly StoredFile[]): void {
    const origins = new Map<number, Count>()
    const total = this.#layers.at(-1)?.removed
    for (const file of new Set(files)) {
      const isGone = file.names === 0
      count(total, isGone ? file.bytes : 0)
      if (!isGone || file.bytes === 0) continue
      const origin = origins.get(file.layer) ?? { files: 0, bytes: 0 }
      count(origin, file.bytes)
      origins.set(file.layer, origin)
    }
    for (const [origin, { files: number, bytes }] of origins)
      this.hidden.push({
        kind: 'removed',
        node: top,
        bytes,
        files: number,
        layer: this.#layers.length - 1,
        origin,
        detail: '',
      })
  }
}

function count(total: Count | undefined, bytes: number): void {
  if (total === undefined) return
  total.files++
  total.bytes += bytes
}

function differences(before: StoredFile, after: StoredFile): string {
  const changed: string[] = []
  if (before.mode !== after.mode) changed.push('mode')
  if (before.uid !== after.uid || before.gid !== after.gid) changed.push('owner')
  if (changed.length === 0 && before.mtimeSeconds !== after.mtimeSeconds) changed.push('time')
  return changed.length === 0 ? 'nothing' : changed.join(' and ')
}
