import { comparePaths } from '../linux/path-bytes.ts'
import { defaultHostname, type OpMount, type RunOp } from '../build/graph.ts'
import { digestOf } from '../oci/digest.ts'
import { goJson } from '../oci/go-json.ts'
import type { ContentSelector } from './buildkit-content.ts'
import { fileKey, type Message, message, mkdirAction, ownerOfIds } from './buildkit-file-op.ts'
import {
  asInput,
  type InputOrigin,
  Inputs,
  originOf,
  resultOrigin,
  stepOrigin,
  textFileOrigin,
} from './buildkit-inputs.ts'
import { type BuildkitInput, type BuildkitKey, platformFields, recordDigest } from './buildkit-key.ts'

/** A mount of files, of memory or of a cache. */
interface FileMount {
  /** Where it is, which is what BuildKit sorts them by. */
  readonly target: string
  /** Undefined for the empty filesystem. */
  readonly origin: InputOrigin | undefined
  /** What is mounted of its input. */
  readonly path: string
  readonly fields: Readonly<Record<string, unknown>>
}

const networks = { default: 0, host: 1, none: 2 } as const
const sharings = { shared: 0, private: 1, locked: 2 } as const
const mountTypes = { secret: 1, ssh: 2, cache: 3, tmpfs: 4 } as const

/** What BuildKit looks RUN up by (solver/llbsolver/ops/exec.go, client/llb/exec.go). */
export function runKeys(op: RunOp): readonly BuildkitKey[] {
  // With the value of a secret the step is known to this store alone.
  const isOwn = op.mounts.some((mount) => mount.type === 'secret' && mount.fingerprint !== undefined)
  if (op.devices.length > 0 || isOwn) return []
  const ids = op.mounts.some(isUsualAgent) ? ['', usualAgent] : ['']
  return ids.map((id) => runKey(op, id))
}

/** The agent that is meant where none is named, which BuildKit tells from one that is named so. */
const usualAgent = 'default'

function isUsualAgent(mount: OpMount): boolean {
  return mount.type === 'ssh' && mount.id === usualAgent
}

function runKey(op: RunOp, agentId: string): BuildkitKey {
  const inputs = new Inputs()
  const files = fileMounts(op).toSorted((a, b) => comparePaths(a.target, b.target))
  const numbers = files.map(({ origin }) => inputs.numberOf(origin))
  const mounts = [
    ...files.map(({ target, fields }, index) => mountMessage({ input: numbers[index], dest: target, ...fields })),
    ...op.mounts.flatMap(secretMount),
    ...op.mounts.flatMap((mount) => agentMount(mount, agentId)),
  ]
  const exec = message({
    meta: metaOf(op),
    // The root alone is left out.
    mounts: mounts.length === 1 ? [] : mounts,
    network: networks[op.network],
    security: op.security === 'insecure' ? 1 : 0,
    secretenv: op.mounts.flatMap(secretVariable),
  })
  const digest = digestOf(
    goJson(new Map<string, unknown>([['Type', 'buildkit.exec.v0'], ['Exec', exec], ...platformFields(op.platform)])),
  )
  const paths = (number: number): string[] => files.flatMap(({ path }, at) => (numbers[at] === number ? [path] : []))
  return {
    digest: recordDigest(digest, 0),
    inputs: inputs.map((number, origin) => mountedInput(origin, paths(number))),
  }
}

function metaOf({ args, env, cwd, user, hostname, extraHosts, mounts }: RunOp): Message {
  const agent = mounts.find((mount) => mount.type === 'ssh')
  const variables = [...env].map(([name, value]) => `${name}=${value}`)
  if (agent !== undefined && !env.has('SSH_AUTH_SOCK')) variables.push(`SSH_AUTH_SOCK=${agent.writtenTarget}`)
  return message({
    args,
    env: variables,
    cwd,
    user,
    extraHosts: extraHosts.map(({ name }) => message({ Host: name })),
    hostname: hostname === defaultHostname ? '' : hostname,
    removeMountStubsRecursive: true,
  })
}

/** An input of which these paths are mounted. */
function mountedInput(origin: InputOrigin, paths: readonly string[]): BuildkitInput {
  return asInput(origin, digestOf(paths.join('\0')), paths.includes('/') ? [root] : paths.map(selectorOf))
}

const root: ContentSelector = { path: '/', isPattern: false, followsLinks: false, includes: [], excludes: [] }

function selectorOf(path: string): ContentSelector {
  return { ...root, path, followsLinks: true }
}

function fileMounts({ parent, mounts, script }: RunOp): FileMount[] {
  const below = { target: '/', origin: parent && resultOrigin(parent), path: '/', fields: {} }
  const scripts =
    script === undefined
      ? []
      : [
          {
            target: '/dev/pipes/',
            origin: textFileOrigin(script.name, 0o755, script.content),
            path: '/',
            fields: { output: -1, readonly: true },
          },
        ]
  return [below, ...scripts, ...mounts.flatMap(fileMount)]
}

function fileMount(mount: OpMount): FileMount[] {
  switch (mount.type) {
    case 'bind': {
      const { writtenTarget: target, source, path, readOnly } = mount
      return [{ target, origin: originOf(source), path, fields: { output: -1, readonly: readOnly } }]
    }
    case 'cache':
      return [cacheMount(mount)]
    case 'tmpfs': {
      const { writtenTarget: target, readOnly, size } = mount
      const fields = { output: -1, readonly: readOnly, mountType: mountTypes.tmpfs, TmpfsOpt: message({ size }) }
      return [{ target, origin: undefined, path: '/', fields }]
    }
    case 'secret':
    case 'ssh':
      return []
    default:
      return mount satisfies never
  }
}

function cacheMount(mount: Extract<OpMount, { type: 'cache' }>): FileMount {
  const { writtenTarget: target, id, sharing, readOnly, source, path } = mount
  // The name counts only where it is the one that a mount has without a name, whatever its namespace.
  const names = [`/${id}`, id]
  const usual = names.find((name) => name === target || name.slice(name.indexOf('/') + 1) === target)
  const cacheOpt =
    usual === undefined || sharing !== 'shared' ? message({}) : message({ ID: usual, sharing: sharings[sharing] })
  const fields = { output: -1, readonly: readOnly, mountType: mountTypes.cache, cacheOpt }
  const from = source && originOf(source)
  const owned = path === '/' ? ownedDirectory(mount, from) : undefined
  return owned === undefined
    ? { target, origin: from, path, fields }
    : { target, origin: owned, path: '/cache', fields }
}

/** What BuildKit makes for a cache mount with an owner or mode, in the files that it begins with. */
function ownedDirectory(
  { mode, uid, gid }: Extract<OpMount, { type: 'cache' }>,
  from: InputOrigin | undefined,
): InputOrigin | undefined {
  if (mode === undefined && uid === undefined && gid === undefined) return undefined
  const owner = ownerOfIds(uid ?? 0, gid ?? 0)
  const action = mkdirAction({ path: '/cache', mode: (mode ?? 0o755) & 0o777, makeParents: false, owner })
  if (from === undefined) {
    const digest = fileKey([action], [[-1, -1, 0]], 0)
    return stepOrigin({ digest, inputs: [] }, digest)
  }
  const digest = fileKey([action], [[0, -1, 0]], 1)
  const name = typeof from.identity === 'string' ? from.identity : `step ${from.identity.id}`
  return stepOrigin({ digest, inputs: [asInput(from, '', [])] }, `${digest} of ${name}`)
}

/** Whatever order they are given in, fields come in that of the message. */
function mountMessage(fields: Readonly<Record<string, unknown>>): Message {
  const { input, dest, output, readonly, mountType, TmpfsOpt, cacheOpt, secretOpt, SSHOpt } = fields
  return message({ input, dest, output, readonly, mountType, TmpfsOpt, cacheOpt, secretOpt, SSHOpt })
}

function secretMount(mount: OpMount): Message[] {
  if (mount.type !== 'secret' || mount.writtenTarget === undefined) return []
  const { id, uid, gid, mode, required, writtenTarget: dest } = mount
  const secretOpt = message({ ID: id, uid, gid, mode, optional: !required })
  return [mountMessage({ input: -1, dest, mountType: mountTypes.secret, secretOpt })]
}

function secretVariable(mount: OpMount): Message[] {
  if (mount.type !== 'secret' || mount.env === undefined) return []
  return [message({ ID: mount.id, name: mount.env, optional: !mount.required })]
}

function agentMount(mount: OpMount, usualId: string): Message[] {
  if (mount.type !== 'ssh') return []
  const { id, uid, gid, mode, required, writtenTarget: dest } = mount
  const SSHOpt = message({ ID: isUsualAgent(mount) ? usualId : id, uid, gid, mode, optional: !required })
  return [mountMessage({ input: -1, dest, mountType: mountTypes.ssh, SSHOpt })]
}
