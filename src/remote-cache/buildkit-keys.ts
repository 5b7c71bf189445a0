import { comparePaths } from '../linux/path-bytes.ts'
import { chainIds } from '../oci/config.ts'
import { type FileInput, fileSources } from '../build/cache-key.ts'
import {
  type BaseOp,
  type CopyOp,
  defaultHostname,
  type Op,
  type OpMount,
  type RunOp,
  type WorkdirOp,
} from '../build/graph.ts'
import { cleanPath } from '../build/paths.ts'
import { digestOf } from '../oci/digest.ts'
import { goJson } from '../oci/go-json.ts'
import type { Platform } from '../oci/platform.ts'

/** One input of a step, as BuildKit's solver looks at it. */
export interface BuildkitInput {
  /** The step whose result it is; undefined for a build context, which counts by its content alone, and for `step`. */
  readonly op: Op | undefined
  /** A step of BuildKit's that is part of one of Cairn's. */
  readonly step?: BuildkitKey
  /** Stands for the paths that are read of it; empty where all of it counts. */
  readonly selector: string
  /** Sources in a context. */
  readonly files: readonly FileInput[]
}

/** What BuildKit looks a step up by. */
export interface BuildkitKey {
  /** Digest of the record. */
  readonly digest: string
  readonly inputs: readonly BuildkitInput[]
}

/**
 * The digests that BuildKit's records of a base image have: by its manifest and by its layers (source/containerimage,
 * solver/ops/source.go). An image of several platforms it knows by the index, which Cairn does not look at here.
 */
export function buildkitBaseKeys({ image: { digest, config, platform } }: BaseOp): readonly string[] {
  const chain = chainIds(config.rootfs.diff_ids).at(-1)
  if (chain === undefined) return []
  const manifest = digestOf(JSON.stringify(Object.fromEntries([['Digest', digest], ...platformFields(platform)])))
  return [manifest, chain].map((key) => recordDigest(digestOf(`buildkit.source.v0:${key}`), 0))
}

/** The digest of the record for what a context has at some paths, whose content hash this is. */
export function buildkitContentKey(contentHash: string): string {
  return recordDigest(contentHash, -1)
}

/**
 * What BuildKit (solver/llbsolver/ops, frontend/dockerfile2llb) would look a step up by; undefined for steps of which
 * Cairn does not know it to the letter. A key that is wrong in any way is another digest and finds nothing.
 */
export function buildkitKey(op: Op): BuildkitKey | undefined {
  switch (op.kind) {
    case 'base':
      return undefined
    case 'run':
      return runKey(op)
    case 'copy':
      return copyKey(op)
    case 'workdir':
      return workdirKey(op)
    default:
      return op satisfies never
  }
}

/** The digest of a record: that of the step with the number of its output. */
function recordDigest(digest: string, output: number): string {
  return digestOf(`${digest}@${output}`)
}

/** Fields in the order of a Go struct; what is empty is left out, as protobuf has it. */
function struct(fields: Readonly<Record<string, unknown>>): ReadonlyMap<string, unknown> {
  const isEmpty = (value: unknown): boolean =>
    value === undefined ||
    value === '' ||
    value === 0 ||
    value === false ||
    (Array.isArray(value) && value.length === 0)
  return new Map(Object.entries(fields).filter(([, value]) => !isEmpty(value)))
}

const networks = { default: 0, host: 1, none: 2 } as const

function runKey(op: RunOp): BuildkitKey | undefined {
  const { args, env, cwd, user, network, security, devices, hostname, mounts, extraHosts, script, parent } = op
  const ownMounts = mounts.map(mountOf)
  if (script !== undefined || devices.length > 0 || parent === undefined || ownMounts.includes(undefined))
    return undefined
  const meta = struct({
    args,
    env: [...env].map(([name, value]) => `${name}=${value}`),
    cwd,
    user,
    extraHosts: extraHosts.map(({ name }) => struct({ Host: name })),
    hostname: hostname === defaultHostname ? '' : hostname,
    removeMountStubsRecursive: true,
  })
  // Mounts are sorted by where they are; the root alone is left out.
  const sorted = ownMounts.flatMap((mount) => mount ?? []).toSorted((a, b) => (a.target < b.target ? -1 : 1))
  const exec = struct({
    meta,
    mounts: sorted.length === 0 ? [] : [struct({ dest: '/' }), ...sorted.map(({ fields }) => fields)],
    network: networks[network],
    security: security === 'insecure' ? 1 : 0,
  })
  const digest = digestOf(
    goJson(new Map<string, unknown>([['Type', 'buildkit.exec.v0'], ['Exec', exec], ...platformFields(op.platform)])),
  )
  return {
    digest: recordDigest(digest, 0),
    inputs: [{ op: parent, selector: digestOf('/'), files: [] }],
  }
}

function platformFields({ os, architecture, variant }: Platform): [string, unknown][] {
  return [
    ['OS', os],
    ['Arch', architecture],
    ...(variant === undefined ? [] : [['Variant', variant] as [string, unknown]]),
  ]
}

const sharings = { shared: 0, private: 1, locked: 2 } as const

/** A mount that has no input; undefined for one that has, or that Cairn does not know to the letter. */
function mountOf(
  mount: OpMount,
): { readonly target: string; readonly fields: ReadonlyMap<string, unknown> } | undefined {
  if (mount.type !== 'cache' || mount.source !== undefined || mount.path !== '/') return undefined
  const { target, id, sharing, readOnly, mode, uid, gid } = mount
  if (mode !== undefined || uid !== undefined || gid !== undefined) return undefined
  // The name counts only where it is the one that a mount has without a name.
  const isDefault = id === target && sharing === 'shared'
  const cacheOpt = isDefault ? struct({ ID: `/${id}`, sharing: sharings[sharing] }) : new Map<string, unknown>()
  return { target, fields: struct({ input: -1, dest: target, output: -1, readonly: readOnly, mountType: 3, cacheOpt }) }
}

function workdirKey({ path, user, parent, platform }: WorkdirOp): BuildkitKey | undefined {
  if (parent === undefined || platform.os === 'windows') return undefined
  const owner = user === '' ? undefined : ownerOf(user)
  const action = struct({ path, mode: 0o755, makeParents: true, owner, timestamp: -1 })
  return { digest: fileKey([action], undefined), inputs: [{ op: parent, selector: '', files: [] }] }
}

function copyKey(op: CopyOp): BuildkitKey | undefined {
  const { sources, destination, chown, chmod, excludes, link, parent } = op
  const files = sources.flatMap((source) =>
    source.kind === 'files' && !source.parents && !source.optional ? [source] : [],
  )
  const [first] = files
  if (files.length !== sources.length || first === undefined) return undefined
  // Which input a name is looked up in is known of the plain case only.
  const isNamed = chown !== undefined && !/^(?:\d+|root)(?::(?:\d+|root))?$/.test(chown)
  if (isNamed && (files.length > 1 || link || parent === undefined)) return undefined
  const paths = files.map(({ pattern }) => cleanPath(`/${pattern}`))
  const actions = files.map(({ unpack }, index) =>
    struct({
      src: baseOf(paths[index] ?? '/'),
      dest: destination,
      owner: chown === undefined ? undefined : ownerOf(chown),
      mode: chmod === undefined ? -1 : (chmod.octal ?? 0),
      followSymlink: true,
      dirCopyContents: true,
      attemptUnpackDockerCompatibility: unpack,
      createDestPath: true,
      allowWildcard: true,
      allowEmptyWildcard: true,
      timestamp: -1,
      exclude_patterns: excludes,
      modeStr: chmod === undefined || chmod.octal !== undefined ? '' : chmod.text,
    }),
  )
  const { source } = first
  if (source.from === 'op' && source.op === undefined) return undefined
  // Two inputs that are one have one number.
  if (source.from === 'op' && source.op === parent && !link) return undefined
  const selector = digestOf(paths.toSorted(comparePaths).reverse().join('\0'))
  const from: BuildkitInput = {
    op: source.from === 'op' ? source.op : undefined,
    selector,
    files: source.from === 'context' ? fileSources(op) : [],
  }
  const below: BuildkitInput | undefined = parent === undefined ? undefined : { op: parent, selector: '', files: [] }
  const last = actions.length - 1
  if (below !== undefined && !link) {
    // Two inputs, and what each action gives to the next; left out where there are no more than two actions.
    const numbers = actions.map((_, index) => [index === 0 ? 0 : index + 1, 1, index === last ? 0 : -1])
    return { digest: fileKey(actions, actions.length > 2 ? numbers : undefined), inputs: [below, from] }
  }
  // Of the empty filesystem there is no input: the numbers of the inputs are not the usual ones then.
  const indexes = actions.map((_, index) => [index === 0 ? -1 : index, 0, index === last ? 0 : -1])
  const copied = { digest: fileKey(actions, indexes), inputs: [from] }
  // A link is a step on the empty filesystem to BuildKit, and another one that merges it.
  return below === undefined
    ? copied
    : { digest: mergeKey, inputs: [below, { op: undefined, step: copied, selector: '', files: [] }] }
}

const mergeKey = recordDigest(digestOf('{"Type":"buildkit.merge.v0","Merge":{"inputs":[{},{"input":1}]}}'), 0)

function fileKey(
  actions: readonly ReadonlyMap<string, unknown>[],
  indexes: readonly (readonly number[])[] | undefined,
): string {
  // Go writes bytes as base64.
  const encoded = actions.map((action) => Buffer.from(goJson(action)).toString('base64'))
  const fields = new Map<string, unknown>([
    ['Type', 'buildkit.file.v0'],
    ['Actions', encoded],
    ['indexes', indexes],
  ])
  return recordDigest(digestOf(goJson(fields)), 0)
}

/** `user[:group]`, IDs where they are numbers. */
function ownerOf(text: string): ReadonlyMap<string, unknown> {
  const colon = text.indexOf(':')
  const [user, group] = colon < 0 ? [text, undefined] : [text.slice(0, colon), text.slice(colon + 1)]
  return struct({ user: identityOf(user), group: group === undefined ? undefined : identityOf(group) })
}

function identityOf(text: string): ReadonlyMap<string, unknown> {
  const id = text === 'root' ? 0 : /^\d{1,9}$/.test(text) ? Number(text) : undefined
  return new Map([['User', id === undefined ? struct({ byName: struct({ name: text }) }) : struct({ byId: id })]])
}

/** Go's path.Base. */
function baseOf(path: string): string {
  return path === '/' ? '/' : path.slice(path.lastIndexOf('/') + 1)
}
