import { CairnError } from '../errors/error.ts'
import { ArgumentError } from './arguments.ts'
import type { Directive, InstructionNode } from './ast.ts'
import { noCheckOptions, parseCheckOptions } from './directives.ts'
import { shorten } from './characters.ts'
import { DockerfileError, type DockerfileProblem } from './dockerfile-error.ts'
import type { ExcerptSource } from './excerpt.ts'
import { FlagError } from './flags.ts'
import { detectSyntax, frontendLanguage, type SyntaxRequest } from './frontend.ts'
import type {
  ArgInstruction,
  CheckOptions,
  Dockerfile,
  FromInstruction,
  Instruction,
  ReadText,
  SourceRange,
  Warning,
} from './instruction.ts'
import { IncludeReader, type ReadInclude } from './include.ts'
import { checkTrigger, instructionKind, interpret, includedPath, isInclude, type Language, plain } from './interpret.ts'
import { lexDockerfile } from './lexer.ts'
import { compareRanges } from './source-order.ts'

export interface ParseOptions {
  /** Stands for the file's `# syntax=`: the build argument BUILDKIT_SYNTAX. */
  readonly syntax?: string | undefined
  /** Reads what INCLUDE names; without it, no file can be included. */
  readonly readInclude?: ReadInclude | undefined
}

/**
 * Reads a whole Dockerfile. `filename` is only for messages. Throws {@link DockerfileError} with every problem that
 * can be told independently of the others, in the order of the file. Dockerfile reference, as BuildKit reads it.
 */
export function parseDockerfile(source: Uint8Array | string, filename: string, options: ParseOptions = {}): Dockerfile {
  const request = requestedFrontend(source, options)
  const lexed = lexDockerfile(source)
  const { lines } = lexed.source
  const problems: DockerfileProblem[] = [...lexed.problems]
  const language = { extensions: request?.language === 'cairn' }
  const includes = new IncludeReader(options.readInclude, filename, lexed.escape)
  const stages = new StageList(problems, language, includes)
  for (const node of lexed.nodes) stages.add(node)

  const check = readCheck(lexed.directives, problems)
  const end = Math.max(lines.length, 1)
  if (problems.length === 0 && lexed.nodes.length === 0)
    problems.push({ message: 'file with no instructions', range: { start: end, end } })
  if (problems.length === 0 && stages.stages.length === 0) {
    problems.push({
      message: 'dockerfile contains no stages to build',
      range: { start: end, end },
      hint: 'A Dockerfile needs a FROM.',
    })
  }
  const read: Dockerfile = {
    filename,
    source,
    lines,
    escape: lexed.escape,
    ...(request === undefined ? {} : { syntax: request.commandLine }),
    ...language,
    check,
    metaArgs: stages.metaArgs,
    stages: stages.stages,
    warnings: [...frontendWarnings(request), ...lexed.warnings, ...stages.warnings].toSorted((a, b) =>
      compareRanges(a.range, b.range),
    ),
  }
  failOn(request === undefined ? problems : withFrontendHint(problems, request), read, {
    ...read,
    instructions: stages.readBeforeProblems,
  })
  return read
}

interface FrontendRequest extends SyntaxRequest {
  readonly language: ReturnType<typeof frontendLanguage>
}

function requestedFrontend(source: Uint8Array | string, { syntax }: ParseOptions): FrontendRequest | undefined {
  const request =
    syntax === undefined || syntax === ''
      ? detectSyntax(source)
      : { frontend: syntax.split(' ', 1)[0] ?? syntax, commandLine: syntax, range: { start: 1, end: 1 } }
  return request === undefined ? undefined : { ...request, language: frontendLanguage(request.frontend) }
}

function frontendWarnings(request: FrontendRequest | undefined): Warning[] {
  if (request?.language !== 'unknown') return []
  const detail = `the frontend ${shorten(request.frontend)} is not run, the file is read as a plain Dockerfile`
  return [{ rule: 'UnknownFrontend', detail, range: request.range }]
}

/** In a file of another frontend's language, that it is one explains more than what was found in it. */
function withFrontendHint(problems: readonly DockerfileProblem[], request: FrontendRequest): DockerfileProblem[] {
  if (request.language !== 'unknown') return [...problems]
  const hint = `The file asks for the frontend ${shorten(request.frontend)}, and Cairn reads only docker's language.`
  return problems.map((problem) => ({ hint, ...problem }))
}

/**
 * Reads the text of an ONBUILD trigger as image configurations keep it, in the language of the file it fires in. Lines
 * count within the text. Throws {@link DockerfileError} for anything but one instruction that may be a trigger.
 */
export function parseTrigger(expression: string, language: Language = plain): Instruction {
  const lexed = lexDockerfile(expression)
  const { lines } = lexed.source
  const problems: DockerfileProblem[] = [...lexed.problems]
  const node = lexed.nodes[0]
  let instruction: Instruction | undefined
  if (node !== undefined && lexed.nodes.length === 1 && problems.length === 0) {
    const read = interpretInto(problems, node, language, () => checkTrigger(node.keyword))
    if (read !== undefined && read.kind !== 'FROM') instruction = read
  } else if (problems.length === 0) {
    problems.push({ message: 'onbuild trigger should be a single expression', range: { start: 1, end: lines.length } })
  }
  failOn(problems, { filename: 'ONBUILD', lines })
  if (instruction === undefined) throw new CairnError('DOCKERFILE_INVALID', 'ONBUILD: not an instruction')
  return instruction
}

/** Collects instructions under the FROM they follow. */
class StageList {
  readonly stages: { readonly index: number; readonly from: FromInstruction; readonly instructions: Instruction[] }[] =
    []
  readonly metaArgs: ArgInstruction[] = []
  readonly warnings: Warning[] = []
  /** In the order of the file. None where something was wrong before: then BuildKit looks at no instruction. */
  readonly readBeforeProblems: (FromInstruction | Instruction)[] = []
  readonly #problems: DockerfileProblem[]
  readonly #language: Language
  readonly #includes: IncludeReader
  /** A FROM was seen, even one that could not be read: then what follows it is not out of place. */
  #inStage = false
  #lastWasUnknown = false

  constructor(problems: DockerfileProblem[], language: Language, includes: IncludeReader) {
    this.#problems = problems
    this.#language = language
    this.#includes = includes
  }

  add(node: InstructionNode): void {
    if (this.#language.extensions && isInclude(node.keyword)) return this.#include(node)
    const kind = instructionKind(node.keyword)
    // A forgotten line continuation makes every following line "unknown": the first one says it.
    const isFollowUp = kind === undefined && this.#lastWasUnknown
    this.#lastWasUnknown = kind === undefined
    if (isFollowUp) return
    if (kind === 'FROM') this.#inStage = true
    const instruction = interpretInto(this.#problems, node, this.#language)
    if (instruction === undefined) return
    if (this.#problems.length === 0) this.readBeforeProblems.push(instruction)
    this.#warnIgnoredFlags(node, instruction)
    if (instruction.kind === 'FROM') {
      this.stages.push({ index: this.stages.length, from: instruction, instructions: [] })
    } else if (!this.#inStage && instruction.kind === 'ARG') {
      this.metaArgs.push(instruction)
    } else if (!this.#inStage) {
      this.#inStage = true
      this.#problems.push({
        message: 'no build stage in current context',
        range: node.range,
        hint: 'Only ARG may stand before the first FROM.',
      })
    } else {
      this.stages.at(-1)?.instructions.push(instruction)
    }
  }

  #include(node: InstructionNode): void {
    this.#lastWasUnknown = false
    const included = collectProblem(this.#problems, node.range, () =>
      this.#includes.open(includedPath(node), node.range),
    )
    if (included === undefined) return
    this.warnings.push(...included.warnings)
    this.#problems.push(...included.problems)
    for (const inner of included.nodes) this.add(inner)
  }

  /** BuildKit never looks at the flags of these; a flag there has no effect, and the user should know. */
  #warnIgnoredFlags(node: InstructionNode, instruction: Instruction | FromInstruction): void {
    const ignores =
      instruction.kind === 'ARG' ||
      instruction.kind === 'STOPSIGNAL' ||
      (instruction.kind === 'HEALTHCHECK' && instruction.test[0] === 'NONE')
    if (!ignores || node.flags.length === 0) return
    this.warnings.push({
      rule: 'IgnoredFlag',
      detail: `${instruction.kind} takes no flags here, ${node.flags.join(' ')} is ignored`,
      range: node.range,
    })
  }
}

function interpretInto(
  problems: DockerfileProblem[],
  node: InstructionNode,
  language: Language,
  before: () => void = () => {},
): ReturnType<typeof interpret> | undefined {
  return collectProblem(problems, node.range, () => {
    before()
    return interpret(node, language)
  })
}

/** What `action` gives; undefined where it throws something that is wrong at `range`, which joins `problems`. */
function collectProblem<Result>(
  problems: DockerfileProblem[],
  range: SourceRange,
  action: () => Result,
): Result | undefined {
  try {
    return action()
  } catch (error) {
    if (!(error instanceof ArgumentError || error instanceof FlagError || error instanceof CairnError)) throw error
    const { message, hint } = error
    problems.push({ message, range, ...(hint === undefined ? {} : { hint }) })
    return undefined
  }
}

function readCheck(directives: readonly Directive[], problems: DockerfileProblem[]): CheckOptions {
  const directive = directives.find(({ name }) => name === 'check')
  if (directive === undefined) return noCheckOptions
  const range = { start: directive.line, end: directive.line }
  return collectProblem(problems, range, () => parseCheckOptions(directive.value)) ?? noCheckOptions
}

function failOn(problems: readonly DockerfileProblem[], source: ExcerptSource, readBefore?: ReadText): void {
  const [first, ...others] = problems.toSorted((a, b) => compareRanges(a.range, b.range))
  if (first !== undefined) throw new DockerfileError(source, [first, ...others], readBefore)
}
