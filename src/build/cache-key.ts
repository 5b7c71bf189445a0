import { type Digest, digestOf } from '../oci/digest.ts'
import { formatPlatform } from '../oci/platform.ts'
import { type CopyOp, defaultHostname, type FileSource, type Op, type OpMount, type RunOp } from './graph.ts'
import type { RemoteSource } from './ops/remote-source.ts'

/** Changes whenever the same inputs would give other bytes than before. */
const formatVersion = 4

/** Hex sha256 over the canonical JSON of {@link StepInputs}. */
export type CacheKey = string

/** What one file source of a step came to. */
export interface SourceInput {
  /** As the user wrote it, with the stage where there is one: `package*.json`, `dist (from build)`. */
  readonly label: string
  /** Digest of everything selected: names, types, modes, owners, links, extended attributes, bytes; not the times. */
  readonly digest: string
}

/**
 * Everything a step's result depends on. Kept with each build, so that a later miss can be explained by comparing.
 * Values of variables are kept as digests only.
 */
export interface StepInputs {
  readonly kind: Op['kind']
  /** Identity of the filesystem the step starts from; absent for `--link` and FROM. */
  readonly parent?: string
  /** What the instruction says, field by field. */
  readonly definition: Readonly<Record<string, string>>
  /** Variable name → digest of its value. */
  readonly env?: Readonly<Record<string, string>>
  readonly sources?: readonly SourceInput[]
  readonly platform: string
  /** SOURCE_DATE_EPOCH, which is in the bytes of the layer. */
  readonly epoch?: number
}

/** The key of a step with these inputs. */
export function cacheKey(inputs: StepInputs): CacheKey {
  // What a source is called says nothing of what is in it.
  const { sources, ...rest } = inputs
  const text = canonicalJson({ ...rest, sources: sources?.map(({ digest }) => digest) })
  return new Bun.CryptoHasher('sha256').update(`${formatVersion}\n${text}`).digest('hex')
}

/** Stands for the files of a step that says nothing of what is below it, with those below. */
export function stackedKey(below: CacheKey, key: CacheKey): CacheKey {
  return new Bun.CryptoHasher('sha256').update(`${below} ${key}`).digest('hex')
}

/** JSON with sorted keys and without undefined fields. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const fields = value as Readonly<Record<string, unknown>>
  let text = ''
  for (const name of Object.keys(fields).sort()) {
    const item = fields[name]
    if (item !== undefined) text += `${text === '' ? '' : ','}${JSON.stringify(name)}:${canonicalJson(item)}`
  }
  return `{${text}}`
}

/** A short digest that stands for a value which must not be kept, such as that of a variable. */
export function fingerprint(value: string): string {
  return digestOf(value).slice(7, 31)
}

/** What a step's inputs are made from besides the op itself. */
export interface InputContext {
  /** Key of the op below, undefined for the empty filesystem. */
  readonly parent: CacheKey | undefined
  /** One per source, in the order of {@link fileSources} and then {@link remoteSources}. */
  readonly sources: readonly SourceInput[]
  readonly epoch: number | undefined
  /** Whether files of contexts and what RUN writes get one fixed time. Which one, `epoch` says. */
  readonly hasFixedTimes: boolean
}

/** The inputs of an op. */
export function stepInputs(op: Op, context: InputContext): StepInputs {
  const common = {
    kind: op.kind,
    platform: formatPlatform(op.platform),
    ...(context.epoch === undefined ? {} : { epoch: context.epoch }),
  }
  const parent = { parent: context.parent ?? 'scratch' }
  switch (op.kind) {
    case 'base':
      // The filesystem is all that steps start from; the image's configuration reaches them through their own fields.
      return {
        kind: op.kind,
        platform: common.platform,
        definition: { layers: op.image.config.rootfs.diff_ids.join(' ') },
      }
    case 'run':
      return dated({ ...common, ...parent, ...runInputs(op), sources: context.sources }, context)
    case 'copy':
      return dated(
        {
          ...common,
          ...(dependsOnParent(op) ? parent : {}),
          definition: copyDefinition(op),
          sources: context.sources,
        },
        context,
      )
    case 'workdir':
      return dated({ ...common, ...parent, definition: { path: op.path, user: op.user } }, context)
    default:
      return op satisfies never
  }
}

/**
 * With the way times are given, which every layer's bytes depend on: a layer names the directories above its files, too,
 * with the times they have below. Keys of real times are those of versions that knew no others.
 */
function dated(inputs: StepInputs, { hasFixedTimes }: InputContext): StepInputs {
  return hasFixedTimes ? { ...inputs, definition: { ...inputs.definition, timestamps: 'fixed' } } : inputs
}

/** False for a COPY whose layer is the same on any filesystem: `--link` without names to look up. */
export function dependsOnParent(op: CopyOp): boolean {
  return !op.link || (op.chown !== undefined && !/^\d*(:\d*)?$/.test(op.chown))
}

function runInputs(op: RunOp): Pick<StepInputs, 'definition' | 'env'> {
  return {
    definition: {
      command: JSON.stringify(op.args),
      workdir: op.cwd,
      user: op.user,
      network: op.network,
      ...(op.security === 'sandbox' ? {} : { security: op.security }),
      ...(op.devices.length === 0 ? {} : { devices: op.devices.join(' ') }),
      ...(op.hostname === defaultHostname ? {} : { hostname: op.hostname }),
      ...(op.script === undefined ? {} : { script: digestOf(op.script.content) }),
      ...(op.extraHosts.length === 0 ? {} : { hosts: op.extraHosts.map(({ name }) => name).join(' ') }),
      ...Object.fromEntries(op.mounts.map((mount) => [`mount ${mountName(mount)}`, mountText(mount)])),
      ...Object.fromEntries(op.mounts.flatMap(secretFingerprint)),
    },
    env: Object.fromEntries([...op.env].map(([name, value]) => [name, fingerprint(value)])),
  }
}

/** What tells a mount from the step's others: where it is, or the variable that it sets. */
function mountName(mount: OpMount): string {
  return mount.target ?? (mount.type === 'secret' ? `$${mount.env ?? mount.id}` : '')
}

/** The part of the key that changes with a secret's value, for a secret that the user wants that of. */
function secretFingerprint(mount: OpMount): [string, string][] {
  return mount.type === 'secret' && mount.fingerprint !== undefined ? [[`secret ${mount.id}`, mount.fingerprint]] : []
}

/** A mount as part of the key: what it is and where; the bytes of bind mounts count through the sources. */
function mountText(mount: OpMount): string {
  switch (mount.type) {
    case 'bind':
      return `bind ${mount.path} ${mount.readOnly ? 'ro' : 'rw'}`
    case 'cache':
      return 'cache'
    case 'tmpfs':
      return `tmpfs ${mount.size ?? ''}${mount.readOnly ? ' ro' : ''}`
    case 'secret':
      // That a secret is asked for counts, and not what it is, unless the user asks for that.
      return `secret ${mount.id} ${mount.env ?? ''}`
    case 'ssh':
      return `ssh ${mount.id}`
    default:
      return mount satisfies never
  }
}

function copyDefinition(op: CopyOp): Record<string, string> {
  return {
    destination: op.destination,
    ...(op.chown === undefined ? {} : { chown: op.chown }),
    ...(op.chmod === undefined ? {} : { chmod: op.chmod.text }),
    ...(op.excludes.length === 0 ? {} : { exclude: JSON.stringify(op.excludes) }),
    ...(op.link ? { link: 'true' } : {}),
    sources: JSON.stringify(
      op.sources.map((source) =>
        source.kind === 'inline'
          ? ['inline', source.name, digestOf(source.content)]
          : source.kind === 'remote'
            ? ['remote', source.unpack]
            : ['files', source.parents, source.unpack],
      ),
    ),
  }
}

/** A place files are read from, with the path or pattern there. */
export interface FileInput {
  readonly source: FileSource
  readonly pattern: string
  readonly parents: boolean
  readonly optional: boolean
  readonly excludes: readonly string[]
}

/** The remote sources of an op; their content follows that of its {@link fileSources} in the key. */
export function remoteSources(op: Op): readonly RemoteSource[] {
  return op.kind === 'copy' ? op.sources.flatMap((item) => (item.kind === 'remote' ? [item.remote] : [])) : []
}

/** The file sources of an op whose content is part of its key. */
export function fileSources(op: Op): readonly FileInput[] {
  switch (op.kind) {
    case 'copy':
      return op.sources.flatMap((item) =>
        item.kind === 'files'
          ? [
              {
                source: item.source,
                pattern: item.pattern,
                parents: item.parents,
                optional: item.optional,
                excludes: op.excludes,
              },
            ]
          : [],
      )
    case 'run':
      return op.mounts.flatMap((mount) =>
        mount.type === 'bind'
          ? [{ source: mount.source, pattern: mount.path, parents: false, optional: false, excludes: [] }]
          : [],
      )
    default:
      return []
  }
}

/** Digest of the key of an unread source: used where the step that makes it is known by its key alone. */
export function sourceByKey(key: CacheKey | undefined, pattern: string): Digest {
  return digestOf(`${key ?? 'scratch'} ${pattern}`)
}
