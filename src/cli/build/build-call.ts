import { csvPairs } from '../../dockerfile/csv.ts'
import { cleanPath } from '../../dockerfile/path-match.ts'
import { parseGoBool } from '../../dockerfile/go-bool.ts'
import { DockerfileError } from '../../dockerfile/dockerfile-error.ts'
import { withSuggestion } from '../../dockerfile/suggest.ts'
import { StepError } from '../../build/step-error.ts'
import type { Store } from '../../content/store.ts'
import { checkBuild, type CheckReport } from '../../engine/build/check-build.ts'
import { listTargets } from '../../engine/build/list-targets.ts'
import { outlineBuild } from '../../engine/build/outline-build.ts'
import type { PlanOnlyOptions } from '../../engine/build/plan-only.ts'
import { type CairnError, usageError, reworded } from '../../errors/error.ts'
import type { DisplayMode } from '../../progress/display.ts'
import { BuildProgress } from './build-progress.ts'
import { buildFailure } from './build-report.ts'
import { type CallReport, checkReport, describeReport, outlineReport, reportJson, targetReport } from './call-report.ts'
import type { CommandContext } from '../context.ts'
import { writeFile } from '../write-file.ts'

const callNames = ['check', 'outline', 'targets', 'subrequests.describe'] as const

/** What `--call` asks for in place of a build. */
export interface BuildCall {
  readonly name: (typeof callNames)[number]
  readonly format: 'text' | 'json'
  /** End with status 0 whatever is found. */
  readonly ignoreStatus: boolean
}

/**
 * Reads `--call`: a name, then `format=` and `ignorestatus=`, separated by commas; undefined for `build` and for nothing. `lint` is the
 * old name of `check`. Throws USAGE.
 */
export function parseCall(text: string): BuildCall | undefined {
  if (text === '') return undefined
  let name: string | undefined
  let format: BuildCall['format'] = 'text'
  let ignoreStatus = false
  for (const { field, key, value } of csvPairs(text, usageError)) {
    if (value === undefined) {
      if (name !== undefined) throw usageError(`invalid --call value: ${text}`)
      name = field === 'lint' ? 'check' : field
    } else if (key === 'format') {
      if (value !== 'text' && value !== 'json')
        throw usageError(`invalid --call format: ${value}`, { hint: 'It is text or json.' })
      format = value
    } else if (key === 'ignorestatus') {
      const parsed = parseGoBool(value)
      if (parsed === undefined) throw usageError(`invalid --call ignorestatus: ${value}`)
      ignoreStatus = parsed
    } else throw usageError(`invalid --call field: ${field}`, { hint: 'The fields are format= and ignorestatus=.' })
  }
  if (name === undefined || name === 'build') return undefined
  const known = callNames.find((candidate) => candidate === name)
  if (known === undefined)
    throw usageError(withSuggestion(`unsupported request ${name}`, name, ['build', ...callNames]), {
      hint: `There are build, ${callNames.join(', ')}.`,
    })
  return { name: known, format, ignoreStatus }
}

/** What answering a call needs. */
export interface CallOptions {
  readonly call: BuildCall
  readonly mode: DisplayMode
  readonly metadataFile: string | undefined
  readonly store: () => Promise<Store>
  readonly request: Omit<PlanOnlyOptions, 'progress'>
}

/** Answers a `--call`: its result on stdout, steps and errors on stderr. Gives the exit status. */
export async function runCall(ctx: CommandContext, options: CallOptions): Promise<number> {
  const { call, mode, metadataFile } = options
  const progress = new BuildProgress(ctx, mode)
  let answer: Answer
  try {
    answer = await answerOf(options, { ...options.request, progress: progress.listener })
  } catch (error) {
    progress.finish()
    throw buildFailure(ctx, error, mode)
  }
  progress.finish()
  const { report, status, check } = answer
  if (metadataFile !== undefined) writeFile(metadataFile, `${reportJson(metadata(answer))}\n`)
  if (call.format === 'json') ctx.stdout.write(`${reportJson(report.json)}\n`)
  else ctx.stdout.write(check === undefined ? report.text : checkText(check, report.text))
  if (check?.error !== undefined) throw checkFailure(ctx, check.error)
  return call.ignoreStatus ? 0 : status
}

interface Answer {
  readonly report: CallReport
  readonly status: number
  readonly check?: CheckReport
}

async function answerOf({ call, store }: CallOptions, request: PlanOnlyOptions): Promise<Answer> {
  switch (call.name) {
    case 'check': {
      const check = await checkBuild(await store(), request)
      const status = check.findings.length > 0 || check.error !== undefined ? 1 : 0
      return { report: checkReport(check, pathOf(request, check.text?.filename)), status, check }
    }
    case 'outline':
      return { report: outlineReport(await outlineBuild(await store(), request)), status: 0 }
    case 'targets':
      return { report: targetReport(await listTargets(await store(), request)), status: 0 }
    case 'subrequests.describe':
      return { report: describeReport(), status: 0 }
    default:
      return call.name satisfies never
  }
}

/** The Dockerfile as the user would name it. */
function pathOf({ context, file }: PlanOnlyOptions, name = 'Dockerfile'): string {
  if (context === '-' || file === '-' || /^[a-z]+:\/\/|^git@/.test(context)) return name
  return file === undefined ? cleanPath(`${context}/${name}`) : cleanPath(file)
}

/** The warnings with docker's word on how many there are. */
function checkText({ findings, error }: CheckReport, text: string): string {
  if (findings.length === 0) return error === undefined ? 'Check complete, no warnings found.\n' : ''
  const count = findings.length === 1 ? '1 warning has' : `${findings.length} warnings have`
  return `Check complete, ${count} been found!\n${text}${error === undefined ? '' : '\n'}`
}

/** Prints the lines that are wrong; what is left for the caller is the message. */
function checkFailure(ctx: CommandContext, error: CairnError): CairnError {
  const excerpt = error instanceof DockerfileError ? error.excerpt() : error instanceof StepError ? error.excerpt : ''
  if (excerpt !== '') ctx.stderr.write(`${excerpt}\n`)
  return reworded(error, error.message, { exitCode: 1 })
}

/** What buildx writes to `--metadata-file` for a call. */
function metadata({ report: { text, json }, status, check }: Answer): object {
  return {
    'result.json': json,
    ...(check === undefined ? {} : { 'result.statuscode': String(status) }),
    'result.txt': text,
    version: '1.0.0',
  }
}
