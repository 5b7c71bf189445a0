import { StepError } from '../../build/step-error.ts'
import { baseName, parentPath } from '../../build/paths.ts'
import type { Store } from '../../content/store.ts'
import { DockerfileError } from '../../dockerfile/dockerfile-error.ts'
import type { Dockerfile } from '../../dockerfile/instruction.ts'
import { type CairnError, isCairnError } from '../../errors/error.ts'
import { redactUrl, redactUrls } from '../../errors/redact.ts'
import { SystemCallError } from '../../linux/errno.ts'
import { tryStat } from '../../linux/file-status.ts'
import type { ProgressListener } from '../../progress/events.ts'
import { beginRecord, trimRecords } from '../../records/build-records.ts'
import type { ExplainedStep, RecordedFailure, RecordEnd, RecordHeader } from '../../records/record.ts'
import type { RecordWriter } from '../../records/record-writer.ts'
import type { BuildResult } from './build.ts'
import { absolutePath } from './context-argument.ts'
import { defaultDockerfile } from './dockerfile-text.ts'

/** What the command line says of a build, for its record. */
export interface RecordedRequest extends Pick<RecordHeader, 'platforms' | 'tags' | 'cairnVersion'> {
  /** The context argument. */
  readonly context: string
  readonly file: string | undefined
  readonly cwd: string
  readonly target: string | undefined
  readonly buildArgs: ReadonlyMap<string, string>
}

/** Records a build while it runs. A record that cannot be written stops no build: see {@link failure}. */
export class BuildRecording {
  /** Undefined where no record could be begun. */
  readonly id: string | undefined
  readonly startedAt = Date.now()
  readonly #store: Store
  readonly #writer: RecordWriter | undefined
  readonly #failure: SystemCallError | undefined
  #steps: readonly ExplainedStep[] = []
  #hasEnded = false

  constructor(store: Store, request: RecordedRequest) {
    this.#store = store
    try {
      const { id, writer } = beginRecord(store, recordHeader(request, this.startedAt))
      this.id = id
      this.#writer = writer
    } catch (error) {
      if (!(error instanceof SystemCallError)) throw error
      this.#failure = error
    }
  }

  /** Why there is no record, or none that is whole. */
  get failure(): CairnError | undefined {
    return this.#failure ?? this.#writer?.failure
  }

  /** What became of the steps, once that is known. */
  get steps(): readonly ExplainedStep[] {
    return this.#steps
  }

  readonly listener: ProgressListener = (event) => this.#writer?.event(event)

  readonly takeSteps = (steps: readonly ExplainedStep[]): void => {
    this.#steps = steps
  }

  source({ filename, source }: Dockerfile): void {
    const text = typeof source === 'string' ? source : new TextDecoder().decode(source)
    this.#writer?.source({ filename, text: redactUrls(text) })
  }

  /** Ends the record of a build that made an image. */
  completed({ imageId, manifest, steps, cached }: BuildResult): void {
    this.#end({
      status: 'completed',
      imageId,
      ...(manifest === undefined ? {} : { digest: manifest.digest }),
      total: steps,
      cached,
    })
  }

  /** Ends the record of a build that failed or was stopped; nothing where it has ended: the image is made then. */
  failed(error: unknown): void {
    if (this.#hasEnded) return
    const reached = this.#steps.filter(({ outcome }) => outcome !== 'unreached')
    this.#end({
      status: isCairnError(error) && error.kind === 'canceled' ? 'canceled' : 'error',
      error: recordedFailure(error),
      total: reached.length,
      cached: reached.filter(({ outcome }) => outcome === 'cached').length,
    })
  }

  #end(end: Omit<RecordEnd, 'completedAt' | 'steps'>): void {
    this.#hasEnded = true
    if (this.#writer === undefined) return
    this.#writer.end({ completedAt: Date.now(), steps: this.#steps, ...end })
    trimRecords(this.#store, this.#writer.size)
  }
}

function recordHeader(request: RecordedRequest, createdAt: number): Omit<RecordHeader, 'id'> {
  const { context, file, cwd, target, platforms, buildArgs, tags, cairnVersion } = request
  const path = context === '-' ? undefined : absolutePath(context, cwd)
  const isLocal = path !== undefined && tryStat(path) !== undefined
  return {
    name: buildName(isLocal ? path : undefined, request),
    createdAt,
    context: isLocal ? path : redactUrl(context),
    dockerfile: redactUrl(file ?? defaultDockerfile),
    ...(target === undefined ? {} : { target }),
    platforms,
    buildArgs: [...buildArgs.keys()],
    tags,
    cairnVersion,
  }
}

/** The name buildx gives a build: BUILDKIT_BUILD_NAME, else its directory with a file and a target out of the ordinary. */
function buildName(local: string | undefined, { context, file, cwd, target, buildArgs }: RecordedRequest): string {
  const given = buildArgs.get('BUILDKIT_BUILD_NAME') ?? ''
  if (given !== '') return given
  const name = local === undefined ? redactUrl(context) : localName(local, file, cwd)
  return target === undefined ? name : `${name} (${target})`
}

function localName(context: string, file: string | undefined, cwd: string): string {
  if (file === undefined || file === '-' || file.includes('://')) return baseName(context)
  const path = absolutePath(file, cwd).replace(/\/Dockerfile$/, '')
  if (path === context) return baseName(context)
  if (path.startsWith(`${context}/`)) return `${baseName(context)}${path.slice(context.length)}`
  return file.endsWith(defaultDockerfile) ? baseName(path) : `${baseName(parentPath(path))}/${baseName(path)}`
}

function recordedFailure(error: unknown): RecordedFailure {
  const message = error instanceof Error ? error.message : String(error)
  const code = isCairnError(error) ? error.code : 'INTERNAL'
  if (error instanceof StepError) {
    const { title, excerpt, logTail } = error
    return { code, message, excerpt, ...(title === undefined ? {} : { step: title, logTail }) }
  }
  return error instanceof DockerfileError ? { code, message, excerpt: error.excerpt() } : { code, message }
}
