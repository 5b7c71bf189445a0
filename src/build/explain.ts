import type { StepInputs } from './cache-key.ts'

/** A step as one build saw it; kept so that the next build of the same Dockerfile can say what changed. */
export interface StepTrace {
  readonly stage: string
  /** Position among the stage's steps. */
  readonly ordinal: number
  /** The instruction as it was shown. */
  readonly text: string
  readonly key: string
  readonly inputs: StepInputs
  /** Content digest of each file source; null where it was not needed to know it. */
  readonly contents: readonly (string | null)[]
}

/** Files of one source: path → `<attributes>:<content>`, both as short digests. */
export type FileDigests = ReadonlyMap<string, string>

/** One file source of a step in this build and the last. */
export interface SourceComparison {
  readonly label: string
  /** Undefined where one of the two is not known. */
  readonly same: boolean | undefined
  readonly before: FileDigests | undefined
  readonly now: FileDigests | undefined
}

/** Another step, as an explanation names it. */
export interface StepMention {
  readonly text: string
  readonly line: number
}

export interface Comparison {
  readonly now: Pick<StepTrace, 'text' | 'key' | 'inputs'>
  /** The step in the last build of this Dockerfile, undefined where there was none like it. */
  readonly before: StepTrace | undefined
  /** True when this Dockerfile was built before with this context. */
  readonly known: boolean
  /** Why the result cannot be used although nothing changed. */
  readonly forced: 'no-cache' | 'pruned' | undefined
  readonly sources: () => readonly SourceComparison[]
  /** The step below, with its reason where it was run again too. */
  readonly below: (StepMention & { readonly reason: string | undefined }) | undefined
  /** A step that files come from and that was run again, with its reason. */
  readonly source: (StepMention & { readonly reason: string }) | undefined
}

/** The reason of every step when a Dockerfile is built for the first time: nothing there to be explained. */
export const firstBuild = 'first build'

/**
 * Why a step was run and not taken from the cache, in a few words that name the cause: the file, the variable, the
 * field of the instruction, or the step below with its own cause. Never empty.
 */
export function explainMiss(comparison: Comparison): string {
  const { before, now, forced, known, below, source } = comparison
  if (forced === 'no-cache') return '--no-cache was given'
  if (before === undefined) {
    if (!known) return firstBuild
    return below?.reason === undefined ? 'new step' : `new step after ${place(below)}`
  }
  if (before.key === now.key)
    return forced === 'pruned' ? 'its cached layer was removed' : 'its cached result was removed'
  const own = ownCauses(comparison, before)
  if (own.length > 0) return own.join(', ')
  if (below?.reason !== undefined) return inherited(below.reason, below)
  if (source !== undefined) return inherited(source.reason, source)
  if (below !== undefined) return `it now follows ${place(below)}`
  return 'it now starts from an empty filesystem'
}

function place({ text, line }: StepMention): string {
  const shown = text.length > 60 ? `${text.slice(0, 59)}…` : text
  return `${shown} (line ${line})`
}

/** The cause of the step below, with the place of the step where it began. */
function inherited(reason: string, below: StepMention): string {
  return / \(.+, line \d+\)$/.test(reason)
    ? reason
    : `${reason} (${below.text.length > 60 ? `${below.text.slice(0, 59)}…` : below.text}, line ${below.line})`
}

function ownCauses(comparison: Comparison, trace: StepTrace): string[] {
  const before = trace.inputs
  const { inputs: now, text } = comparison.now
  if (before.kind !== now.kind) return [`the instruction changed (was ${trace.text})`]
  const causes: string[] = []
  if (before.platform !== now.platform) causes.push(`platform changed from ${before.platform} to ${now.platform}`)
  if (before.epoch !== now.epoch)
    causes.push(`SOURCE_DATE_EPOCH changed from ${before.epoch ?? 'unset'} to ${now.epoch ?? 'unset'}`)
  causes.push(...definitionCauses(before, now, trace.text, text))
  causes.push(...environmentCauses(before.env ?? {}, now.env ?? {}))
  causes.push(...comparison.sources().flatMap(sourceCauses))
  return causes
}

function definitionCauses(before: StepInputs, now: StepInputs, oldText: string, text: string): string[] {
  const names = changedNames(before.definition, now.definition)
  if (names.length === 0) return []
  if (oldText !== text) return [`the instruction changed (was ${oldText})`]
  return names.map((name) => {
    if (name === 'script' || name === 'sources' || name === 'command') return 'the text of the instruction changed'
    const [old, current] = [before.definition[name], now.definition[name]]
    // What stands for the value of a secret tells nobody anything.
    if (name.startsWith('secret ') && old !== undefined && current !== undefined) return `${name} changed`
    if (old === undefined) return `${name} was added`
    return current === undefined ? `${name} was removed` : `${name} changed from ${old} to ${current}`
  })
}

function environmentCauses(before: Readonly<Record<string, string>>, now: Readonly<Record<string, string>>): string[] {
  return changedNames(before, now).map((name) => {
    if (!(name in before)) return `variable ${name} was added`
    return name in now ? `variable ${name} changed` : `variable ${name} was removed`
  })
}

const shownFiles = 3

function sourceCauses({ label, same, before, now }: SourceComparison): string[] {
  if (same !== false) return []
  const changes = before === undefined || now === undefined ? [] : fileChanges(before, now)
  if (changes.length === 0) return [`${label} changed`]
  if (changes.length <= shownFiles) return changes
  return [...changes.slice(0, shownFiles), `${changes.length - shownFiles} more files`]
}

/** `src/server.ts changed`, `a added`, `b removed`, in the order of the paths. */
export function fileChanges(before: FileDigests, now: FileDigests): string[] {
  const changes: string[] = []
  for (const path of [...new Set([...before.keys(), ...now.keys()])].sort()) {
    const old = before.get(path)
    const current = now.get(path)
    if (old === current) continue
    if (old === undefined) changes.push(`${path} added`)
    else if (current === undefined) changes.push(`${path} removed`)
    else changes.push(`${path} ${changeOf(old, current)}`)
  }
  return changes
}

function changeOf(before: string, now: string): string {
  const [oldAttributes, oldContent] = before.split(':')
  const [attributes, content] = now.split(':')
  return oldContent === content && oldAttributes !== attributes ? 'has another mode or owner' : 'changed'
}

function changedNames(before: Readonly<Record<string, string>>, now: Readonly<Record<string, string>>): string[] {
  return [...new Set([...Object.keys(before), ...Object.keys(now)])].filter((name) => before[name] !== now[name]).sort()
}
