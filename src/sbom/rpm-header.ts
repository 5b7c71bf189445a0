import { UnreadableMetadata } from './package.ts'

/** What is read of a package's header. */
export interface RpmHeader {
  readonly name: string
  readonly version: string
  readonly release: string
  readonly epoch: number | undefined
  readonly architecture: string
  readonly license: string
  readonly vendor: string
  readonly url: string
  readonly sourceRpm: string
}

const tags = { name: 1000, version: 1001, release: 1002, epoch: 1003, vendor: 1011, license: 1014, url: 1020 } as const
const architectureTag = 1022
const sourceRpmTag = 1044
const int32Type = 4
const textTypes: ReadonlySet<number> = new Set([6, 8, 9])

/**
 * Reads the header of an installed package as rpm's database keeps it (rpm's hdrblob: two counts, an index of 16 bytes
 * an entry, data; all big-endian). Throws UnreadableMetadata.
 */
export function parseRpmHeader(blob: Uint8Array): RpmHeader {
  if (blob.length < 8) throw new UnreadableMetadata('a package has no header')
  const view = new DataView(blob.buffer, blob.byteOffset, blob.byteLength)
  const entries = view.getUint32(0)
  const start = 8 + entries * 16
  if (entries > 0xffff || start + view.getUint32(4) > blob.length)
    throw new UnreadableMetadata('the header of a package is not whole')
  const found = new Map<number, { readonly type: number; readonly position: number }>()
  for (let at = 8; at < start; at += 16) {
    const position = start + view.getUint32(at + 8)
    if (position >= blob.length) continue
    found.set(view.getUint32(at), { type: view.getUint32(at + 4), position })
  }
  const text = (tag: number): string => {
    const entry = found.get(tag)
    if (entry === undefined || !textTypes.has(entry.type)) return ''
    const end = blob.indexOf(0, entry.position)
    return new TextDecoder().decode(blob.subarray(entry.position, end < 0 ? blob.length : end))
  }
  const epoch = found.get(tags.epoch)
  const hasEpoch = epoch?.type === int32Type && epoch.position + 4 <= blob.length
  return {
    name: text(tags.name),
    version: text(tags.version),
    release: text(tags.release),
    epoch: hasEpoch ? view.getUint32(epoch.position) : undefined,
    architecture: text(architectureTag),
    license: text(tags.license),
    vendor: text(tags.vendor),
    url: text(tags.url),
    sourceRpm: text(sourceRpmTag),
  }
}
