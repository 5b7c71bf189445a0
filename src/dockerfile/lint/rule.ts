import type { Platform } from '../../oci/platform.ts'
import type { IgnoreMatcher } from '../ignore.ts'
import type { CheckOptions, Dockerfile, FromInstruction, Instruction, SourceRange, Warning } from '../instruction.ts'
import type { ExpandedWord } from '../words.ts'

/** What a warning is about: an instruction, or any lines with the `# check=` that stands directly above them. */
export interface Place {
  readonly range: SourceRange
  readonly check?: CheckOptions | undefined
}

/**
 * What rules are told, and when: first what the file shows by itself, then what comes to light while it is planned.
 * Facts come in the order in which BuildKit runs its checks, so warnings do too.
 */
export interface LintFacts {
  /** The parser found something odd while it read the file. */
  read: Warning
  /** One instruction by itself, in the order of the file; those before the first FROM too. */
  instruction: FromInstruction | Instruction
  /** The whole file, told once when nothing is wrong in it. */
  file: Dockerfile
  /** What a FROM names when every ARG has only its default. */
  defaultBase: { readonly written: string; readonly expanded: string }
  /** Variables of a FROM: those looked up that have no value, and every one that is known. */
  fromVariables: { readonly unset: ReadonlySet<string>; readonly known: ReadonlySet<string> }
  /** The `--platform` of a FROM. */
  fromPlatform: {
    readonly written: string
    readonly expanded: ExpandedWord
    readonly stageName: string | undefined
    /** The value of TARGETPLATFORM. */
    readonly target: string | undefined
  }
  /** A base image that was found. */
  baseImage: { readonly name: string; readonly expected: Platform; readonly actual: Platform }
  /** One word of an instruction used variables that have no value and that no ARG of the stage declares. */
  variables: { readonly unset: Iterable<string>; readonly known: Iterable<string> }
  /** One key of ENV, LABEL or ARG, expanded. */
  key: {
    readonly kind: 'ENV' | 'LABEL' | 'ARG'
    /** The instruction's name as written. */
    readonly keyword: string
    readonly key: string
    /** Written as `ENV key value`. */
    readonly legacy: boolean
  }
  /** CMD, ENTRYPOINT or HEALTHCHECK. */
  command: {
    readonly keyword: string
    /** CMD or ENTRYPOINT in shell form, for the default shell. */
    readonly defaultShell: boolean
    /** The instruction of the same kind and stage which this one overrides. */
    readonly previous: Place | undefined
  }
  /** WORKDIR, expanded. */
  workdir: { readonly path: string; readonly isFirst: boolean }
  /** A source of COPY or ADD in the build context, expanded. */
  contextSource: { readonly kind: 'COPY' | 'ADD'; readonly path: string; readonly ignore: IgnoreMatcher }
  /** One word of EXPOSE. */
  port: {
    readonly word: string
    readonly protocol: string
    /** There is an address or a host port. */
    readonly mapped: boolean
  }
}

/** The name nearest to `name`; undefined where none is near, or where too many were compared already. */
export type Suggest = (name: string, known: Iterable<string>) => string | undefined

/** Warns. `at` is what the warning is about, where that is not what the rule was told about. */
export type Report = (detail: string, at?: Place) => void

/** A build check. Its text, description and page are BuildKit's where BuildKit has the rule. */
export interface LintRule {
  /** By which `# check=skip=` knows it. */
  readonly name: string
  readonly description: string
  /** A page that explains it. */
  readonly url?: string
  /** Runs only when `# check=experimental=` asks for it, and then cannot be skipped. */
  readonly experimental?: true
  /** What the rule looks at. */
  readonly on: {
    readonly [Fact in keyof LintFacts]?: (fact: LintFacts[Fact], report: Report, suggest: Suggest) => void
  }
}

/** The page of one of BuildKit's rules. */
export function ruleUrl(page: string): string {
  return `https://docs.docker.com/go/dockerfile/rule/${page}/`
}
