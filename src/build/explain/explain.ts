import { IgnoreMatcher } from '../../dockerfile/ignore.ts'
import { canonicalJson, type StepInputs } from '../cache-key.ts'
import { defaultHostname } from '../graph.ts'
import { parentPath } from '../paths.ts'
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

/**
 * Files of one source: path → `<type> <mode> <uid>:<gid>` and a fingerprint of the content, with a colon between. Where
 * there are extended attributes a fingerprint without them follows, and with ` -> ` the target of a symlink.
 */
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
  causes.push(...sources.flatMap((source) => sourceCauses(source, left, isExpected, definition.length > 0)))
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
  if (isRewritten && (hasOtherSources || names.some((name) => !isOuter(name))))
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

/** Files of one source that a miss names. */
const mostFiles = 100

/** What is different about files, in the order of the paths. */
export function fileChanges(before: FileDigests, now: FileDigests): FileCause[] {
  const gone: string[] = []
  const come: string[] = []
  const changes: FileCause[] = []
  for (const [path, old] of before) {
    const current = now.get(path)
    if (current === undefined) gone.push(path)
    else if (current !== old)
      for (const change of changesOf(old, current)) changes.push({ kind: 'file', path, ...change })
  }
  for (const path of now.keys()) if (!before.has(path)) come.push(path)
  changes.push(...movedFiles(treesOf(gone, before), treesOf(come, now)))
  return changes.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0))
}

/** A path that came or went, with all below it that did. */
interface PathTree {
  readonly root: string
  /** The root among them. */
  readonly paths: readonly string[]
  /** Says what is there, whatever the root is called; undefined where that is nothing but directories. */
  readonly content: string | undefined
}

function treesOf(paths: readonly string[], files: FileDigests): PathTree[] {
  const all = new Set(paths)
  const roots = Map.groupBy(paths, (path) => {
    let root = path
    for (let above = parentPath(root); all.has(above); above = parentPath(root)) root = above
    return root
  })
  return [...roots].map(([root, own]) => {
    const lines = own.map((path) => JSON.stringify([path.slice(root.length), files.get(path)]))
    const isBare = own.every((path) => files.get(path)?.startsWith('directory ') === true)
    return { root, paths: own, content: isBare ? undefined : lines.sort().join('\n') }
  })
}

/** What went and what came. A path with the content of just one that went is that, under another name. */
function movedFiles(gone: readonly PathTree[], come: readonly PathTree[]): FileCause[] {
  const [from, to] = [gone, come].map((trees) => Map.groupBy(trees, ({ content }) => content))
  const renamed = new Map<PathTree, PathTree>()
  for (const [content, [old, ...others]] of from ?? []) {
    const [now, ...rest] = to?.get(content) ?? []
    if (content === undefined || old === undefined || now === undefined || others.length + rest.length > 0) continue
    renamed.set(old, now)
  }
  const arrived = new Set(renamed.values())
  const each = (trees: readonly PathTree[], change: 'added' | 'removed'): FileCause[] =>
    trees.flatMap(({ paths }) => paths.map((path): FileCause => ({ kind: 'file', path, change })))
  return [
    ...[...renamed].map(([old, now]): FileCause => ({
      kind: 'file',
      path: now.root,
      change: 'renamed',
      before: old.root,
    })),
    ...each(
      gone.filter((tree) => !renamed.has(tree)),
      'removed',
    ),
    ...each(
      come.filter((tree) => !arrived.has(tree)),
      'added',
    ),
  ]
}

type Change = Omit<FileCause, 'kind' | 'path'>

function changesOf(before: string, now: string): Change[] {
  const [old, current] = [fileFacts(before), fileFacts(now)]
  if (old === undefined || current === undefined) return [{ change: 'content' }]
  if (old.type !== current.type) return [{ change: 'type', before: old.type, now: current.type }]
  const attributes = (['mode', 'owner'] as const)
    .filter((change) => old[change] !== current[change])
    .map((change) => ({ change, before: old[change], now: current[change] }))
  // Whether a directory is there for itself or for what is in it changes nothing of it.
  return old.content === current.content ? attributes : [contentChange(old, current), ...attributes]
}

function contentChange(old: FileFacts, current: FileFacts): Change {
  if (old.target !== undefined && current.target !== undefined && old.target !== current.target)
    return { change: 'target', before: old.target, now: current.target }
  return old.bytes === current.bytes || old.type === 'directory' ? { change: 'xattrs' } : { change: 'content' }
}

interface FileFacts {
  readonly type: string
  readonly mode: string
  readonly owner: string
  readonly content: string
  /** The same without extended attributes. */
  readonly bytes: string
  readonly target: string | undefined
}

/** A value of {@link FileDigests} in its parts. */
function fileFacts(text: string): FileFacts | undefined {
  const match = /^([a-z-]+) (?:([0-7]+) (\d+:\d+)|root)(?: implied)?:(\S*)(?: ([^ ]+))??(?: -> (.*))?$/s.exec(text)
  if (match === null) return undefined
  const [, type = '', mode = '', owner = '', content = '', bytes = content, target] = match
  return { type, mode, owner, content, bytes, target }
}

/** The type in a value of {@link FileDigests}. */
function typeOf(text = ''): string {
  return text.slice(0, text.indexOf(' '))
}

function changedNames(before: Readonly<Record<string, string>>, now: Readonly<Record<string, string>>): string[] {
  return [...new Set([...Object.keys(before), ...Object.keys(now)])].filter((name) => before[name] !== now[name]).sort()
}
