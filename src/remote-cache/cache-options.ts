import { rootedPath, joinPath } from '../build/paths.ts'
import { checkLevel, type CompressionSettings } from '../compression/compress.ts'
import { CairnError, usageError } from '../errors/error.ts'
import { type Digest, isDigest } from '../oci/digest.ts'
import { parseReference, type Reference, withDefaultTag } from '../oci/reference.ts'
import { cacheFields } from './cache-fields.ts'
import type { FlagFields } from '../dockerfile/flag-fields.ts'
import { type GhaPlace, ghaPlace } from './gha-options.ts'
import { type S3Place, s3Place, s3PlaceName } from './s3-options.ts'

/** Where a cache is. */
export type CachePlace =
  | {
      readonly type: 'local'
      /** A directory with an OCI layout, absolute. */
      readonly path: string
      readonly tag: string
      /** In place of the tag, to read from. */
      readonly digest: Digest | undefined
    }
  | { readonly type: 'registry'; readonly reference: Reference }
  | S3Place
  | GhaPlace

/** One `--cache-from`. */
export interface CacheImport {
  readonly place: CachePlace
  /** As the user will recognise it. */
  readonly name: string
  /** Cache mounts that are not in the store come from there, too. */
  readonly mounts: boolean
}

/** One `--cache-to`. */
export interface CacheExport {
  /** Undefined for `type=inline`: it is in the image. */
  readonly place: CachePlace | undefined
  readonly name: string
  /** `max`: all steps; `min`: those whose layers the result has. */
  readonly mode: 'min' | 'max'
  /** What layers are compressed with that are not compressed yet. */
  readonly compression: CompressionSettings | 'none'
  /** Layers that are compressed otherwise are compressed anew. */
  readonly force: boolean
  /** What the export fails with is only a warning. */
  readonly ignoreError: boolean
  /** Cache mounts that the steps use are written, too. */
  readonly mounts: boolean
  /** BuildKit is to find the steps, too. */
  readonly buildkit: boolean
  /** What the new cache does not need is removed from the directory. */
  readonly reset: boolean
}

/** What flags are read by besides their text. */
export interface CacheEnvironment {
  /** Where relative paths begin. */
  readonly cwd: string
  readonly env: Readonly<Record<string, string | undefined>>
}

/**
 * Reads the values of `--cache-from` as buildx does: `type=…,key=value`, or names of registries' caches. What
 * they leave out of credentials and the like comes from the environment. Throws USAGE with buildx's and BuildKit's texts, NOT_SUPPORTED for kinds of caches that Cairn cannot
 * read.
 */
export function parseCacheImports(values: readonly string[], environment: CacheEnvironment): readonly CacheImport[] {
  return cacheFields(values).map((fields) => {
    const read = importOf(fields, environment)
    fields.refuseOthers('--cache-from')
    return read
  })
}

/** The same of `--cache-to`, with `dest` in place of `src`. */
export function parseCacheExports(values: readonly string[], environment: CacheEnvironment): readonly CacheExport[] {
  const exports = cacheFields(values).map((fields) => {
    const read = exportOf(fields, environment)
    fields.refuseOthers('--cache-to')
    return read
  })
  if (exports.filter(({ place }) => place === undefined).length > 1)
    throw usageError('--cache-to type=inline can be given once')
  return exports
}

function importOf(fields: FlagFields, environment: CacheEnvironment): CacheImport {
  const { type } = fields
  const mounts = fields.bool('mounts', false)
  if (type === 'registry') return { place: registryPlace(fields, 'importer'), name: fields.take('ref') ?? '', mounts }
  if (type === 'local') {
    const src = fields.take('src') ?? ''
    if (src === '') throw usageError('local cache importer requires src')
    const digest = fields.take('digest')
    const tag = fields.take('tag') ?? 'latest'
    if (digest !== undefined && !isDigest(digest)) throw usageError(`invalid digest ${JSON.stringify(digest)}`)
    if (digest === undefined && tag === '')
      throw usageError('local cache importer requires either explicit digest, "latest" tag or custom tag on index.json')
    return { place: { type, path: rootedPath(joinPath(environment.cwd, src)), tag, digest }, name: src, mounts }
  }
  if (type === 's3' || type === 'gha') return { ...objectPlace(fields, type, environment), mounts }
  throw unsupported(type, 'importer')
}

function exportOf(fields: FlagFields, environment: CacheEnvironment): CacheExport {
  const { type } = fields
  const mode = fields.take('mode') ?? 'min'
  // As BuildKit: what is not known is the least.
  const common = {
    mode: mode === 'max' ? ('max' as const) : ('min' as const),
    compression: compressionOf(fields),
    force: fields.bool('force-compression', false),
    ignoreError: fields.bool('ignore-error', false),
    mounts: type !== 'inline' && fields.bool('mounts', false),
    buildkit: fields.bool('buildkit', true),
    reset: false,
  }
  if (mode !== 'min' && mode !== 'max')
    throw usageError(`invalid cache mode ${JSON.stringify(mode)}`, { hint: 'It is min or max.' })
  if (type === 'inline') return { ...common, mode: 'min', place: undefined, name: 'inline' }
  if (type === 's3' || type === 'gha') return { ...common, ...objectPlace(fields, type, environment) }
  if (!fields.bool('image-manifest', true))
    throw new CairnError('NOT_SUPPORTED', `cache ${fields.text}: caches are written as image manifests only`)
  if (!fields.bool('oci-mediatypes', true))
    throw usageError(
      'invalid configuration for remote cache, OCI mediatypes are required for image-manifest cache format',
    )
  if (type === 'registry')
    return { ...common, place: registryPlace(fields, 'exporter'), name: fields.take('ref') ?? '' }
  if (type === 'local') {
    const dest = fields.take('dest') ?? ''
    if (dest === '') throw usageError('local cache exporter requires dest')
    const tag = fields.take('tag') ?? 'latest'
    const reset = fields.bool('reset', false)
    const path = rootedPath(joinPath(environment.cwd, dest))
    return { ...common, reset, place: { type, path, tag, digest: undefined }, name: dest }
  }
  throw unsupported(type, 'exporter')
}

function objectPlace(
  fields: FlagFields,
  type: 's3' | 'gha',
  environment: CacheEnvironment,
): { readonly place: S3Place | GhaPlace; readonly name: string } {
  if (type === 'gha') {
    const place = ghaPlace(fields, environment)
    return { place, name: `gha:${place.scope}` }
  }
  const place = s3Place(fields, environment)
  return { place, name: s3PlaceName(place) }
}

function registryPlace(fields: FlagFields, role: 'importer' | 'exporter'): CachePlace {
  const ref = fields.take('ref') ?? ''
  // Which registries are spoken to without TLS is configured for all commands alike.
  fields.take('registry.insecure')
  if (ref === '') throw usageError(`registry cache ${role} requires ref`)
  const reference = withDefaultTag(parseReference(ref))
  if (role === 'exporter' && reference.digest !== undefined)
    throw usageError(`registry cache exporter cannot write to the digest reference ${ref}`, { hint: 'Name a tag.' })
  return { type: 'registry', reference }
}

function compressionOf(fields: FlagFields): CacheExport['compression'] {
  const wanted = fields.take('compression') ?? 'gzip'
  const level = fields.take('compression-level')
  if (level !== undefined && !/^[+-]?\d{1,15}$/.test(level))
    throw usageError(`non-integer value ${level} specified for compression-level`)
  if (wanted === 'uncompressed' || wanted === 'none') return 'none'
  if (wanted === 'estargz')
    throw new CairnError('NOT_SUPPORTED', `cache ${fields.text}: compression=estargz is not supported`)
  if (wanted !== 'gzip' && wanted !== 'zstd')
    throw usageError(`unsupported compression type ${wanted}`, { hint: 'There are uncompressed, gzip and zstd.' })
  const settings = { format: wanted, level: level === undefined ? undefined : Number(level) } as const
  checkLevel(settings)
  return settings
}

function unsupported(type: string, role: 'importer' | 'exporter'): CairnError {
  if (type === 'azblob')
    return new CairnError('NOT_SUPPORTED', `${type} cache ${role}: not supported`, {
      hint: 'There are type=registry, local, s3, gha and, to export, type=inline.',
    })
  if (type === 'inline' && role === 'importer')
    return usageError('inline caches are read from the image they are in', { hint: 'Give type=registry,ref=IMAGE.' })
  return usageError(`unknown cache ${role}: ${JSON.stringify(type)}`, {
    hint: 'There are registry, local, s3, gha and inline.',
  })
}
