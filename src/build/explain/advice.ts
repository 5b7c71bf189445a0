import type { Dockerfile, Stage } from '../../dockerfile/instruction.ts'
import { type Cause, type Miss, placeText } from './miss.ts'
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

/** Files that images have no use for, as an ignore file would name them. */
const noise: readonly [pattern: RegExp, ignored: string][] = [
  [/(?:^|\/)\.git(?:\/|$)/, '.git'],
  [/(?:^|\/)node_modules(?:\/|$)/, '**/node_modules'],
  [/(?:^|\/)__pycache__(?:\/|$)/, '**/__pycache__'],
  [/(?:^|\/)\.(?:idea|vscode|DS_Store)(?:\/|$)/, '**/.idea, **/.vscode, **/.DS_Store'],
  [/(?:^|\/)(?:\.pytest_cache|\.mypy_cache|\.tox|\.venv)(?:\/|$)/, '**/.*_cache, .tox, .venv'],
  [/(?:^|\/)(?:coverage|\.nyc_output)(?:\/|$)/, 'coverage, .nyc_output'],
  [/\.(?:log|swp|tmp|orig)$|~$/, '**/*.log, **/*.swp, **/*.tmp'],
  [/(?:^|\/)(?:\.dockerignore|Dockerfile(?:\.[\w-]+)?|(?:docker-)?compose\.ya?ml)$/, 'Dockerfile*, .dockerignore'],
  [/(?:^|\/)(?:README|CHANGELOG|CONTRIBUTING|LICENSE)(?:\.\w+)?$/i, '*.md'],
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
    for (const text of fileAdvice(miss.own)) say(step, text)
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
  if (causes.some(({ kind }) => kind === 'base'))
    say('pin the base image by digest, or build with --lock, to choose when it moves')
}

function isModeChange(cause: Cause): boolean {
  return cause.kind === 'file' && cause.change === 'mode'
}

function fileAdvice(causes: readonly Cause[]): string[] {
  const files = causes.filter((cause) => cause.kind === 'file')
  const advice: string[] = []
  const ignored = noise.flatMap(([pattern, name]) => (files.some(({ path }) => pattern.test(path)) ? [name] : []))
  if (ignored.length > 0)
    advice.push(
      files.length === causes.length && files.every(({ path }) => noise.some(([pattern]) => pattern.test(path)))
        ? `nothing but files that images do not need changed: put ${ignored.join(', ')} in .dockerignore`
        : `put ${ignored.join(', ')} in .dockerignore`,
    )
  return advice
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
  const unused = names.filter((name) => !new RegExp(`\\$\\{?${name}\\b`).test(text))
  if (unused.length === 0 || unused.length < names.length) return undefined
  const places = unused.map((name) => {
    const line = declarationLine(stages, step.line, name)
    return line === undefined ? name : `${name} (line ${line})`
  })
  return `it does not name ${places.join(', ')}: declare ${unused.length === 1 ? 'it' : 'them'} below this step, if the command does not read ${unused.length === 1 ? 'it' : 'them'}`
}

/** A step as it stands in the Dockerfile, before variables are expanded; that of a trigger as it is shown. */
function writtenText(stages: readonly Stage[], { line, text }: StepReport): string {
  const found = stages.flatMap(({ instructions }) => instructions).find(({ range }) => range.start === line)
  if (found === undefined) return text
  const heredocs = 'heredocs' in found ? found.heredocs.map(({ content }) => content) : []
  return [found.original, ...heredocs].join('\n')
}

/** The last line above `before`, in the same stage, that declares a variable. */
function declarationLine(stages: readonly Stage[], before: number, name: string): number | undefined {
  const stage = stages.findLast(({ from }) => from.range.start < before)
  const found = stage?.instructions.findLast(
    (instruction) =>
      instruction.range.start < before &&
      ((instruction.kind === 'ARG' && instruction.args.some(({ key }) => key === name)) ||
        (instruction.kind === 'ENV' && instruction.pairs.some(({ key }) => key === name))),
  )
  return found?.range.start
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
