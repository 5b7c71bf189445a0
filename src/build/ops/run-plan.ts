import { CairnError } from '../../errors/error.ts'
import { parseDevice } from '../../dockerfile/device.ts'
import type { RunInstruction, SourceRange } from '../../dockerfile/instruction.ts'
import { parseMount, type RunMount } from '../../dockerfile/mount.ts'
import { expandWord } from '../../dockerfile/words.ts'
import { defaultHostname, type FileSource, type OpMount } from '../graph.ts'
import type { StagePlanner } from '../plan/plan-stage.ts'
import { rootedPath, joinPath } from '../paths.ts'
import { summarizeHeredoc, upperCaseCommand } from '../step-title.ts'
import { heredocFileName } from './heredoc-name.ts'
import { withShell } from './metadata.ts'
import { writtenStep } from './written-step.ts'

/** Adds the op of a RUN instruction. */
export function planRun(
  planner: StagePlanner,
  instruction: RunInstruction,
  onbuild: boolean,
  range: SourceRange,
): void {
  const { state, options } = planner
  const { command, script, summary, isScript } = runCommand(instruction)
  const plainArgs = withShell(state, command)
  const args = isScript && options.dockerfile.extensions ? endingAtFailure(plainArgs) : plainArgs
  const mounts = planMounts(planner, instruction)
  const text = upperCaseCommand(expandTitle(planner, `${instruction.original}${summary}`, mounts))
  const network = runNetwork(instruction.network, planner)
  const env = state.env.snapshot()
  const written = writtenStep(planner, instruction)
  planner.add({
    kind: 'run',
    ...planner.newOp(text, onbuild, range),
    get written() {
      return written()
    },
    args,
    get env() {
      return env()
    },
    proxyEnv: planner.proxyEnv,
    cwd: rootedPath(state.workdir),
    user: state.config.User ?? '',
    network: network ?? options.network,
    security: runSecurity(instruction.security, planner),
    devices: runDevices(instruction.devices, planner),
    hostname: options.buildArgs.get('BUILDKIT_SANDBOX_HOSTNAME') || defaultHostname,
    mounts,
    extraHosts: options.extraHosts,
    script,
  })
  state.commit(`${state.runHistory(args)} # buildkit`, true)
}

interface RunCommand {
  readonly command: RunInstruction['command']
  readonly script: { readonly name: string; readonly content: string } | undefined
  /** What follows the instruction in its title. */
  readonly summary: string
  /** True for a heredoc that the stage's shell runs. */
  readonly isScript: boolean
}

/** Puts heredocs where they belong: one alone is the script itself, several are left to the shell. */
function runCommand({ command, heredocs }: RunInstruction): RunCommand {
  const first = heredocs[0]
  if (first === undefined || command.form === 'exec')
    return { command, script: undefined, summary: '', isScript: false }
  if (!/^\s*\d*<<-?\s*(["']?)[^\s<>"']+\1\s*$/.test(command.line)) {
    // As written: the shell itself takes the tabs of `<<-` away, and the history shows them.
    const bodies = heredocs.map(({ raw, name }) => `\n${raw}${name}`).join('')
    return { command: { form: 'shell', line: command.line + bodies }, script: undefined, summary: '', isScript: false }
  }
  const summary = ` (${summarizeHeredoc(first.content)})`
  if (first.content.startsWith('#!')) {
    const { content } = first
    const name = heredocFileName(first.name)
    return {
      command: { form: 'shell', line: `/dev/pipes/${name}` },
      script: { name, content },
      summary,
      isScript: false,
    }
  }
  return { command: { form: 'shell', line: first.content }, script: undefined, summary, isScript: true }
}

/** Shells whose option `-e` is that of POSIX. */
const posixShells = /(?:^|\/)(?:sh|ash|bash|dash|ksh|mksh|zsh)$/

/** With Cairn's extensions a script ends at its first line that fails, as the lines of a Dockerfile do. */
function endingAtFailure(args: string[]): string[] {
  const [shell = '', ...rest] = args
  return posixShells.test(shell) ? [shell, '-e', ...rest] : args
}

/** The title shows variables as their values, but those of secrets; quotes stay, unknown variables too. */
function expandTitle(planner: StagePlanner, text: string, mounts: readonly OpMount[]): string {
  const secrets = new Set(mounts.map((mount) => (mount.type === 'secret' ? mount.env : undefined)))
  const value = (name: string): string | undefined => (secrets.has(name) ? '****' : planner.state.env.get(name))
  try {
    return expandWord(text, value, { ...planner.words, rawQuotes: true, skipUnset: true })
  } catch {
    return text
  }
}

function runNetwork(network: string | undefined, planner: StagePlanner): 'none' | 'host' | undefined {
  if (network === undefined || network === 'default') return undefined
  if (network === 'none') return 'none'
  if (network !== 'host') throw new CairnError('DOCKERFILE_INVALID', `unsupported network mode "${network}"`)
  if (planner.options.network !== 'host') checkAllowed('network.host', planner)
  return 'host'
}

function runSecurity(security: string | undefined, planner: StagePlanner): 'sandbox' | 'insecure' {
  if (security === undefined || security === 'sandbox') return 'sandbox'
  if (security !== 'insecure') throw new CairnError('DOCKERFILE_INVALID', `unsupported security mode "${security}"`)
  checkAllowed('security.insecure', planner)
  return 'insecure'
}

function runDevices(devices: readonly string[], { options }: StagePlanner): readonly string[] {
  return devices.length === 0 ? [] : (options.findDevices?.(devices.map(parseDevice)) ?? [])
}

function checkAllowed(entitlement: string, { options }: StagePlanner): void {
  if (!options.allow.has(entitlement))
    throw new CairnError('STEP_INVALID', `${entitlement} is not allowed`, {
      hint: `Allow it with: cairn build --allow ${entitlement}`,
    })
}

function planMounts(planner: StagePlanner, { mounts }: RunInstruction): OpMount[] {
  const { node, place, expand } = planner
  let agents = 0
  return mounts.map((csv) => {
    const mount = parseMount(csv, (word, key) => (key === 'from' ? word : expand(word)))
    if (mount.type === 'secret' || mount.type === 'ssh')
      node.outline.addGrant(mount.type, { name: mount.id, required: mount.required, range: place.range })
    return mount.type === 'ssh' ? planAgent(planner, mount, agents++) : planMount(planner, mount)
  })
}

/** Where a mount appears. Throws STEP_INVALID for the root, in the words that `refuse` gives. */
function mountTarget({ state }: StagePlanner, target: string, refuse: string): string {
  const path = rootedPath(joinPath(state.workdir, target))
  if (path === '/') throw new CairnError('STEP_INVALID', refuse)
  return path
}

function planAgent(planner: StagePlanner, mount: Extract<RunMount, { type: 'ssh' }>, position: number): OpMount {
  const { type, id, required, mode, uid, gid } = mount
  const writtenTarget = mount.target ?? `/run/buildkit/ssh_agent.${position}`
  const target = mountTarget(planner, writtenTarget, 'invalid mount type SSH for /')
  return { type, id, target, writtenTarget, required, mode, uid, gid }
}

function planMount(planner: StagePlanner, mount: Exclude<RunMount, { type: 'ssh' }>): OpMount {
  if (mount.type === 'secret') {
    const { type, id, target: writtenTarget, env, required, mode, uid, gid } = mount
    const target =
      writtenTarget === undefined ? undefined : mountTarget(planner, writtenTarget, 'invalid mount type SECRET for /')
    const fingerprint = planner.options.secretFingerprint?.(id)
    return { type, id, target, writtenTarget, env, required, mode, uid, gid, fingerprint }
  }
  const target = mountTarget(planner, mount.target, 'invalid mount target "/"')
  const writtenTarget = mount.target.startsWith('/') ? mount.target : target
  switch (mount.type) {
    case 'bind':
      return {
        type: 'bind',
        target,
        writtenTarget,
        source: mountFiles(planner, mount.from) ?? { from: 'context' },
        path: rootedPath(`/${mount.source ?? ''}`),
        readOnly: mount.readOnly,
      }
    case 'cache': {
      const namespace = planner.options.buildArgs.get('BUILDKIT_CACHE_MOUNT_NS') ?? ''
      return {
        type: 'cache',
        target,
        writtenTarget,
        id: namespace === '' ? mount.id : `${namespace}/${mount.id}`,
        sharing: mount.sharing,
        readOnly: mount.readOnly,
        source: mountFiles(planner, mount.from),
        path: rootedPath(`/${mount.source ?? ''}`),
        mode: mount.mode,
        uid: mount.uid,
        gid: mount.gid,
      }
    }
    case 'tmpfs':
      return { type: 'tmpfs', target, writtenTarget, readOnly: mount.readOnly, size: mount.size }
    default:
      return mount satisfies never
  }
}

function mountFiles(planner: StagePlanner, from: string | undefined): FileSource | undefined {
  if (from === undefined) return undefined
  const files = planner.node.sources.get(from)?.fileSource(from)
  if (files === undefined)
    throw new CairnError(
      'STEP_INVALID',
      `cannot mount from stage "${from}", stage needs to be defined before current command`,
    )
  return files
}
