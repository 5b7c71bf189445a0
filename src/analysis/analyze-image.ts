import { decompress } from '../compression/decompress.ts'
import { type ContentLimits, defaultLimits } from '../content/limits.ts'
import type { ImageConfig } from '../oci/config.ts'
import { CairnError } from '../errors/error.ts'
import { type Digest, Digester, digestAlgorithm } from '../oci/digest.ts'
import type { ByteSource } from '../streams/source.ts'
import { TarDecoder } from '../tar/decoder.ts'
import { defaultTarLimits } from '../tar/limits.ts'
import type { FileTotal, ImageAnalysis, LayerAnalysis } from './analysis.ts'
import { FileTree } from './file-tree.ts'
import { HiddenFileLog } from './hidden-files.ts'
import { layerOrigins } from './instructions.ts'
import { LayerReader } from './layer-reader.ts'
import { findPermissions } from './permissions.ts'
import { SecretLog } from './secret-log.ts'
import { walkTree } from './walk.ts'
import { findWaste } from './waste.ts'

/** A layer to be read. */
export interface LayerInput {
  /** Of the blob, where the source knows one. */
  readonly digest: Digest | undefined
  readonly diffId: Digest
  /** Whether somebody made sure that the layer unpacks to its diff ID. */
  readonly isVerified: boolean
  /** The layer's tar, compressed or not. Called once. */
  open(): ByteSource
}

export interface AnalysisInput {
  readonly config: ImageConfig
  /** Base first. */
  readonly layers: readonly LayerInput[]
}

/**
 * Reads every layer once, from its first byte to its last, and tells what they hold: what each layer adds, what is
 * wasted and by which instruction, secrets (also in files that later layers delete), and files with special rights.
 * Time is linear in the bytes, memory in the number of paths. Throws TAR_INVALID, COMPRESSION_INVALID, LAYER_UNSAFE, BLOB_CORRUPT or
 * LIMIT_EXCEEDED (past `limits`, of which `entries` also bounds the names of all layers) naming layer and member, and what the sources throw.
 */
export async function analyzeImage(
  { config, layers }: AnalysisInput,
  limits: ContentLimits = defaultLimits,
): Promise<ImageAnalysis> {
  const log = new HiddenFileLog()
  const tree = new FileTree(log, {
    names: limits.tar.entries ?? defaultTarLimits.entries,
    absolutePaths: limits.absolutePaths,
  })
  const secrets = new SecretLog(config)
  const reader = new LayerReader(tree, secrets)
  const sizes: number[] = []
  for (const [index, layer] of layers.entries()) {
    const name = `layer ${index + 1} of ${layers.length} (${layer.digest ?? layer.diffId})`
    log.beginLayer()
    reader.beginLayer(name)
    sizes.push(await readLayer(reader, layer, name, limits))
  }
  const waste = findWaste(tree, log.hidden)
  const wasted = new Map<number, number>()
  for (const { origin, bytes } of waste) wasted.set(origin, (wasted.get(origin) ?? 0) + bytes)
  const origins = layerOrigins(config)
  const analyses = layers.map(({ digest, diffId }, index): LayerAnalysis => {
    const { instruction = '', created = '' } = origins[index] ?? {}
    const changes = log.layers[index] as Pick<LayerAnalysis, 'added' | 'changed' | 'removed'>
    const wastedBytes = wasted.get(index + 1) ?? 0
    const size = sizes[index] as number
    return {
      number: index + 1,
      digest,
      diffId,
      size,
      created,
      instruction: secrets.mask.apply(instruction),
      ...changes,
      wastedBytes,
    }
  })
  const { files, bytes, layers: layerBytes } = reader.stored
  const wastedBytes = [...wasted.values()].reduce((sum, one) => sum + one, 0)
  const userBytes = layerBytes.slice(1).reduce((sum, one) => sum + one, 0)
  return {
    layers: analyses,
    size: sizes.reduce((sum, one) => sum + one, 0),
    stored: { files, bytes },
    visible: visibleFiles(tree),
    userBytes,
    wastedBytes,
    efficiency: bytes === 0 ? 1 : 1 - wastedBytes / bytes,
    userWasted: userBytes === 0 ? 0 : wastedBytes / userBytes,
    waste,
    ...secrets.findings(),
    permissions: findPermissions(tree),
    unsearched: secrets.unsearched,
  }
}

/** Reads a layer to its end; gives the bytes of its uncompressed tar. */
async function readLayer(
  reader: LayerReader,
  layer: LayerInput,
  name: string,
  { layerBytes, ratio, tar }: ContentLimits,
): Promise<number> {
  const { digest, diffId, isVerified } = layer
  const decoder = new TarDecoder(reader, tar, name)
  const digester = isVerified || digest === diffId ? undefined : new Digester(digestAlgorithm(diffId))
  let size = 0
  for await (const bytes of decompress(layer.open(), { name, maxBytes: layerBytes, maxRatio: ratio })) {
    digester?.update(bytes)
    decoder.push(bytes)
    size += bytes.length
  }
  decoder.finish()
  reader.endLayer()
  const unpacked = digester?.digest() ?? diffId
  if (unpacked !== diffId)
    throw new CairnError('BLOB_CORRUPT', `${name} unpacks to ${unpacked}, but its image config says ${diffId}`)
  return size
}

function visibleFiles(tree: FileTree): FileTotal {
  const total = { files: 0, bytes: 0 }
  const linked = new Set<object>()
  walkTree(tree.root, {
    file({ file }) {
      if (file === undefined || linked.has(file)) return
      if (file.names > 1) linked.add(file)
      total.files++
      total.bytes += file.bytes
    },
  })
  return total
}
