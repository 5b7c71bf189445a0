import type { ImageConfig } from '../oci/config.ts'
import { digestOf } from '../oci/digest.ts'
import type { ByteSource } from '../streams/source.ts'
import { blankEntry, type TarEntry } from '../tar/entry.ts'
import { TarWriter } from '../tar/writer.ts'
import type { ImageAnalysis } from './analysis.ts'
import { analyzeImage } from './analyze-image.ts'

/** A member of a layer: a file with this content, or what `entry` says. */
export interface FixtureMember {
  readonly path: string
  readonly content?: string | Uint8Array
  readonly entry?: Partial<TarEntry>
}

/** The tar of a layer. */
export function layerTar(members: readonly FixtureMember[]): Uint8Array<ArrayBuffer> {
  const pieces: Uint8Array[] = []
  const tar = new TarWriter((bytes) => void pieces.push(new Uint8Array(bytes)))
  for (const { path, content = '', entry = {} } of members) {
    const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content
    tar.add({
      ...blankEntry,
      type: 'file',
      path,
      mode: entry.type === 'directory' ? 0o755 : 0o644,
      size: bytes.length,
      mtimeSeconds: 1,
      ...entry,
    })
    if (bytes.length > 0) tar.write(bytes)
  }
  tar.finish()
  return new Uint8Array(Buffer.concat(pieces))
}

/** A step of the history, and its layer where it made one. */
export interface FixtureStep {
  readonly createdBy: string
  /** Members, or the layer's blob. */
  readonly layer?: readonly FixtureMember[] | Uint8Array
}

export function fixtureConfig(steps: readonly FixtureStep[], fields: Partial<ImageConfig> = {}): ImageConfig {
  return {
    architecture: 'amd64',
    os: 'linux',
    rootfs: { type: 'layers', diff_ids: blobsOf(steps).map((blob) => digestOf(blob)) },
    history: steps.map(({ createdBy, layer }) => ({
      created_by: createdBy,
      ...(layer === undefined && { empty_layer: true }),
    })),
    ...fields,
  }
}

/** Analyzes an image made of these steps, its layers given in pieces of `pieceSize` bytes. */
export async function analyzeFixture(
  steps: readonly FixtureStep[],
  fields: Partial<ImageConfig> = {},
  pieceSize = 64 * 1024,
): Promise<ImageAnalysis> {
  const layers = blobsOf(steps).map((blob) => {
    const digest = digestOf(blob)
    return { digest, diffId: digest, isVerified: true, open: () => inPieces(blob, pieceSize) }
  })
  return await analyzeImage({ config: fixtureConfig(steps, fields), layers })
}

/** Bytes no two of which look alike: `seed` makes others. */
export function noise(size: number, seed = 1): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(size)
  let state = seed
  for (let at = 0; at < size; at++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    bytes[at] = state >>> 24
  }
  return bytes
}

function blobsOf(steps: readonly FixtureStep[]): Uint8Array[] {
  return steps.flatMap(({ layer }) => {
    if (layer === undefined) return []
    return [layer instanceof Uint8Array ? layer : layerTar(layer)]
  })
}

async function* inPieces(bytes: Uint8Array, size: number): ByteSource {
  // One buffer for all pieces, as readers of files have it.
  const buffer = new Uint8Array(size)
  for (let at = 0; at < bytes.length; at += size) {
    const piece = bytes.subarray(at, at + size)
    buffer.set(piece)
    yield buffer.subarray(0, piece.length)
  }
}
