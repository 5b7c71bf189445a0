import { CairnError } from '../../errors/error.ts'
import type { RunInstruction, SourceRange } from '../../dockerfile/instruction.ts'
import { parseMount, type RunMount } from '../../dockerfile/mount.ts'
import type { FileSource, OpMount } from '../graph.ts'
import type { StagePlanner } from '../plan.ts'
import { cleanPath, joinPath } from '../paths.ts'
import { summarizeHeredoc, upperCaseCommand } from '../step-title.ts'
import { withShell } from './metadata.ts'

/** Adds the op of a RUN instruction. */
export function planRun(
  planner: StagePlanner,
  instruction: RunInstruction,
  onbuild: boolean,
  range: SourceRange,
): void {
  const { state, options, words } = planner
  const { command, script, summary } = runCommand(instruction)
  const args = withShell(state, command)
  const text = upperCaseCommand(expandTitle(planner, `${instruction.original}${summary}`))
  const network = runNetwork(instruction.network, planner)
  checkSecurity(instruction)
  const mounts = instruction.mounts.map((csv) =>
    planMount(
      planner,
      parseMount(csv, (word, key) => (key === 'from' ? word : state.expand(word, words))),
    ),
  )
  planner.add({
    kind: 'run',
    ...planner.nextOp(),
    title: planner.title(text, onbuild),
    text,
    stage: planner.node.title,
    range,
    parent: state.tip,
    platform: state.platform,
    ignoreCache: planner.ignoreCache,
    args,
    env: new Map(state.env),
    proxyEnv: planner.proxyEnv,
    cwd: cleanPath(state.workdir),
    user: state.config.User ?? '',
    network: network ?? options.network,
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
}

/** Puts heredocs where they belong: one alone is the script itself, several are left to the shell. */
function runCommand({ command, heredocs }: RunInstruction): RunCommand {
  const first = heredocs[0]
  if (first === undefined || command.form === 'exec') return { command, script: undefined, summary: '' }
  if (!/^\s*\d*<<-?\s*(["']?)[^\s<>"']+\1\s*$/.test(command.line)) {
    const bodies = heredocs.map(({ content, name }) => `\n${content}${name}`).join('')
    return { command: { form: 'shell', line: command.line + bodies }, script: undefined, summary: '' }
  }
  const summary = ` (${summarizeHeredoc(first.content)})`
  if (first.content.startsWith('#!')) {
    const { name, content } = first
    return { command: { form: 'shell', line: `/dev/pipes/${name}` }, script: { name, content }, summary }
  }
  return { command: { form: 'shell', line: first.content }, script: undefined, summary }
}

/** The title shows variables as their values; quotes stay, unknown variables too. */
function expandTitle(planner: StagePlanner, text: string): string {
  try {
    return planner.state.expand(text, { ...planner.words, rawQuotes: true, skipUnset: true })
  } catch {
    return text
  }
}

function runNetwork(network: string | undefined, planner: StagePlanner): 'none' | 'host' | undefined {
  if (network === undefined || network === 'default') return undefined
  if (network === 'none') return 'none'
  if (network !== 'host') throw new CairnError('DOCKERFILE_INVALID', `invalid network mode: "${network}"`)
  if (!planner.options.allow.has('network.host') && planner.options.network !== 'host')
    throw new CairnError('STEP_INVALID', 'RUN --network=host is not allowed by default', {
      hint: 'Allow it with: cairn build --allow network.host',
    })
  return 'host'
}

function checkSecurity(instruction: RunInstruction): void {
  if (instruction.security !== undefined && instruction.security !== 'sandbox')
    throw new CairnError('NOT_SUPPORTED', `RUN --security=${instruction.security} is not supported yet`)
  if (instruction.devices.length > 0) throw new CairnError('NOT_SUPPORTED', 'RUN --device is not supported yet')
}

function planMount(planner: StagePlanner, mount: RunMount): OpMount {
  const { state } = planner
  const target = cleanPath(joinPath(state.workdir, mount.target ?? ''))
  if (mount.type !== 'secret' && mount.type !== 'ssh' && target === '/')
    throw new CairnError('STEP_INVALID', `invalid mount target ${JSON.stringify(mount.target ?? '')}`)
  switch (mount.type) {
    case 'bind':
      return {
        type: 'bind',
        target,
        source: mountFiles(planner, mount.from) ?? { from: 'context' },
        path: cleanPath(`/${mount.source ?? ''}`),
        readOnly: mount.readOnly,
      }
    case 'cache':
      return {
        type: 'cache',
        target,
        id: mount.id,
        sharing: mount.sharing,
        readOnly: mount.readOnly,
        source: mountFiles(planner, mount.from),
        path: cleanPath(`/${mount.source ?? ''}`),
        mode: mount.mode,
        uid: mount.uid,
        gid: mount.gid,
      }
    case 'tmpfs':
      return { type: 'tmpfs', target, size: mount.size }
    case 'secret':
      return {
        type: 'secret',
        id: mount.id,
        target: mount.target === undefined ? undefined : target,
        env: mount.env,
        required: mount.required,
        mode: mount.mode,
        uid: mount.uid,
        gid: mount.gid,
      }
    case 'ssh':
      throw new CairnError('NOT_SUPPORTED', 'RUN --mount=type=ssh is not supported yet')
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
