import { CairnError } from '../../errors/error.ts'
import { signalNumber } from '../../linux/signals.ts'
import { parsePorts } from '../../dockerfile/ports.ts'
import type {
  ArgInstruction,
  CmdInstruction,
  CommandLine,
  EntrypointInstruction,
  EnvInstruction,
  HealthcheckInstruction,
  Instruction,
  KeyValue,
  LabelInstruction,
} from '../../dockerfile/instruction.ts'
import { type WordOptions, expandWords } from '../../dockerfile/words.ts'
import { builderOnlyArguments } from '../plan/platform-args.ts'
import { formatHealthcheck, goList, goStringList } from './history-text.ts'
import type { InstructionLint } from '../plan/instruction-lint.ts'
import type { StageState } from '../plan/stage-state.ts'

/** An ARG of a stage. */
export interface DeclaredArgument {
  readonly name: string
  readonly value: string | undefined
  /** It only makes a global ARG known to the stage. */
  readonly isInherited: boolean
  readonly comments: readonly string[] | undefined
}

/** What planning an instruction needs besides its stage. */
export interface InstructionScope extends InstructionLint {
  readonly words: WordOptions
  /** `--build-arg`s with a value. */
  readonly buildArgs: ReadonlyMap<string, string>
  /** ARGs before the first FROM and the platform arguments, with their values. */
  readonly globalArgs: ReadonlyMap<string, string>
  /** Called with each ARG of a stage. */
  readonly declare: (argument: DeclaredArgument) => void
}

/** Instructions that change only the image's configuration; the others have an op of their own. */
export type MetadataInstruction = Exclude<Instruction, { kind: 'RUN' | 'COPY' | 'ADD' | 'WORKDIR' }>

/** The command with the stage's SHELL put in front where it is in shell form. */
export function withShell(state: StageState, command: CommandLine): string[] {
  if (command.form === 'exec') return [...command.args]
  const shell = state.config.Shell ?? []
  return [...(shell.length > 0 ? shell : ['/bin/sh', '-c']), command.line]
}

/** Applies one instruction to the stage's configuration and history. */
export function applyMetadata(state: StageState, instruction: MetadataInstruction, scope: InstructionScope): void {
  const { config } = state
  const { expand } = scope
  switch (instruction.kind) {
    case 'ENV':
      return applyEnv(state, instruction, scope)
    case 'LABEL':
      return applyLabel(state, instruction, scope)
    case 'ARG':
      return applyArg(state, instruction, scope)
    case 'CMD': {
      tellCommand(state, instruction, scope)
      const args = withShell(state, instruction.command)
      config.Cmd = args
      config.ArgsEscaped = true
      return state.commit(`CMD ${goStringList(args)}`, false)
    }
    case 'ENTRYPOINT': {
      tellCommand(state, instruction, scope)
      const args = withShell(state, instruction.command)
      if (args.length > 0) config.Entrypoint = args
      else delete config.Entrypoint
      // A command inherited from the base image belongs to the entrypoint that is replaced here.
      if (!state.latest.has('CMD')) delete config.Cmd
      return state.commit(`ENTRYPOINT ${goStringList(args)}`, false)
    }
    case 'EXPOSE': {
      const words = instruction.ports.flatMap((port) => expandWords(port, (name) => state.env.get(name), scope.words))
      const ports = parsePorts(words, (port) => scope.tell('port', port))
      state.addNames('ExposedPorts', ports)
      return state.commit(`EXPOSE ${goList(ports)}`, false)
    }
    case 'VOLUME': {
      const paths = instruction.paths.map(expand)
      if (paths.includes('')) throw new InstructionError('VOLUME specified can not be an empty string')
      state.addNames('Volumes', paths)
      return state.commit(`VOLUME ${goList(paths)}`, false)
    }
    case 'USER':
      config.User = expand(instruction.user)
      return state.commit(`USER ${config.User}`, false)
    case 'STOPSIGNAL': {
      const signal = expand(instruction.signal)
      if (signalNumber(signal) === undefined) throw new CairnError('DOCKERFILE_INVALID', `invalid signal: ${signal}`)
      config.StopSignal = signal
      return state.commit(`STOPSIGNAL ${signal}`, false)
    }
    case 'SHELL':
      config.Shell = [...instruction.shell]
      return state.commit(`SHELL ${goList(instruction.shell)}`, false)
    case 'MAINTAINER':
      state.author = instruction.name
      return state.commit(`MAINTAINER ${instruction.name}`, false)
    case 'HEALTHCHECK':
      tellCommand(state, instruction, scope)
      return applyHealthcheck(state, instruction)
    case 'ONBUILD':
      state.addTrigger(instruction.expression)
      return undefined
    default:
      return instruction satisfies never
  }
}

/** A problem of one instruction; whoever knows the line adds it. */
export class InstructionError extends Error {}

function pairsText(pairs: readonly KeyValue[]): string {
  return pairs.map(({ key, value }) => ` ${key}=${value}`).join('')
}

/** Before it takes the place of the last one of its kind. */
function tellCommand(
  state: StageState,
  instruction: CmdInstruction | EntrypointInstruction | HealthcheckInstruction,
  { place, tell }: InstructionLint,
): void {
  const { kind, keyword } = instruction
  const isShell = kind !== 'HEALTHCHECK' && instruction.command.form === 'shell'
  const defaultShell = isShell && (state.config.Shell ?? []).length === 0
  tell('command', { keyword, defaultShell, previous: state.latest.get(kind) })
  state.latest.set(kind, place)
}

/** Every key and value sees the environment from before the line. */
function expandPairs({ pairs }: EnvInstruction | LabelInstruction, { expand }: InstructionLint): KeyValue[] {
  return pairs.map(({ key, value }) => ({ key: expand(key), value: expand(value) }))
}

function applyEnv(state: StageState, instruction: EnvInstruction, scope: InstructionLint): void {
  const { kind, keyword, legacy } = instruction
  const pairs = expandPairs(instruction, scope)
  for (const { key, value } of pairs) {
    scope.tell('key', { kind, keyword, key, legacy })
    state.setEnv(key, value)
  }
  state.commit(`ENV${pairsText(pairs)}`, false)
}

function applyLabel(state: StageState, instruction: LabelInstruction, scope: InstructionLint): void {
  const { kind, keyword, legacy } = instruction
  const pairs = expandPairs(instruction, scope)
  for (const { key } of pairs) scope.tell('key', { kind, keyword, key, legacy })
  state.setLabels(pairs.map(({ key, value }) => [key, value]))
  state.commit(`LABEL${pairsText(pairs)}`, false)
}

function applyArg(state: StageState, instruction: ArgInstruction, scope: InstructionScope): void {
  const texts: string[] = []
  const { kind, keyword } = instruction
  for (const { key, value: fallback } of instruction.args) {
    scope.tell('key', { kind, keyword, key, legacy: false })
    // --build-arg, else this line's default, else the global value.
    let value = scope.buildArgs.get(key)
    if (value === undefined) value = fallback === undefined ? scope.globalArgs.get(key) : scope.expand(fallback)
    state.declareArgument(key, value, builderOnlyArguments.has(key))
    const isInherited = fallback === undefined && !scope.buildArgs.has(key) && value !== undefined
    scope.declare({ name: key, value, isInherited, comments: instruction.comments })
    texts.push(value === undefined ? key : `${key}=${value}`)
  }
  state.commit(`ARG ${texts.join(' ')}`, false)
}

function applyHealthcheck(state: StageState, instruction: HealthcheckInstruction): void {
  const { test, interval, timeout, startPeriod, startInterval, retries } = instruction
  state.config.Healthcheck = {
    Test: [...test],
    ...(interval ? { Interval: interval } : {}),
    ...(timeout ? { Timeout: timeout } : {}),
    ...(startPeriod ? { StartPeriod: startPeriod } : {}),
    ...(startInterval ? { StartInterval: startInterval } : {}),
    ...(retries ? { Retries: retries } : {}),
  }
  state.commit(`HEALTHCHECK ${formatHealthcheck(state.config.Healthcheck)}`, false)
}
