import type { StepInputs } from '../cache-key.ts'
import type { Cause, FileChange, Miss, Origin, StepMention } from './miss.ts'

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
  /** Of FROM: the image that was found, `name@digest`. */
  readonly image?: string
}

/** Files of one source: path → `<type> <mode> <uid>:<gid>` and a fingerprint of the content, with a colon between. */
export type FileDigests = ReadonlyMap<string, string>

/** One file source of a step in this build and the last. */
export interface SourceComparison {
  readonly label: string
  /** Undefined where one of the two is not known. */
  readonly same: boolean | undefined
  readonly before: FileDigests | undefined
  readonly now: FileDigests | undefined
}

/** A step that this one needs, with its miss where it could not be taken from the cache either. */
export interface NeededStep extends StepMention {
  readonly miss: Miss | undefined
}

export interface Comparison {
  readonly now: Pick<StepTrace, 'text' | 'key' | 'inputs' | 'image'>
  /** The step in the last build of this Dockerfile, undefined where there was none like it. */
  readonly before: StepTrace | undefined
  /** True when this Dockerfile was built before with this context. */
  readonly known: boolean
  /** Why the result cannot be used although nothing changed: a flag, or its layer was pruned. */
  readonly forced: { readonly flag: string } | 'pruned' | undefined
  readonly sources: () => readonly SourceComparison[]
  readonly below: NeededStep | undefined
  /** A step that files come from and that was run again. */
  readonly source: NeededStep | undefined
}

/** Why a step was run and not taken from the cache. */
export function explainMiss(comparison: Comparison): Miss {
  const { before, now, forced, known, below, source } = comparison
  if (typeof forced === 'object') return { own: [{ kind: 'flag', flag: forced.flag }] }
  if (before === undefined) {
    if (!known) return { own: [{ kind: 'first' }] }
    return { own: [{ kind: 'new', ...(below?.miss === undefined ? {} : { after: mention(below) }) }] }
  }
  if (before.key === now.key) return { own: [{ kind: 'pruned', what: forced === 'pruned' ? 'layer' : 'result' }] }
  const own = ownCauses(comparison, before)
  const inherited = originOf(below) ?? originOf(source)
  if (own.length > 0 || inherited !== undefined) return { own, inherited }
  // Where it stands on what it stood on, it reads other files, of which nothing was kept.
  const unknown = comparison.sources().filter(({ same }) => same === undefined)
  if (before.inputs.parent === now.inputs.parent && unknown.length > 0)
    return { own: unknown.map(({ label }) => ({ kind: 'files', label })) }
  return { own: [{ kind: 'moved', ...(below === undefined ? {} : { after: mention(below) }) }] }
}

/**
 * What is different about a base image, whose steps need no running; undefined where it is the one of the last build,
 * or there was none.
 */
export function explainBase({ before, now }: Pick<Comparison, 'before' | 'now'>): Miss | undefined {
  if (before === undefined || before.key === now.key) return undefined
  const { image: old = before.text, inputs } = before
  if (inputs.kind !== 'base' || now.image === undefined) return undefined
  return { own: [{ kind: 'base', ...shortened(old, now.image) }] }
}

/** Two images as short as they can be told apart. */
function shortened(before: string, now: string): { before: string; now: string } {
  const [oldName = '', oldDigest = ''] = before.split('@')
  const [name = '', digest = ''] = now.split('@')
  if (oldName !== name) return { before: oldName, now: name }
  return { before: `${name}@${oldDigest.slice(0, 19)}`, now: `${name}@${digest.slice(0, 19)}` }
}

/** Where the causes of a step lie that others inherit. */
function originOf(step: NeededStep | undefined): Origin | undefined {
  if (step?.miss === undefined) return undefined
  return step.miss.own.length > 0 ? { step: mention(step), causes: step.miss.own } : step.miss.inherited
}

/** What a step hands on to those that stand on it where it was no miss itself: the causes of the step below. */
export function passedOn(below: NeededStep): Miss | undefined {
  const inherited = originOf(below)
  return inherited === undefined ? undefined : { own: [], inherited }
}

function mention({ text, line }: StepMention): StepMention {
  return { text, line }
}

function ownCauses(comparison: Comparison, trace: StepTrace): Cause[] {
  const before = trace.inputs
  const { inputs: now, text } = comparison.now
  if (before.kind !== now.kind) return [{ kind: 'instruction', before: trace.text }]
  const causes: Cause[] = []
  if (before.platform !== now.platform)
    causes.push({ kind: 'setting', name: 'platform', before: before.platform, now: now.platform })
  if (before.epoch !== now.epoch)
    causes.push({
      kind: 'setting',
      name: 'SOURCE_DATE_EPOCH',
      before: String(before.epoch ?? 'unset'),
      now: String(now.epoch ?? 'unset'),
    })
  if (trace.text !== text && !haveSameSources(before, now)) causes.push({ kind: 'instruction', before: trace.text })
  else causes.push(...definitionCauses(before, now, trace.text, text))
  causes.push(...environmentCauses(before.env ?? {}, now.env ?? {}))
  causes.push(...comparison.sources().flatMap(sourceCauses))
  return causes
}

function haveSameSources({ sources: before = [] }: StepInputs, { sources: now = [] }: StepInputs): boolean {
  return before.length === now.length && now.every(({ label }, index) => isSameSource(before[index]?.label, label))
}

/** True for labels of one source, also where the stage or context that it is from has another name now. */
export function isSameSource(before: string | undefined, now: string): boolean {
  const [old = now, current] = [before, now].map((label) => label?.replace(/ from [^ ]*$/, ' from'))
  return before !== undefined && old === current
}

function definitionCauses(before: StepInputs, now: StepInputs, oldText: string, text: string): Cause[] {
  const names = changedNames(before.definition, now.definition)
  if (names.length === 0) return []
  if (oldText !== text) return [{ kind: 'instruction', before: oldText }]
  return names.map((name): Cause => {
    const [old, current] = [before.definition[name], now.definition[name]]
    if (name === 'command') return shellCause(old, current) ?? { kind: 'text' }
    if (name === 'script' || name === 'sources') return { kind: 'text' }
    // Keys of real times do not say so.
    if (name === 'timestamps')
      return { kind: 'setting', name: '--timestamps', before: old ?? 'real', now: current ?? 'real' }
    // What stands for the value of a secret tells nobody anything.
    if (name.startsWith('secret ') && old !== undefined && current !== undefined)
      return { kind: 'secret', name: name.slice('secret '.length) }
    return {
      kind: 'setting',
      name,
      ...(old === undefined ? {} : { before: old }),
      ...(current === undefined ? {} : { now: current }),
    }
  })
}

/** What SHELL is, where the command it runs is the same. */
function shellCause(before: string | undefined, now: string | undefined): Cause | undefined {
  const [old, current] = [before, now].map((text) => (text === undefined ? [] : (JSON.parse(text) as string[])))
  if (old === undefined || current === undefined || old.at(-1) !== current.at(-1)) return undefined
  const [shell, other] = [old, current].map((args) => JSON.stringify(args.slice(0, -1)))
  return { kind: 'setting', name: 'SHELL', ...(shell === undefined ? {} : { before: shell }), now: other ?? '' }
}

function environmentCauses(before: Readonly<Record<string, string>>, now: Readonly<Record<string, string>>): Cause[] {
  return changedNames(before, now).map((name) => ({
    kind: 'variable',
    name,
    change: !(name in before) ? 'added' : name in now ? 'changed' : 'removed',
  }))
}

function sourceCauses({ label, same, before, now }: SourceComparison): Cause[] {
  if (same !== false) return []
  const changes = before === undefined || now === undefined ? [] : fileChanges(before, now)
  if (changes.length === 0) return [{ kind: 'files', label }]
  if (changes.length <= mostFiles) return changes
  return [...changes.slice(0, mostFiles), { kind: 'more', count: changes.length - mostFiles }]
}

/** Files of one source that a miss names. */
const mostFiles = 100

/** What is different about files, in the order of the paths. */
export function fileChanges(before: FileDigests, now: FileDigests): Cause[] {
  const changes: Cause[] = []
  // Of many files few are different.
  const paths: string[] = []
  for (const [path, old] of before) if (now.get(path) !== old) paths.push(path)
  for (const path of now.keys()) if (!before.has(path)) paths.push(path)
  for (const path of paths.sort()) {
    const old = before.get(path)
    const current = now.get(path)
    if (old === undefined) changes.push({ kind: 'file', path, change: 'added' })
    else if (current === undefined) changes.push({ kind: 'file', path, change: 'removed' })
    else for (const change of changesOf(old, current)) changes.push({ kind: 'file', path, ...change })
  }
  return changes
}

function changesOf(before: string, now: string): { change: FileChange; before?: string; now?: string }[] {
  const [old, current] = [fileFacts(before), fileFacts(now)]
  if (old === undefined || current === undefined) return [{ change: 'content' }]
  if (old.type !== current.type) return [{ change: 'type', before: old.type, now: current.type }]
  const attributes = (['mode', 'owner'] as const)
    .filter((change) => old[change] !== current[change])
    .map((change) => ({ change, before: old[change], now: current[change] }))
  return old.content === current.content && attributes.length > 0 ? attributes : [{ change: 'content' }, ...attributes]
}

/** A value of {@link FileDigests} in its parts. */
function fileFacts(text: string): { type: string; mode: string; owner: string; content: string } | undefined {
  const match = /^([a-z-]+) (?:([0-7]+) (\d+:\d+)|root)(?: implied)?:(.*)$/.exec(text)
  if (match === null) return undefined
  const [, type = '', mode = '', owner = '', content = ''] = match
  return { type, mode, owner, content }
}

function changedNames(before: Readonly<Record<string, string>>, now: Readonly<Record<string, string>>): string[] {
  return [...new Set([...Object.keys(before), ...Object.keys(now)])].filter((name) => before[name] !== now[name]).sort()
}
