const frameMagic = 0xfd2fb528
const skippableMagic = 0x184d2a50
const dictionaryIdSizes = [0, 1, 2, 4]
/** RFC 8878 §3.1.1.2.4. */
const largestBlock = 128 * 1024
const runBlock = 1
const compressedBlock = 2
const reservedBlock = 3

/**
 * Decodes whole zstd frames (RFC 8878) at once, which for some megabytes takes less time than a stream of them. Undefined
 * for what is not that, or may be more than `limit` bytes: their headers are looked at before anything is decoded.
 */
export function decodeZstd(bytes: Uint8Array<ArrayBuffer>, limit: number): Uint8Array | undefined {
  try {
    const most = mostContent(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength))
    return most === undefined || most > limit ? undefined : Bun.zstdDecompressSync(bytes)
  } catch {
    // Cut off, or damaged.
    return undefined
  }
}

/** Bytes that frames hold at most, by what they say and by how their blocks begin. Throws RangeError where one is cut off. */
function mostContent(view: DataView): number | undefined {
  let most = 0
  let at = 0
  while (at < view.byteLength) {
    const magic = view.getUint32(at, true)
    if ((magic & 0xfffffff0) >>> 0 === skippableMagic) {
      at += 8 + view.getUint32(at + 4, true)
      continue
    }
    if (magic !== frameMagic) return undefined
    const frame = frameAt(view, at)
    if (frame === undefined) return undefined
    most += frame.content
    at = frame.end
  }
  return at === view.byteLength ? most : undefined
}

function frameAt(view: DataView, start: number): { readonly end: number; readonly content: number } | undefined {
  const descriptor = view.getUint8(start + 4)
  const isSingle = (descriptor & 0x20) !== 0
  const sizeAt = start + 5 + (isSingle ? 0 : 1) + (dictionaryIdSizes[descriptor & 3] as number)
  const { told, length } = toldContent(view, sizeAt, descriptor >> 6, isSingle)
  let at = sizeAt + length
  let content = 0
  for (let isLast = false; !isLast;) {
    const header = view.getUint16(at, true) | (view.getUint8(at + 2) << 16)
    const type = (header >> 1) & 3
    const size = header >> 3
    if (type === reservedBlock) return undefined
    isLast = (header & 1) === 1
    content += type === compressedBlock ? largestBlock : size
    at += 3 + (type === runBlock ? 1 : size)
  }
  return { end: at + ((descriptor & 4) === 0 ? 0 : 4), content: Math.max(told, content) }
}

/** Frame_Content_Size, and how long the field is: a decoder makes room for as much. */
function toldContent(
  view: DataView,
  at: number,
  code: number,
  isSingle: boolean,
): { readonly told: number; readonly length: number } {
  if (code === 0) return isSingle ? { told: view.getUint8(at), length: 1 } : { told: 0, length: 0 }
  if (code === 1) return { told: view.getUint16(at, true) + 256, length: 2 }
  if (code === 2) return { told: view.getUint32(at, true), length: 4 }
  return { told: Number(view.getBigUint64(at, true)), length: 8 }
}
