import type { Dockerfile, Instruction, Stage } from '../../dockerfile/instruction.ts'
import { IgnoreMatcher } from '../../dockerfile/ignore.ts'
import { type Cause, type FileCause, type Miss, placeText } from './miss.ts'
import { isMiss, type StepReport } from '../step-reports.ts'

/** Installs what a manifest names: running it again for a change of anything else is waste. */
interface Installer {
  readonly command: RegExp
  readonly manifests: RegExp
  /** The manifests as advice names them. */
  readonly named: string
}

const installers: readonly Installer[] = [
  {
    command: /\b(?:npm (?:ci|i|install)|pnpm (?:i|install|fetch)|bun (?:i|install)|yarn(?: install)?)\b(?! run)/,
    manifests:
      /(?:^|\/)(?:package(?:-lock)?\.json|npm-shrinkwrap\.json|yarn\.lock|pnpm-[a-z]+\.yaml|bun\.lockb?|\.npmrc|\.yarnrc(?:\.yml)?)$/,
    named: 'package.json and its lock file',
  },
  {
    command: /\b(?:pip3? install|pip3? download|uv (?:sync|pip)|poetry install|pipenv (?:install|sync))\b/,
    manifests:
      /(?:^|\/)(?:[\w.-]*requirements[\w.-]*\.(?:txt|in)|pyproject\.toml|poetry\.lock|uv\.lock|Pipfile(?:\.lock)?|setup\.(?:py|cfg)|constraints\.txt)$/,
    named: 'requirements.txt, or pyproject.toml and its lock file',
  },
  {
    command: /\bgo mod (?:download|vendor)\b/,
    manifests: /(?:^|\/)go\.(?:mod|sum|work(?:\.sum)?)$/,
    named: 'go.mod and go.sum',
  },
  {
    command: /\bbundle install\b/,
    manifests: /(?:^|\/)(?:Gemfile(?:\.lock)?|[\w.-]+\.gemspec)$/,
    named: 'Gemfile and Gemfile.lock',
  },
  {
    command: /\bcomposer (?:i|install)\b/,
    manifests: /(?:^|\/)composer\.(?:json|lock)$/,
    named: 'composer.json and composer.lock',
  },
  {
    command: /\b(?:mvn|mvnw)\b.*\bdependency:/,
    manifests: /(?:^|\/)pom\.xml$/,
    named: 'pom.xml',
  },
  { command: /\bcargo fetch\b/, manifests: /(?:^|\/)Cargo\.(?:toml|lock)$/, named: 'Cargo.toml and Cargo.lock' },
  {
    command: /\bdotnet restore\b/,
    manifests: /(?:^|\/)(?:[\w.-]+\.(?:[a-z]+proj|sln)|packages\.lock\.json|NuGet\.config)$/i,
    named: 'the project files',
  },
  {
    command: /\b(?:apt-get|apk|dnf|yum|microdnf|zypper)\b.*\b(?:install|add)\b/,
    manifests: /(?!)/,
    named: '',
  },
]

/** Files that images have no use for, by the patterns that an ignore file names them with. */
const noise: readonly string[] = [
  '**/.git',
  '**/node_modules',
  '**/__pycache__',
  '**/.idea',
  '**/.vscode',
  '**/.DS_Store',
  '**/.pytest_cache',
  '**/.mypy_cache',
  '**/.tox',
  '**/.venv',
  '**/coverage',
  '**/.nyc_output',
  '**/*.log',
  '**/*.swp',
  '**/*.tmp',
  '**/*.orig',
  '**/*~',
  '**/Dockerfile*',
  '**/*.dockerignore',
  '**/*compose.y*ml',
  '**/README*',
  '**/CHANGELOG*',
  '**/CONTRIBUTING*',
  '**/LICENSE*',
]

/** What could be done so that the next build need not run a step again, by the id of the step it is about. */
export type Advice = ReadonlyMap<string, readonly string[]>

/**
 * The advice of docker's guides that fits the misses of this build: manifests before sources, ARG below the steps that
 * do not use it, files for .dockerignore, digests for base images.
 */
export function adviseSteps(dockerfile: Pick<Dockerfile, 'stages'>, steps: readonly StepReport[]): Advice {
  const advice = new Map<string, string[]>()
  const say = (step: StepReport, text: string): void => {
    const said = advice.get(step.id) ?? []
    advice.set(step.id, said)
    if (!said.includes(text)) said.push(text)
  }
  for (const step of steps) {
    const { miss } = step
    if (miss === undefined) continue
    if (step.kind === 'base') baseAdvice(miss.own, (text) => say(step, text))
    if (!isMiss(step)) continue
    if (readsContextOnly(step)) for (const text of fileAdvice(miss.own)) say(step, text)
    if (step.kind === 'copy' && !/ --chmod=/.test(step.text) && miss.own.length > 0 && miss.own.every(isModeChange))
      say(step, 'only modes changed: with COPY --chmod=… the steps after it would be cached')
    const moved = variableAdvice(dockerfile, step, miss.own)
    if (moved !== undefined) say(step, moved)
    const installer = installerAdvice(step, miss)
    if (installer !== undefined) say(step, installer)
  }
  return advice
}

function baseAdvice(causes: readonly Cause[], say: (text: string) => void): void {
  // Not where the Dockerfile names another one.
  if (causes.some((cause) => cause.kind === 'base' && cause.before.includes('@')))
    say('pin the base image by digest, or build with --lock, to choose when it moves')
}

/** An ignore file says nothing of files that come from elsewhere. */
function readsContextOnly({ text }: StepReport): boolean {
  return !/^\w+ (?:--\S+ )*--(?:from=|mount=\S*\bfrom=)/.test(text)
}

function isModeChange(cause: Cause): boolean {
  return cause.kind === 'file' && cause.change === 'mode'
}

function fileAdvice(causes: readonly Cause[]): string[] {
  // What the ignore file took away is not to be put there again.
  const files = causes.filter((cause) => cause.kind === 'file' && cause.change !== 'ignored')
  const patterns = new Set<string>()
  let others = causes.length - files.length
  for (const { path } of files as readonly FileCause[]) {
    const found = noise.filter((pattern) => matcherOf(pattern).matches(path))
    for (const pattern of found) patterns.add(pattern)
    if (found.length === 0) others++
  }
  if (patterns.size === 0) return []
  const advice = `put ${[...patterns].join(', ')} in .dockerignore`
  return [others === 0 ? `nothing but files that images do not need changed: ${advice}` : advice]
}

const matchers = new Map<string, IgnoreMatcher>()

function matcherOf(pattern: string): IgnoreMatcher {
  return matchers.getOrInsertComputed(pattern, () => new IgnoreMatcher([pattern]))
}

/** Where a variable changed that the step does not name. */
function variableAdvice(
  { stages }: Pick<Dockerfile, 'stages'>,
  step: StepReport,
  causes: readonly Cause[],
): string | undefined {
  if (causes.some(({ kind }) => kind !== 'variable')) return undefined
  const names = causes.flatMap((cause) => (cause.kind === 'variable' ? [cause.name] : []))
  const text = writtenText(stages, step)
  const unused = names.filter((name) => !namesVariable(text, name))
  if (unused.length === 0 || unused.length < names.length) return undefined
  const lines = unused.map((name) => declarationLine(stages, step.line, name))
  // No line can be moved for what the base image sets, or a step above needs.
  if (lines.includes(undefined)) return undefined
  const places = unused.map((name, index) => `${name} (line ${lines[index]})`)
  return `it does not name ${places.join(', ')}: declare ${unused.length === 1 ? 'it' : 'them'} below this step, if the command does not read ${unused.length === 1 ? 'it' : 'them'}`
}

/** A step as it stands in the Dockerfile, before variables are expanded; that of a trigger as it is shown. */
function writtenText(stages: readonly Stage[], { line, text }: StepReport): string {
  const found = stages.flatMap(({ instructions }) => instructions).find(({ range }) => range.start === line)
  return found === undefined ? text : textOf(found)
}

function namesVariable(text: string, name: string): boolean {
  return new RegExp(`\\$\\{?${name.replaceAll(/\W/g, '\\$&')}(?!\\w)`).test(text)
}

/**
 * The last line above `before`, in the same stage or those it is built from, that declares a variable. Undefined also
 * where a step between the two names it.
 */
function declarationLine(stages: readonly Stage[], before: number, name: string): number | undefined {
  let stage = stages.findLast(({ from }) => from.range.start < before)
  for (; stage !== undefined; stage = baseOf(stages, stage)) {
    for (const instruction of stage.instructions.toReversed()) {
      if (instruction.range.start >= before) continue
      const { kind } = instruction
      if (
        (kind === 'ARG' && instruction.args.some(({ key }) => key === name)) ||
        (kind === 'ENV' && instruction.pairs.some(({ key }) => key === name))
      )
        return instruction.range.start
      if (namesVariable(textOf(instruction), name)) return undefined
    }
  }
  return undefined
}

/** An instruction as it stands in the Dockerfile, with its here-documents. */
function textOf(instruction: Instruction): string {
  const heredocs = 'heredocs' in instruction ? instruction.heredocs.map(({ content }) => content) : []
  return [instruction.original, ...heredocs].join('\n')
}

/** The stage above that one is built from. */
function baseOf(stages: readonly Stage[], { from, index }: Stage): Stage | undefined {
  return stages.slice(0, index).findLast((stage) => stage.from.name === from.image.toLowerCase())
}

/** Where an installer ran again for files that it does not read. */
function installerAdvice(step: StepReport, { own, inherited }: Miss): string | undefined {
  if (step.kind !== 'run' || own.length > 0 || inherited === undefined) return undefined
  const installer = installers.find(({ command }) => command.test(step.text))
  const files = inherited.causes.filter((cause) => cause.kind === 'file')
  if (installer === undefined || files.length === 0 || files.length < inherited.causes.length) return undefined
  if (files.some(({ path }) => installer.manifests.test(path))) return undefined
  const place = placeText(inherited.step)
  return installer.named === ''
    ? `it reads nothing of ${place}: put it above`
    : `copy ${installer.named} first, run this, and do ${place} after it`
}
