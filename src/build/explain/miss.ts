import { printable } from '../../dockerfile/characters.ts'
import { parentPath } from '../paths.ts'

/**
 * Why a step could not be taken from the cache, as data: what `--explain` prints, what a build's record keeps and what
 * the one line under a step says. Values of secrets and build arguments are in none of it.
 */
export interface Miss {
  /** What is different about the step itself. */
  readonly own: readonly Cause[]
  /** The step it stands on or copies from where the rest began. One of the two is always there. */
  readonly inherited?: Origin | undefined
}

/** A step that others had to run again for, and its own causes. */
export interface Origin {
  readonly step: StepMention
  readonly causes: readonly Cause[]
}

/** Another step, as an explanation names it. */
export interface StepMention {
  readonly text: string
  readonly line: number
}

/** One thing that is not what it was when the step ran the last time. */
export type Cause =
  /** This Dockerfile was not built before with this context. */
  | { readonly kind: 'first' }
  /** No such step was there; `after` is a step below that is new too or ran again. */
  | { readonly kind: 'new'; readonly after?: StepMention }
  /** Only its place is another one. Without `after` it stands on the empty filesystem. */
  | { readonly kind: 'moved'; readonly after?: StepMention }
  /** A flag forbids to use the cache. */
  | { readonly kind: 'flag'; readonly flag: string }
  /** Nothing changed, but what it gave is not in the store, nor in a cache that was read. */
  | { readonly kind: 'pruned'; readonly what: 'layer' | 'result' }
  /** The instruction reads otherwise; `before` is what it was. */
  | { readonly kind: 'instruction'; readonly before: string }
  /** What the instruction runs or writes is another text, in a heredoc or by SHELL. */
  | { readonly kind: 'text' }
  /** A setting that comes from elsewhere: USER, WORKDIR, --platform, SOURCE_DATE_EPOCH, a mount. */
  | { readonly kind: 'setting'; readonly name: string; readonly before?: string; readonly now?: string }
  | { readonly kind: 'secret'; readonly name: string }
  /** ARG or ENV; `before` and `now` are its values where they may be told. */
  | {
      readonly kind: 'variable'
      readonly name: string
      readonly change: 'added' | 'removed' | 'changed'
      readonly before?: string
      readonly now?: string
    }
  /** The base image: names, with digests where the name is the same. */
  | { readonly kind: 'base'; readonly before: string; readonly now: string }
  /**
   * A file or directory that is copied or mounted; `before` and `now` are its mode, owner or type, or the target of a
   * symlink; of one that was renamed `before` is the path that it had.
   */
  | {
      readonly kind: 'file'
      readonly path: string
      readonly change: FileChange
      readonly before?: string
      readonly now?: string
    }
  /** So many files besides those that are named. */
  | { readonly kind: 'more'; readonly count: number }
  /** Files of which no list was kept. */
  | { readonly kind: 'files'; readonly label: string }

export type FileChange =
  | 'added'
  | 'removed'
  | 'renamed'
  /** The ignore file leaves it out now, or no longer does. */
  | 'ignored'
  | 'unignored'
  | 'content'
  | 'target'
  | 'xattrs'
  | 'mode'
  | 'owner'
  | 'type'

export type FileCause = Extract<Cause, { kind: 'file' }>

/** True for the misses of a first build, which nobody wants explained. */
export function isFirst({ own }: Miss): boolean {
  return own[0]?.kind === 'first'
}

const shownFiles = 3

/** A miss in one line: the causes of the step, else those it inherits with the place where they lie. Never empty. */
export function missText({ own, inherited }: Miss): string {
  if (own.length > 0 || inherited === undefined) return causesText(own)
  return `${causesText(inherited.causes)} (${shortText(inherited.step)}, line ${inherited.step.line})`
}

/** Causes in one line; of many files only the first are named, and of a directory that came or went only itself. */
export function causesText(causes: readonly Cause[]): string {
  const files = causes.filter((cause) => cause.kind === 'file')
  const changes = new Map(files.map((file) => [file.path, file]))
  const [within = [], apart = []] = [true, false].map((isWithin) =>
    files.filter((file) => (changes.size > 1 && isImplied(file, changes)) === isWithin),
  )
  const dropped = new Set<Cause>(within)
  const hidden = apart.slice(shownFiles)
  for (const file of hidden) dropped.add(file)
  const texts = causes.filter((cause) => !dropped.has(cause) && cause.kind !== 'more').map(causeText)
  const more = causes.reduce((count, cause) => (cause.kind === 'more' ? count + cause.count : count), hidden.length)
  if (more > 0) texts.push(causeText({ kind: 'more', count: more }))
  return texts.join(', ')
}

/** True for a file that came or went with a directory above it. */
function isImplied({ path, change }: FileCause, changes: ReadonlyMap<string, FileCause>): boolean {
  if (change === 'content') return false
  for (let above = parentPath(path); above !== '/'; above = parentPath(above)) {
    const other = changes.get(above)?.change
    if (other !== undefined && other === change && change !== 'mode' && change !== 'owner') return true
    if (other === 'type' && (change === 'added' || change === 'removed')) return true
  }
  return false
}

/** One cause in a few words. */
export function causeText(cause: Cause): string {
  switch (cause.kind) {
    case 'first':
      return 'first build'
    case 'new':
      return cause.after === undefined ? 'new step' : `new step after ${placeText(cause.after)}`
    case 'moved':
      return cause.after === undefined
        ? 'it now starts from an empty filesystem'
        : `it now follows ${placeText(cause.after)}`
    case 'flag':
      return `${cause.flag} was given`
    case 'pruned':
      // A cache from elsewhere may tell of more steps than it has results of.
      return cause.what === 'layer' ? 'its cached layer was removed' : 'no cache has its result'
    case 'instruction':
      return `the instruction changed (was ${cause.before})`
    case 'text':
      return 'the text that it runs or writes changed'
    case 'setting':
      return settingText(cause)
    case 'secret':
      return `secret ${cause.name} changed`
    case 'variable':
      return variableText(cause)
    case 'base':
      return `base image changed from ${cause.before} to ${cause.now}`
    case 'file':
      return fileText(cause)
    case 'more':
      return cause.count === 1 ? '1 more file' : `${cause.count} more files`
    case 'files':
      return `${printable(cause.label)} changed`
    default:
      return cause satisfies never
  }
}

function variableText({ name, change, before, now }: Extract<Cause, { kind: 'variable' }>): string {
  const [old, current] = [before, now].map((value) =>
    value === undefined ? undefined : JSON.stringify(shorten(printable(value), 40)),
  )
  if (change !== 'changed') {
    const value = change === 'added' ? current : old
    return `variable ${name}${value === undefined ? '' : `=${value}`} was ${change}`
  }
  if (current === undefined) return `variable ${name} changed${old === undefined ? '' : ` (was ${old})`}`
  return `variable ${name} changed${old === undefined ? '' : ` from ${old}`} to ${current}`
}

function shorten(text: string, length: number): string {
  return text.length > length ? `${text.slice(0, length - 1)}…` : text
}

function settingText({ name, before, now }: Extract<Cause, { kind: 'setting' }>): string {
  if (before === undefined) return `${name} was added`
  if (before === '') return `${name} was set to ${now}`
  if (now === '') return `${name} is not set any more (was ${before})`
  return now === undefined ? `${name} was removed` : `${name} changed from ${before} to ${now}`
}

function fileText({ path: name, change, before, now }: FileCause): string {
  // Who names a file is not who reads the terminal.
  const [path, old, current] = [name, before ?? '', now ?? ''].map((text) => printable(text).replaceAll('\n', '^J'))
  switch (change) {
    case 'content':
      return `${path} changed`
    case 'mode':
    case 'owner':
      return `${path} has ${change} ${current} (was ${old})`
    case 'type':
      return `${path} is a ${current} (was a ${old})`
    case 'target':
      return `${path} points to ${current} (was ${old})`
    case 'xattrs':
      return `${path} has other extended attributes`
    case 'renamed':
      return `${old} renamed to ${path}`
    case 'ignored':
      return `${path} is ignored now`
    case 'unignored':
      return `${path} is no longer ignored`
    default:
      return `${path} ${change}`
  }
}

/** `RUN npm ci (line 7)`. */
export function placeText(step: StepMention): string {
  return `${shortText(step)} (line ${step.line})`
}

function shortText({ text }: StepMention): string {
  return shorten(text, 60)
}
