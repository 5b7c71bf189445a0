import { rootedPath, joinPath, parentPath } from '../build/paths.ts'
import { csvFields } from '../dockerfile/csv.ts'
import { FlagFields } from '../dockerfile/flag-fields.ts'
import { checkLevel } from '../compression/compress.ts'
import { CairnError, usageError } from '../errors/error.ts'
import { tryStat } from '../linux/file-status.ts'
import { parsePlatform, type Platform } from '../oci/platform.ts'
import { parseReference, type Reference, withDefaultTag, withoutTag } from '../oci/reference.ts'
import type { Annotation, BuildOutput, ImageForm } from './output.ts'

export interface OutputOptions {
  readonly cwd: string
  /** Whether a terminal is where stdout goes: archives are not written there. */
  readonly isTerminal: boolean
  /** `--annotation`, for every image output. */
  readonly annotations: readonly Annotation[]
  /** Whether an index is made: for several platforms, or for attestations. */
  readonly isIndex: boolean
  /** `--allow buildx.local.delete`. */
  readonly allowsDelete: boolean
}

/**
 * Reads the values of `--output` as buildx does: `type=…,key=value`, a directory, or `-` for a tar on stdout. Throws
 * USAGE with buildx's texts, NOT_SUPPORTED for what Cairn cannot write.
 */
export function parseOutputs(values: readonly string[], options: OutputOptions): readonly BuildOutput[] {
  const outputs = values.filter((value) => value !== '').map((value) => parseOutput(value, options))
  const onStdout = outputs.filter((output) => 'dest' in output && output.dest === undefined)
  if (onStdout.length > 1) throw usageError('multiple outputs configured to write to stdout')
  return outputs
}

function parseOutput(text: string, options: OutputOptions): BuildOutput {
  const fields = outputFields(text)
  const output = readOutput(fields, options)
  // What has no place of its own may name one all the same.
  fields.take('dest')
  fields.refuseOthers('output')
  return output
}

function outputFields(text: string): FlagFields {
  const [only, ...others] = csvFields(text, usageError)
  if (others.length === 0 && only === text && !text.startsWith('type='))
    return FlagFields.of(text, { type: text === '-' ? 'tar' : 'local', dest: text })
  const fields = FlagFields.parse(text)
  if (fields.type === '') throw usageError('type is required for output')
  return fields
}

function readOutput(fields: FlagFields, options: OutputOptions): BuildOutput {
  const { type } = fields
  switch (type) {
    case 'local':
      return {
        kind: 'files',
        type,
        dest: directoryOf(fields, options),
        mode: localMode(fields, options),
        isSplit: splitting(fields),
        attestationPrefix: attestationPrefix(fields),
      }
    case 'tar':
      return {
        kind: 'files',
        type,
        dest: fileOf(fields, options),
        mode: 'copy',
        isSplit: splitting(fields),
        attestationPrefix: attestationPrefix(fields),
      }
    case 'oci':
      return archiveOutput(fields, type, options)
    case 'docker':
      // Without a place it is what --load asks for.
      if (fields.take('dest') !== undefined) return archiveOutput(fields, type, options)
      return imageOutput(fields, false, options)
    case 'image':
      return imageOutput(fields, fields.bool('push', false), options)
    case 'registry':
      return imageOutput(fields, fields.bool('push', true), options)
    case 'cacheonly':
      return { kind: 'none' }
    default:
      throw usageError(`exporter ${JSON.stringify(type)} could not be found`, {
        hint: 'There are image, registry, oci, docker, tar and local.',
      })
  }
}

function imageOutput(fields: FlagFields, push: boolean, options: OutputOptions): BuildOutput {
  // Layers are unpacked when a container starts from them.
  fields.bool('unpack', true)
  if (!fields.bool('store', true))
    throw new CairnError('NOT_SUPPORTED', `output ${fields.text}: an image is always kept in the store`, {
      hint: 'Leave store=false off, and remove the image when it is pushed: cairn rmi NAME.',
    })
  const context = fields.take('context') ?? ''
  if (context !== '' && context !== 'default')
    throw new CairnError('NOT_SUPPORTED', `output ${fields.text}: there is no context ${JSON.stringify(context)}`, {
      hint: 'Images go to the store of this machine; leave context off.',
    })
  const isByDigest = fields.bool('push-by-digest', false)
  const isCanonical = fields.bool('name-canonical', false)
  const prefix = fields.take('dangling-name-prefix') ?? ''
  const danglingRepository = prefix === '' ? undefined : withoutTag(parseReference(prefix))
  const names = isByDigest ? repositoriesOf(fields) : namesOf(fields)
  const form = imageForm(fields, options, undefined)
  return { kind: 'image', form, names, push, isByDigest, isCanonical, danglingRepository }
}

function archiveOutput(fields: FlagFields, type: 'oci' | 'docker', options: OutputOptions): BuildOutput {
  if (type === 'docker' && options.isIndex)
    throw usageError('docker exporter does not support exporting manifest lists, use the oci exporter instead')
  const isDirectory = !fields.bool('tar', true)
  const dest = isDirectory ? directoryOf(fields, options) : fileOf(fields, options)
  return { kind: 'archive', type, form: imageForm(fields, options, 'gzip'), names: namesOf(fields), dest, isDirectory }
}

/** What BuildKit knows and an image here is the same with and without. */
const ignoredKeys = [
  'rewrite-timestamp',
  'attestation-inline',
  'registry.insecure',
  'prefer-nondist-layers',
  'buildinfo',
  'buildinfo-attrs',
] as const

/** Options of images, BuildKit's exporter/containerimage; layers' times are clamped to SOURCE_DATE_EPOCH in any case. */
function imageForm(
  fields: FlagFields,
  { annotations, isIndex }: OutputOptions,
  defaultCompression: ImageForm['compression'],
): ImageForm {
  const wanted = fields.take('compression')
  const compression = wanted === 'uncompressed' || wanted === 'none' ? 'none' : (wanted ?? defaultCompression)
  if (compression !== undefined && !isCompression(compression))
    throw usageError(`unsupported compression type ${compression}`, {
      hint: 'There are uncompressed, gzip, estargz, zstd and zstd:chunked.',
    })
  // As with BuildKit type=docker has docker's own media types where there are such.
  const ociArtifact = fields.bool('oci-artifact', false)
  const isDockers = fields.type === 'docker' && (compression === 'gzip' || compression === 'none') && !ociArtifact
  const ociTypes = fields.bool('oci-mediatypes', !isDockers)
  if (compression === 'estargz' && !ociTypes)
    throw usageError(`exporter option "compression=${compression}" conflicts with "oci-mediatypes=false"`)
  const level = levelOf(fields, compression)
  if (ociArtifact && !ociTypes)
    throw usageError('exporter option "oci-artifact=true" conflicts with "oci-mediatypes=false"')
  for (const name of ignoredKeys) fields.bool(name, false)
  if (fields.take('source-date-epoch') !== undefined)
    throw new CairnError('NOT_SUPPORTED', `output ${fields.text}: outputs have no times of their own`, {
      hint: 'Set SOURCE_DATE_EPOCH, which counts for the whole build.',
    })
  return {
    compression,
    level,
    force: fields.bool('force-compression', false),
    ociTypes,
    ociArtifact,
    annotations: [...annotations, ...annotationsOf(fields, isIndex)],
  }
}

function levelOf(fields: FlagFields, compression: ImageForm['compression']): number | undefined {
  const text = fields.take('compression-level')
  if (text === undefined) return undefined
  if (!/^[+-]?\d{1,15}$/.test(text)) throw usageError(`non-integer value ${text} specified for compression-level`)
  const level = Number(text)
  if (compression !== undefined && compression !== 'none')
    checkLevel({ format: compression.startsWith('zstd') ? 'zstd' : 'gzip', level })
  return level
}

function isCompression(text: string): text is NonNullable<ImageForm['compression']> {
  return ['none', 'gzip', 'zstd', 'zstd:chunked', 'estargz'].includes(text)
}

function namesOf(fields: FlagFields): readonly Reference[] | undefined {
  const names = fields.take('name')
  if (names === undefined || names === '') return undefined
  return names.split(',').map((name) => withDefaultTag(parseReference(name.trim())))
}

/** Names without tags, of `push-by-digest`. */
function repositoriesOf(fields: FlagFields): readonly Reference[] {
  const names = (fields.take('name') ?? '').split(',').filter((name) => name !== '')
  if (names.length === 0)
    throw usageError('push-by-digest needs the name of a repository', { hint: 'Give name=REPOSITORY.' })
  return names.map((name) => {
    const reference = parseReference(name.trim())
    if (reference.tag !== undefined || reference.digest !== undefined)
      throw usageError(`can't push tagged ref ${name.trim()} by digest`, { hint: 'Leave the tag off.' })
    return reference
  })
}

function localMode(fields: FlagFields, { cwd, allowsDelete }: OutputOptions): 'copy' | 'delete' {
  const mode = fields.take('mode') ?? 'copy'
  if (mode !== 'copy' && mode !== 'delete') throw usageError(`invalid local exporter mode ${JSON.stringify(mode)}`)
  const dest = joinPath(cwd, fields.take('dest') ?? '')
  if (mode === 'delete' && !allowsDelete && !rootedPath(dest).startsWith(`${rootedPath(cwd)}/`))
    throw usageError(
      `local output mode=delete for destination ${JSON.stringify(fields.take('dest'))} requires --allow=buildx.local.delete`,
    )
  return mode
}

function attestationPrefix(fields: FlagFields): string {
  const prefix = fields.take('attestation-prefix') ?? ''
  if (/[/\0]/.test(prefix))
    throw usageError(`attestation-prefix ${JSON.stringify(prefix)} is not the beginning of a file's name`)
  return prefix
}

function splitting(fields: FlagFields): boolean | undefined {
  return fields.take('platform-split') === undefined ? undefined : fields.bool('platform-split', true)
}

function directoryOf(fields: FlagFields, { cwd }: OutputOptions): string {
  const dest = fields.take('dest') ?? ''
  if (dest === '') throw usageError(`dest is required for ${fields.type} exporter`)
  if (dest === '-') throw usageError(`dest cannot be stdout for ${fields.type} exporter`)
  const path = rootedPath(joinPath(cwd, dest))
  const there = tryStat(path)
  if (there !== undefined && there.type !== 'directory')
    throw usageError(`destination directory ${dest} is a ${there.type}`)
  return path
}

function fileOf(fields: FlagFields, { cwd, isTerminal }: OutputOptions): string | undefined {
  const dest = fields.take('dest') ?? '-'
  if (dest === '-' || dest === '') {
    if (isTerminal) throw usageError(`dest file is required for ${fields.type} exporter. refusing to write to console`)
    return undefined
  }
  const path = rootedPath(joinPath(cwd, dest))
  if (tryStat(path)?.type === 'directory') throw usageError(`destination file ${dest} is a directory`)
  // It is made when all is built, which may take long.
  const parent = parentPath(path)
  if (tryStat(parent)?.type !== 'directory')
    throw usageError(`open ${dest}: no such file or directory`, { hint: `Make the directory ${parent} first.` })
  return path
}

/**
 * Reads the values of `--annotation`: `[TYPE[[PLATFORM]],…:]KEY=VALUE`; `isIndex` says that an index is made. Throws USAGE
 * with buildx's texts.
 */
export function parseAnnotations(values: readonly string[], isIndex: boolean): readonly Annotation[] {
  return values.flatMap((text) => {
    if (text === '') return []
    const equals = text.indexOf('=')
    if (equals < 0) throw usageError(`invalid annotation ${JSON.stringify(text)}, expected key=value`)
    const [name, value] = [text.slice(0, equals), text.slice(equals + 1)]
    const colon = name.indexOf(':')
    const types = colon < 0 ? ['manifest'] : name.slice(0, colon).split(',')
    return types.map((type): Annotation => {
      const match = /^([a-z-]+)(?:\[([A-Za-z0-9_/-]+)\])?$/.exec(type)
      if (match === null)
        throw usageError(
          `invalid annotation type ${JSON.stringify(type)}, expected type and optional platform in square brackets`,
        )
      const [, kind = '', platform] = match
      return { carrier: carrierOf(kind, isIndex), platform: platformOf(platform), key: name.slice(colon + 1), value }
    })
  })
}

/** `annotation.KEY`, `annotation-manifest-descriptor[PLATFORM].KEY` and the like. */
function annotationsOf(fields: FlagFields, isIndex: boolean): Annotation[] {
  const matches = fields.takeMatches(/^annotation(?:-([a-z-]+))?(?:\[([^\]]*)\])?\.(.+)$/)
  return matches.map(([[, kind = 'manifest', platform, key = ''], value]) => {
    return { carrier: carrierOf(kind, isIndex), platform: platformOf(platform), key, value }
  })
}

function carrierOf(kind: string, isIndex: boolean): Annotation['carrier'] {
  if (kind === 'manifest' || kind === 'manifest-descriptor') return kind
  if (kind !== 'index' && kind !== 'index-descriptor')
    throw usageError(`unknown annotation type ${JSON.stringify(kind)}`)
  if (!isIndex) throw usageError('index annotations not supported for single platform export')
  return kind
}

function platformOf(text: string | undefined): Platform | undefined {
  return text === undefined || text === '' ? undefined : parsePlatform(text)
}
