import type { InputBuffer } from './input-buffer.ts'

/** Content of frames that were decoded, or bytes of whole frames, or of what cannot be told, that are to be. */
export interface ZstdPart {
  readonly isContent: boolean
  /** Valid until the next part is asked for. */
  readonly bytes: Uint8Array
}

const frameMagic = 0xfd2fb528
/** Frames of more content are left to a decoder of streams. */
const largestContent = 1024 * 1024
const largestFrame = largestContent + 64 * 1024
/** Content up to this size is decoded in less time than it takes to hand it to a thread. */
const smallContent = 64 * 1024
const rawBlock = 0
const runBlock = 1

/**
 * Cuts zstd data (RFC 8878 §3.1) at its frames as far as these tell how large they are, and decodes those that are small or
 * hold nothing but raw blocks: what does not compress is only copied. A frame that is cut off or wrong is passed on.
 */
export async function* zstdParts(input: InputBuffer): AsyncGenerator<ZstdPart> {
  while (await input.fill(1)) {
    const frame = await frameAt(input)
    if (frame === undefined) break
    const bytes = input.bytes.subarray(input.start, input.start + frame.size)
    const content = frame.isCheap ? decoded(bytes) : undefined
    input.start += frame.size
    yield content === undefined ? { isContent: false, bytes } : { isContent: true, bytes: content }
  }
  for await (const bytes of input.rest()) yield { isContent: false, bytes }
}

function decoded(frame: Uint8Array<ArrayBuffer>): Uint8Array | undefined {
  try {
    return Bun.zstdDecompressSync(frame)
  } catch {
    return undefined
  }
}

/** The frame at the beginning of the input, all of which is then there; undefined for one that is large, cut off or wrong. */
async function frameAt(input: InputBuffer): Promise<{ readonly size: number; readonly isCheap: boolean } | undefined> {
  if (!(await input.fill(9))) return undefined
  const view = viewOf(input)
  const descriptor = view.getUint8(4)
  const isSingle = (descriptor & 0x20) !== 0
  // A dictionary, or a window in place of a size.
  if (view.getUint32(0, true) !== frameMagic || !isSingle || (descriptor & 3) !== 0) return undefined
  const sizeCode = descriptor >> 6
  if (sizeCode === 3) return undefined
  const content =
    sizeCode === 0 ? view.getUint8(5) : sizeCode === 1 ? view.getUint16(5, true) + 256 : view.getUint32(5, true)
  if (content === 0 || content > largestContent) return undefined
  let size = 5 + 2 ** sizeCode
  let isRaw = true
  for (let isLast = false; !isLast;) {
    if (size > largestFrame || !(await input.fill(size + 3))) return undefined
    const at = input.start + size
    const { bytes } = input
    const header = (bytes[at] as number) | ((bytes[at + 1] as number) << 8) | ((bytes[at + 2] as number) << 16)
    const type = (header >> 1) & 3
    isLast = (header & 1) === 1
    isRaw &&= type === rawBlock
    size += 3 + (type === runBlock ? 1 : header >> 3)
  }
  if ((descriptor & 4) !== 0) size += 4
  if (size > largestFrame || !(await input.fill(size))) return undefined
  return { size, isCheap: isRaw || content <= smallContent }
}

function viewOf({ bytes, start }: InputBuffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset + start)
}
