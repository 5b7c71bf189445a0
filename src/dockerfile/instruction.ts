/** Lines of the Dockerfile or of a file it includes, counted from 1, both ends included. */
export interface SourceRange {
  readonly start: number
  readonly end: number
  /** The file the lines are in; absent for the Dockerfile itself. */
  readonly file?: IncludedFile
}

/** A file that INCLUDE brought in. */
export interface IncludedFile {
  /** As messages name it. */
  readonly filename: string
  /** What was read. */
  readonly source: Uint8Array | string
  /** Its lines without line ends, for excerpts. */
  readonly lines: readonly string[]
  /** Where the INCLUDE stands. */
  readonly includedAt: SourceRange
}

/** A here-document. dockerfile reference §here-documents. */
export interface Heredoc {
  /** The delimiter without quotes; for COPY and ADD also the file's name. */
  readonly name: string
  /** False when any part of the delimiter was quoted: then nothing in it is expanded. */
  readonly expand: boolean
  /** True for `<<-`: leading tabs were asked to be removed (the content here already lacks them). */
  readonly chomp: boolean
  /** File descriptor written before `<<`, 0 where there is none. */
  readonly fileDescriptor: number
  /** The body, nothing expanded. */
  readonly content: string
  /** The body as written: with the leading tabs that `<<-` asks to remove. Differs from `content` only then. */
  readonly raw: string
}

interface Base {
  /** The instruction's name in the case it was written in; for lint. */
  readonly keyword: string
  /** Where it stands, heredoc bodies included. */
  readonly range: SourceRange
  /** The instruction as one line as BuildKit keeps it (`node.Original`): continuations joined, comments gone. */
  readonly original: string
  /** `# check=skip=…` directly above this instruction. */
  readonly check?: CheckOptions
  /** Lines of the comment block directly above, without `# `; for `--call=outline`. */
  readonly comments?: readonly string[]
}

/** What a `check` directive says. */
export interface CheckOptions {
  readonly skip: readonly string[]
  readonly skipAll: boolean
  readonly experimental: readonly string[]
  readonly experimentalAll: boolean
  readonly error: boolean
}

export interface KeyValue {
  readonly key: string
  readonly value: string
}

/** A command in shell form (the line as written) or exec form (the JSON list). */
export type CommandLine =
  | { readonly form: 'shell'; readonly line: string }
  | { readonly form: 'exec'; readonly args: readonly string[] }

export interface FromInstruction extends Base {
  readonly kind: 'FROM'
  readonly image: string
  readonly platform?: string
  /** Stage name as written after AS, lower-cased. */
  readonly name?: string
  /** The stage name in the case it was written in, and the `AS` keyword likewise; for lint. */
  readonly nameAsWritten?: string
  readonly asKeyword?: string
}
export interface RunInstruction extends Base {
  readonly kind: 'RUN'
  readonly command: CommandLine
  readonly heredocs: readonly Heredoc[]
  /** Values of `--mount`, unparsed and not expanded. */
  readonly mounts: readonly string[]
  readonly network?: string
  readonly security?: string
  readonly devices: readonly string[]
}
interface CopyBase extends Base {
  /** Sources as written, heredocs left out. */
  readonly sources: readonly string[]
  readonly heredocs: readonly Heredoc[]
  readonly destination: string
  readonly chown?: string
  readonly chmod?: string
  readonly link: boolean
  readonly excludes: readonly string[]
}
export interface CopyInstruction extends CopyBase {
  readonly kind: 'COPY'
  readonly from?: string
  readonly parents: boolean
  /** `--optional`, an extension: sources that are missing are left out. */
  readonly optional: boolean
}
export interface AddInstruction extends CopyBase {
  readonly kind: 'ADD'
  readonly checksum?: string
  readonly keepGitDir?: boolean
  readonly unpack?: boolean
}
export interface EnvInstruction extends Base {
  readonly kind: 'ENV'
  readonly pairs: readonly KeyValue[]
  /** Written as `ENV key value`. */
  readonly legacy: boolean
}
export interface LabelInstruction extends Base {
  readonly kind: 'LABEL'
  readonly pairs: readonly KeyValue[]
  readonly legacy: boolean
}
export interface ArgInstruction extends Base {
  readonly kind: 'ARG'
  readonly args: readonly { readonly key: string; readonly value?: string }[]
}
export interface CmdInstruction extends Base {
  readonly kind: 'CMD'
  readonly command: CommandLine
}
export interface EntrypointInstruction extends Base {
  readonly kind: 'ENTRYPOINT'
  readonly command: CommandLine
}
export interface ExposeInstruction extends Base {
  readonly kind: 'EXPOSE'
  readonly ports: readonly string[]
}
export interface VolumeInstruction extends Base {
  readonly kind: 'VOLUME'
  readonly paths: readonly string[]
}
export interface UserInstruction extends Base {
  readonly kind: 'USER'
  readonly user: string
}
export interface WorkdirInstruction extends Base {
  readonly kind: 'WORKDIR'
  readonly path: string
}
export interface OnbuildInstruction extends Base {
  readonly kind: 'ONBUILD'
  /** The trigger's text as BuildKit stores it in config.OnBuild, heredoc bodies re-attached. */
  readonly expression: string
}
export interface StopsignalInstruction extends Base {
  readonly kind: 'STOPSIGNAL'
  readonly signal: string
}
export interface HealthcheckInstruction extends Base {
  readonly kind: 'HEALTHCHECK'
  /** `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", line]`. */
  readonly test: readonly string[]
  /** Nanoseconds; absent where the flag was not given. */
  readonly interval?: number
  readonly timeout?: number
  readonly startPeriod?: number
  readonly startInterval?: number
  readonly retries?: number
}
export interface ShellInstruction extends Base {
  readonly kind: 'SHELL'
  readonly shell: readonly string[]
}
export interface MaintainerInstruction extends Base {
  readonly kind: 'MAINTAINER'
  readonly name: string
}

/** Name of an instruction. */
export type InstructionKind = Instruction['kind'] | 'FROM'

/** What may stand in a stage after FROM. */
export type Instruction =
  | RunInstruction
  | CopyInstruction
  | AddInstruction
  | EnvInstruction
  | LabelInstruction
  | ArgInstruction
  | CmdInstruction
  | EntrypointInstruction
  | ExposeInstruction
  | VolumeInstruction
  | UserInstruction
  | WorkdirInstruction
  | OnbuildInstruction
  | StopsignalInstruction
  | HealthcheckInstruction
  | ShellInstruction
  | MaintainerInstruction

export interface Stage {
  /** Position in the file, from 0. */
  readonly index: number
  readonly from: FromInstruction
  readonly instructions: readonly Instruction[]
}

/** Something worth telling that does not stop the build, in BuildKit's terms. */
export interface Warning {
  /** Rule name (`NoEmptyContinuation`). */
  readonly rule: string
  readonly detail: string
  readonly range: SourceRange
}

/** What a file shows instruction by instruction, whether or not they make sense together. */
export interface ReadText {
  /** The name it was read under, for messages. */
  readonly filename: string
  /** What was read. */
  readonly source: Uint8Array | string
  /** Its lines without line ends, for excerpts. */
  readonly lines: readonly string[]
  readonly check: CheckOptions
  readonly warnings: readonly Warning[]
  /** In the order of the file. */
  readonly instructions: readonly (FromInstruction | Instruction)[]
}

/** A whole file. */
export interface Dockerfile extends Omit<ReadText, 'instructions'> {
  readonly escape: '\\' | '`'
  /** Value of `# syntax=`, or what was given in its place: a frontend's image, then what it is given. */
  readonly syntax?: string
  /** True where the file asks for `cairn/dockerfile:1`: then the language has Cairn's extensions. */
  readonly extensions: boolean
  /** ARGs before the first FROM. */
  readonly metaArgs: readonly ArgInstruction[]
  readonly stages: readonly Stage[]
}
