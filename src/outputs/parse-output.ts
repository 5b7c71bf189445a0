import { cleanPath, joinPath } from '../build/paths.ts'
import { csvFields } from '../dockerfile/csv.ts'
import { parseGoBool } from '../dockerfile/go-bool.ts'
import { checkLevel } from '../compression/compress.ts'
import { CairnError, usageError } from '../errors/error.ts'
import { tryStat } from '../linux/file-status.ts'
import { parsePlatform, type Platform } from '../oci/platform.ts'
import { parseReference, type Reference, withDefaultTag } from '../oci/reference.ts'
import type { Annotation, BuildOutput, ImageForm } from './output.ts'

export interface OutputOptions {
  readonly cwd: string
  /** Whether a terminal is where stdout goes: archives are not written there. */
  readonly isTerminal: boolean
  /** `--annotation`, for every image output. */
  readonly annotations: readonly Annotation[]
  /** Whether an index is made: for several platforms. */
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
  const fields = new OutputFields(text)
  const output = readOutput(fields, options)
  fields.refuseOthers()
  return output
}

function readOutput(fields: OutputFields, options: OutputOptions): BuildOutput {
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
      if (fields.peek('dest') !== undefined) return archiveOutput(fields, type, options)
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

function imageOutput(fields: OutputFields, push: boolean, options: OutputOptions): BuildOutput {
  for (const name of ['unpack', 'store'] as const)
    if (!fields.bool(name, true) && name === 'store')
      throw new CairnError('NOT_SUPPORTED', `output ${fields.text}: an image is always kept in the store`)
  const isByDigest = fields.bool('push-by-digest', false)
  fields.take('name-canonical')
  fields.take('dangling-name-prefix')
  const names = isByDigest ? repositoriesOf(fields) : namesOf(fields)
  return { kind: 'image', form: imageForm(fields, options, undefined), names, push, isByDigest }
}

function archiveOutput(fields: OutputFields, type: 'oci' | 'docker', options: OutputOptions): BuildOutput {
  if (type === 'docker' && options.isIndex)
    throw usageError('docker exporter does not support exporting manifest lists, use the oci exporter instead')
  const isDirectory = !fields.bool('tar', true)
  const dest = isDirectory ? directoryOf(fields, options) : fileOf(fields, options)
  return { kind: 'archive', type, form: imageForm(fields, options, 'gzip'), names: namesOf(fields), dest, isDirectory }
}

/** Options of images, BuildKit's exporter/containerimage; layers' times are clamped to SOURCE_DATE_EPOCH in any case. */
function imageForm(
  fields: OutputFields,
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
  for (const name of ['rewrite-timestamp', 'attestation-inline', 'registry.insecure'] as const) fields.bool(name, false)
  fields.take('prefer-nondist-layers')
  fields.take('source-date-epoch')
  return {
    compression,
    level,
    force: fields.bool('force-compression', false),
    ociTypes,
    ociArtifact,
    annotations: [...annotations, ...fields.annotations(isIndex)],
  }
}

function levelOf(fields: OutputFields, compression: ImageForm['compression']): number | undefined {
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

function namesOf(fields: OutputFields): readonly Reference[] | undefined {
  const names = fields.take('name')
  if (names === undefined || names === '') return undefined
  return names.split(',').map((name) => withDefaultTag(parseReference(name.trim())))
}

/** Names without tags, of `push-by-digest`. */
function repositoriesOf(fields: OutputFields): readonly Reference[] {
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

function localMode(fields: OutputFields, { cwd, allowsDelete }: OutputOptions): 'copy' | 'delete' {
  const mode = fields.take('mode') ?? 'copy'
  if (mode !== 'copy' && mode !== 'delete') throw usageError(`invalid local exporter mode ${JSON.stringify(mode)}`)
  const dest = joinPath(cwd, fields.peek('dest') ?? '')
  if (mode === 'delete' && !allowsDelete && !cleanPath(dest).startsWith(`${cleanPath(cwd)}/`))
    throw usageError(
      `local output mode=delete for destination ${JSON.stringify(fields.peek('dest'))} requires --allow=buildx.local.delete`,
    )
  return mode
}

function attestationPrefix(fields: OutputFields): string {
  const prefix = fields.take('attestation-prefix') ?? ''
  if (/[/\0]/.test(prefix))
    throw usageError(`attestation-prefix ${JSON.stringify(prefix)} is not the beginning of a file's name`)
  return prefix
}

function splitting(fields: OutputFields): boolean | undefined {
  return fields.peek('platform-split') === undefined ? undefined : fields.bool('platform-split', true)
}

function directoryOf(fields: OutputFields, { cwd }: OutputOptions): string {
  const dest = fields.peek('dest') ?? ''
  if (dest === '') throw usageError(`dest is required for ${fields.type} exporter`)
  if (dest === '-') throw usageError(`dest cannot be stdout for ${fields.type} exporter`)
  const path = cleanPath(joinPath(cwd, dest))
  const there = tryStat(path)
  if (there !== undefined && there.type !== 'directory')
    throw usageError(`destination directory ${dest} is a ${there.type}`)
  return path
}

function fileOf(fields: OutputFields, { cwd, isTerminal }: OutputOptions): string | undefined {
  const dest = fields.peek('dest') ?? '-'
  if (dest === '-' || dest === '') {
    if (isTerminal) throw usageError(`dest file is required for ${fields.type} exporter. refusing to write to console`)
    return undefined
  }
  const path = cleanPath(joinPath(cwd, dest))
  if (tryStat(path)?.type === 'directory') throw usageError(`destination file ${dest} is a directory`)
  return path
}

/** The keys of one output. Each is taken once; one that nobody took is refused. */
class OutputFields {
  readonly type: string
  readonly text: string
  readonly #values = new Map<string, string>()
  readonly #taken = new Set(['type', 'dest'])

  constructor(text: string) {
    this.text = text
    const fields = csvFields(text, usageError)
    const [only = ''] = fields
    if (fields.length === 1 && only === text && !text.startsWith('type=')) {
      this.type = text === '-' ? 'tar' : 'local'
      this.#values.set('dest', text)
      return
    }
    for (const field of fields) {
      const equals = field.indexOf('=')
      if (equals < 0) throw usageError(`invalid value ${field}`)
      this.#values.set(field.slice(0, equals).trim().toLowerCase(), field.slice(equals + 1))
    }
    this.type = this.#values.get('type') ?? ''
    if (this.type === '') throw usageError('type is required for output')
  }

  peek(name: string): string | undefined {
    return this.#values.get(name)
  }

  take(name: string): string | undefined {
    this.#taken.add(name)
    return this.#values.get(name)
  }

  bool(name: string, absent: boolean): boolean {
    const value = this.take(name)
    if (value === undefined) return absent
    const parsed = parseGoBool(value)
    if (parsed === undefined) throw usageError(`non-bool value specified for ${name}`)
    return parsed
  }

  /** `annotation.KEY`, `annotation-manifest-descriptor[PLATFORM].KEY` and the like. */
  annotations(isIndex: boolean): Annotation[] {
    const annotations: Annotation[] = []
    for (const [name, value] of this.#values) {
      const match = /^annotation(?:-([a-z-]+))?(?:\[([^\]]*)\])?\.(.+)$/.exec(name)
      if (match === null) continue
      this.#taken.add(name)
      const [, kind = 'manifest', platform, key = ''] = match
      annotations.push({ carrier: carrierOf(kind, isIndex), platform: platformOf(platform), key, value })
    }
    return annotations
  }

  refuseOthers(): void {
    for (const name of this.#values.keys())
      if (!this.#taken.has(name)) throw usageError(`unknown key ${JSON.stringify(name)} in output ${this.text}`)
  }
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

function carrierOf(kind: string, isIndex: boolean): Annotation['carrier'] {
  if (kind === 'manifest' || kind === 'manifest-descriptor') return kind
  if (kind !== 'index' && kind !== 'index-descriptor')
    throw usageError(`unknown annotation type ${JSON.stringify(kind)}`)
  if (!isIndex) throw usageError('index annotations not supported for single platform export')
  if (kind === 'index') return kind
  throw new CairnError('NOT_SUPPORTED', 'annotations of type index-descriptor are not supported: nothing carries them')
}

function platformOf(text: string | undefined): Platform | undefined {
  return text === undefined || text === '' ? undefined : parsePlatform(text)
}
