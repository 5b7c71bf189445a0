import { rootedPath, joinPath } from '../../build/paths.ts'
import { instructionLint } from '../../build/plan/instruction-lint.ts'
import { applyMetadata, InstructionError, type InstructionScope } from '../../build/ops/metadata.ts'
import { StageState } from '../../build/plan/stage-state.ts'
import { ArgumentError } from '../../dockerfile/arguments.ts'
import { FlagError } from '../../dockerfile/flags.ts'
import { lexDockerfile } from '../../dockerfile/lexer.ts'
import type { Instruction } from '../../dockerfile/instruction.ts'
import { instructionKind, interpret } from '../../dockerfile/interpret.ts'
import { CairnError } from '../../errors/error.ts'
import type { ContainerConfig } from '../../oci/config.ts'
import type { Platform } from '../../oci/platform.ts'

/** What docker allows as a change of an image that is imported or committed. */
const allowed: ReadonlySet<string> = new Set(
  'CMD ENTRYPOINT ENV EXPOSE HEALTHCHECK LABEL ONBUILD STOPSIGNAL USER VOLUME WORKDIR'.split(' '),
)

/**
 * `config` with Dockerfile instructions applied to it, as docker's `--change` does. Variables stand for what `config`
 * and the changes before set. Throws DOCKERFILE_INVALID naming the change.
 */
export function applyChanges(config: ContainerConfig, changes: readonly string[], platform: Platform): ContainerConfig {
  const state = StageState.fromConfig(config, platform)
  for (const change of changes) applyChange(state, change)
  return state.imageConfig
}

function applyChange(state: StageState, change: string): void {
  const { nodes, escape, problems } = lexDockerfile(change)
  const [problem] = problems
  if (problem !== undefined) throw refused(change, problem.message)
  if (nodes.length === 0) throw refused(change, 'file with no instructions')
  const words = { escape }
  for (const node of nodes) {
    const scope: InstructionScope = {
      ...instructionLint(undefined, state, words, node),
      words,
      buildArgs: new Map(),
      globalArgs: new Map(),
      declare: () => {},
    }
    const kind = instructionKind(node.keyword)
    if (kind === undefined || !allowed.has(kind)) throw notAllowed(node.keyword)
    try {
      const instruction = interpret(node)
      if (instruction.kind !== 'FROM') applyInstruction(state, instruction, scope)
    } catch (error) {
      if (isProblem(error)) throw refused(change, error.message, error)
      throw error
    }
  }
}

function applyInstruction(state: StageState, instruction: Instruction, scope: InstructionScope): void {
  switch (instruction.kind) {
    case 'WORKDIR': {
      const written = state.expand(instruction.path, scope.words)
      if (written === '') throw new InstructionError('cannot normalize nothing')
      state.config.WorkingDir = rootedPath(joinPath(state.config.WorkingDir || '/', written))
      return
    }
    case 'RUN':
    case 'COPY':
    case 'ADD':
      throw notAllowed(instruction.kind)
    default:
      applyMetadata(state, instruction, scope)
      // A mark for Windows images that BuildKit leaves on all; docker's imports do not have it.
      delete state.config.ArgsEscaped
  }
}

/** What reading and applying an instruction throws when the instruction is wrong. */
function isProblem(error: unknown): error is Error {
  return (
    error instanceof CairnError ||
    error instanceof InstructionError ||
    error instanceof ArgumentError ||
    error instanceof FlagError
  )
}

/** docker's text. */
function notAllowed(keyword: string): CairnError {
  return new CairnError('DOCKERFILE_INVALID', `${keyword} is not a valid change command`, {
    hint: `A change is one of ${[...allowed].join(', ')}.`,
  })
}

/** docker's text. Of several changes the hint says which. */
function refused(change: string, why: string, cause?: unknown): CairnError {
  return new CairnError('DOCKERFILE_INVALID', why, {
    hint: `That was the change ${JSON.stringify(change)}.`,
    ...(cause === undefined ? {} : { cause }),
  })
}
