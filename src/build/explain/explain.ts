import { IgnoreMatcher } from '../../dockerfile/ignore.ts'
import { canonicalJson, type StepInputs } from '../cache-key.ts'
import { defaultHostname } from '../graph.ts'
import { fileChanges, type FileDigests, typeOf } from './file-changes.ts'
import type { Cause, FileCause, Miss, Origin, StepMention } from './miss.ts'

/** A step as one build saw it, wherever it stands. */
export interface StepDescription {
  /** The instruction as it was shown. */
  readonly text: string
  readonly key: string
  readonly inputs: StepInputs
  /** Digest of the instruction before variables were put in. */
  readonly written?: string
  /** Variables that were put in → digests of their values. */
  readonly variables?: Readonly<Record<string, string>>
  /** Values of variables that were put in or that the command saw, as far as they may be told. */
  readonly values?: Readonly<Record<string, string>>
  /** What the ignore file left out of the context that it reads. */
  readonly ignored?: readonly string[]
}

/** Kept so that the next build of the same Dockerfile can say what changed. */
export interface StepTrace extends StepDescription {
  readonly stage: string
  /** Position among the stage's steps. */
  readonly ordinal: number
  /** Content digest of each file source; null where it was not needed to know it. */
  readonly contents: readonly (string | null)[]
  /** Of FROM: the image that was found, `name@digest`. */
  readonly image?: string
}

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
  readonly now: StepDescription
  /** The step in the last build of this Dockerfile, undefined where there was none like it. */
  readonly before: StepTrace | undefined
  /** True when this Dockerfile was built before with this context. */
  readonly known: boolean
  /** Why the result cannot be used although nothing changed: a flag, or its layer was pruned. */
  readonly forced: { readonly flag: string } | 'pruned' | undefined
  readonly sources: () => readonly SourceComparison[]
  readonly below: NeededStep | undefined
  /** True where the step stands on the files that it stood on, whatever became of the steps below. */
  readonly belowIsSame: boolean
  /** A step that files come from and that was run again. */
  readonly source: NeededStep | undefined
}

/** Why a step was run and not taken from the cache. */
export function explainMiss(comparison: Comparison): Miss {
  const { before, now, forced, known, below, belowIsSame, source } = comparison
  if (typeof forced === 'object') return { own: [{ kind: 'flag', flag: forced.flag }] }
  if (before === undefined) {
    if (!known) return { own: [{ kind: 'first' }] }
    return { own: [{ kind: 'new', ...(below?.miss === undefined ? {} : { after: mention(below) }) }] }
  }
  if (before.key === now.key) return { own: [{ kind: 'pruned', what: forced === 'pruned' ? 'layer' : 'result' }] }
  const sources = comparison.sources()
  const own = ownCauses(comparison, before, sources)
  const isRead = sources.some(({ same }) => same !== true)
  const inherited = beyond(own, (belowIsSame ? undefined : originOf(below)) ?? (isRead ? originOf(source) : undefined))
  if (own.length > 0 || inherited !== undefined) return { own, inherited }
  // Where it stands on what it stood on, it reads other files, of which nothing was kept.
  const unknown = sources.filter(({ same }) => same === undefined)
  if ((belowIsSame || before.inputs.parent === now.inputs.parent) && unknown.length > 0)
    return { own: unknown.map(({ label }) => ({ kind: 'files', label })) }
  if (belowIsSame) return { own: [{ kind: 'pruned', what: forced === 'pruned' ? 'layer' : 'result' }] }
  return { own: [{ kind: 'moved', ...(below === undefined ? {} : { after: mention(below) }) }] }
}

/** The causes in `origin` that a step has not itself. */
function beyond(own: readonly Cause[], origin: Origin | undefined): Origin | undefined {
  if (origin === undefined || own.length === 0) return origin
  const said = new Set(own.map(canonicalJson))
  const causes = origin.causes.filter((cause) => !said.has(canonicalJson(cause)))
  return causes.length === 0 ? undefined : { ...origin, causes }
}

/**
 * What is different about a base image, whose steps need no running; undefined where it is the one of the last build,
 * or there was none.
 */
export function explainBase(before: StepTrace | undefined, image: string): Miss | undefined {
  if (before?.inputs.kind !== 'base' || before.image === image) return undefined
  return { own: [{ kind: 'base', ...shortened(before.image ?? before.text, image) }] }
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

function ownCauses({ now: step }: Comparison, trace: StepTrace, sources: readonly SourceComparison[]): Cause[] {
  const [before, now] = [trace.inputs, step.inputs]
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
  const variables = variableCauses(trace, step)
  const definition = definitionCauses(trace, step, variables.length > 0)
  causes.push(...definition, ...variables)
  const isExpected = consequencesOf(before.definition, now.definition)
  const left = { before: new IgnoreMatcher(trace.ignored ?? []), now: new IgnoreMatcher(step.ignored ?? []) }
  const isFetched = isFetchedOtherwise(trace, step)
  const known = sources.filter(({ label }) => !(isFetched && /:\/\/|^git@/.test(label)))
  causes.push(...known.flatMap((source) => sourceCauses(source, left, isExpected, definition.length > 0)))
  return causes
}

/** True for labels of one source, also where the stage or context that it is from has another name now. */
export function isSameSource(before: string | undefined, now: string): boolean {
  const [old = now, current] = [before, now].map((label) => label?.replace(/ from [^ ]*$/, ' from'))
  return before !== undefined && old === current
}

/** Fields of definitions that say what stands above or outside of the instruction, not in it. */
const outerFields = new Set(['workdir', 'user', 'hosts', 'hostname', 'timestamps'])

/** What is said otherwise, by the instruction or by what it takes from elsewhere. `hasVariables`: it puts in other values. */
function definitionCauses(trace: StepTrace, step: StepDescription, hasVariables: boolean): Cause[] {
  const [before, now] = [trace.inputs, step.inputs]
  const isRewritten = wasRewritten(trace, step)
  const names = changedNames(before.definition, now.definition)
  const hasOtherSources = !haveSameSources(before, now)
  if (isRewritten && (hasOtherSources || isFetchedOtherwise(trace, step) || names.some((name) => !isOuter(name))))
    return [
      trace.text === step.text ? { kind: 'text' } : { kind: 'instruction', before: trace.text },
      ...names.filter((name) => outerFields.has(name)).map((name) => fieldCause(name, before, now)),
    ]
  // Of text that is as it was, only what is put in can make another one.
  const isPutIn = hasVariables && trace.text !== step.text
  if (names.length === 0) return hasOtherSources && !isPutIn ? [{ kind: 'instruction', before: trace.text }] : []
  return names
    .filter((name) => !hasVariables || !(isPutIn ? !isOuter(name) : name === 'sources'))
    .map((name) => fieldCause(name, before, now))
}

/** Whether ADD asks for other things under the same URL, which is in no field of the definition. */
function isFetchedOtherwise(trace: StepDescription, step: StepDescription): boolean {
  const [before, now] = [trace, step].map(({ text }) => text.match(/ --(?:checksum|keep-git-dir)\S*/g)?.join(''))
  return before !== now
}

/** A secret whose value counts is none of the instruction's. */
function isOuter(name: string): boolean {
  return outerFields.has(name) || name.startsWith('secret ')
}

/** Whether the instruction itself reads otherwise, whatever is put in. */
function wasRewritten(trace: StepTrace, step: StepDescription): boolean {
  return trace.written === undefined || step.written === undefined
    ? trace.text !== step.text
    : trace.written !== step.written
}

function haveSameSources({ sources: before = [] }: StepInputs, { sources: now = [] }: StepInputs): boolean {
  return before.length === now.length && now.every(({ label }, index) => isSameSource(before[index]?.label, label))
}

/** What one field of the definition that is another now says. */
function fieldCause(name: string, before: StepInputs, now: StepInputs): Cause {
  const [old, current] = [before.definition[name], now.definition[name]]
  if (name === 'command') return shellCause(old, current) ?? { kind: 'text' }
  if (name === 'script' || name === 'sources') return { kind: 'text' }
  // Keys of real times do not say so.
  if (name === 'timestamps')
    return { kind: 'setting', name: '--timestamps', before: old ?? 'real', now: current ?? 'real' }
  if (name === 'hosts') return { kind: 'setting', name: '--add-host', before: old ?? '', now: current ?? '' }
  if (name === 'hostname')
    return { kind: 'setting', name, before: old ?? defaultHostname, now: current ?? defaultHostname }
  // What stands for the value of a secret tells nobody anything.
  if (name.startsWith('secret ') && old !== undefined && current !== undefined)
    return { kind: 'secret', name: name.slice('secret '.length) }
  return {
    kind: 'setting',
    name,
    ...(old === undefined ? {} : { before: old }),
    ...(current === undefined ? {} : { now: current }),
  }
}

/** What SHELL is, where the command it runs is the same. */
function shellCause(before: string | undefined, now: string | undefined): Cause | undefined {
  const [old, current] = [before, now].map(textList)
  if (old === undefined || current === undefined || old.at(-1) !== current.at(-1)) return undefined
  const [shell, other] = [old, current].map((args) => JSON.stringify(args.slice(0, -1)))
  return { kind: 'setting', name: 'SHELL', ...(shell === undefined ? {} : { before: shell }), now: other ?? '' }
}

/** Variables that the step sees, or that are put into it, with other values. Those of text that changed may be others. */
function variableCauses(trace: StepTrace, step: StepDescription): Cause[] {
  const [before, now] = [trace, step].map(({ inputs, variables }) => ({ ...variables, ...inputs.env }))
  if (before === undefined || now === undefined) return []
  const isRewritten = wasRewritten(trace, step)
  const isSeen = (name: string): boolean => name in (trace.inputs.env ?? {}) || name in (step.inputs.env ?? {})
  return changedNames(before, now)
    .filter((name) => isSeen(name) || !isRewritten || (name in before && name in now))
    .map((name): Cause => {
      const change = !(name in before) ? 'added' : name in now ? 'changed' : 'removed'
      const [old, current] = [trace.values?.[name], step.values?.[name]]
      return {
        kind: 'variable',
        name,
        change,
        ...(old === undefined || !(name in before) ? {} : { before: old }),
        ...(current === undefined || !(name in now) ? {} : { now: current }),
      }
    })
}

/** Files of one source that a miss names. */
const mostFiles = 100

/** What an ignore file leaves out, in two builds. */
interface LeftOut {
  readonly before: IgnoreMatcher
  readonly now: IgnoreMatcher
}

/** `isExpected` says which changes follow from the instruction alone; `isRewritten`, that this gives a reason already. */
function sourceCauses(
  { label, same, before, now }: SourceComparison,
  left: LeftOut,
  isExpected: (cause: FileCause, type: string) => boolean,
  isRewritten: boolean,
): Cause[] {
  if (same !== false) return []
  const isContext = !label.includes(' from ')
  const changes = before === undefined || now === undefined ? [] : fileChanges(before, now)
  const own = changes
    .filter((cause) => !isExpected(cause, typeOf(now?.get(cause.path) ?? before?.get(cause.path))))
    .map((cause) => (isContext ? withIgnored(cause, left) : cause))
  if (own.length === 0) return isRewritten ? [] : [{ kind: 'files', label }]
  if (own.length <= mostFiles) return own
  return [...own.slice(0, mostFiles), { kind: 'more', count: own.length - mostFiles }]
}

/** A file that only the ignore file took away, or gave. */
function withIgnored(cause: FileCause, { before, now }: LeftOut): FileCause {
  const { path, change } = cause
  if (change === 'removed' && now.matches(path) && !before.matches(path)) return { ...cause, change: 'ignored' }
  if (change === 'added' && before.matches(path) && !now.matches(path)) return { ...cause, change: 'unignored' }
  return cause
}

/** The changes of files that other `--exclude`s and `--parents` alone would give. */
function consequencesOf(
  before: StepInputs['definition'],
  now: StepInputs['definition'],
): (cause: FileCause, type: string) => boolean {
  const hasOtherExcludes = before['exclude'] !== now['exclude']
  const [old, current] = hasOtherExcludes ? [before, now].map(({ exclude }) => excludeMatcher(exclude)) : []
  const hasOtherParents = before['sources'] !== now['sources']
  return ({ path, change }, type) => {
    if (change === 'removed' && current !== undefined && excludesBelow(current, path)) return true
    if (change === 'added' && old !== undefined && excludesBelow(old, path)) return true
    // Only with --parents the directories above are copied, too.
    return hasOtherParents && type === 'directory' && (change === 'removed' || change === 'added')
  }
}

/** `--exclude`s as a definition has them. Those of a cache elsewhere may be anything. */
function excludeMatcher(text: string | undefined): IgnoreMatcher {
  try {
    return new IgnoreMatcher(textList(text))
  } catch {
    return new IgnoreMatcher([])
  }
}

/** A list of texts in JSON; an empty one of what is none. */
function textList(json: string | undefined): readonly string[] {
  if (json === undefined) return []
  try {
    const list: unknown = JSON.parse(json)
    return Array.isArray(list) && list.every((item) => typeof item === 'string') ? list : []
  } catch {
    return []
  }
}

/** Whether `path` is excluded from wherever above it was copied. */
function excludesBelow(matcher: IgnoreMatcher, path: string): boolean {
  const parts = path.split('/')
  return parts.some((_, index) => matcher.matches(parts.slice(index).join('/')))
}

function changedNames(before: Readonly<Record<string, string>>, now: Readonly<Record<string, string>>): string[] {
  return [...new Set([...Object.keys(before), ...Object.keys(now)])].filter((name) => before[name] !== now[name]).sort()
}
