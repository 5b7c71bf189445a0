import { collectedTerminal, writeWhole } from './build/collected-output.ts'
import { type Candidates, type Command, type CommandTable, commandsUnder, findCommand, groupsUnder } from './command.ts'
import { openContext } from './context.ts'
import { bareValue, type FlagDefinition, type FlagDefinitions } from './flags.ts'
import { globalFlags, globalSettings, withGlobalFlags } from './global-flags.ts'

/**
 * The protocol between a shell's completion script and the program, which is cobra's, so that scripts written for
 * docker's completion work: `cairn __complete WORD... TO-COMPLETE` prints candidates, one a line with a description
 * after a tab, then `:` and the sum of {@link directives}.
 */
export const directives = { default: 0, error: 1, noSpace: 2, noFiles: 4, directories: 16 } as const

interface Candidate {
  readonly text: string
  readonly description?: string
}

interface Answer {
  readonly candidates: readonly Candidate[]
  readonly directive: number
}

type Environment = Readonly<Record<string, string | undefined>>

/** Where the cursor is among the words of a command line. */
interface Position {
  readonly positionals: readonly string[]
  /** Where in the words the first positional stands. */
  readonly firstPositional: number | undefined
  readonly given: ReadonlyMap<string, string>
  /** The flag whose value is being typed. */
  readonly pending: string | undefined
  /** Flags have ended: after `--`, or after the first positional of a command like `run`. */
  readonly ended: boolean
  /** A flag nobody knows: what follows cannot be understood. */
  readonly unknown: boolean
}

const nothing: Answer = { candidates: [], directive: directives.noFiles }
const files: Answer = { candidates: [], directive: directives.default }

/**
 * Answers one completion request on stdout and gives the exit status 0. `words` are those after the program's name, the
 * last of them the one being typed. A failure is an answer too: no candidates.
 */
export async function completeLine(
  table: CommandTable,
  env: Environment,
  words: readonly string[],
  withDescriptions: boolean,
): Promise<number> {
  const { candidates, directive } = await answer(table, env, words.slice(0, -1), words.at(-1) ?? '').catch(
    (): Answer => ({ candidates: [], directive: directives.error }),
  )
  const lines = candidates.map(({ text, description }) => {
    const first = description?.split('\n', 1)[0] ?? ''
    return withDescriptions && first !== '' ? `${text}\t${first}` : text
  })
  await writeWhole(Bun.stdout, `${[...lines, `:${directive}`].join('\n')}\n`)
  return 0
}

async function answer(
  table: CommandTable,
  env: Environment,
  words: readonly string[],
  toComplete: string,
): Promise<Answer> {
  const front = locate(globalFlags, words, false)
  if (front.unknown) return files
  const value = valueBeingTyped(globalFlags, front, toComplete)
  if (value !== undefined && front.firstPositional === undefined)
    return pathsOr(knownValues(value.flag) ?? [], value.typed)
  const rest = front.firstPositional === undefined ? [] : words.slice(front.firstPositional)
  if (rest.length === 0)
    return toComplete.startsWith('-')
      ? flagNames(globalFlags, front.given, toComplete)
      : commandNames(table, '', toComplete)
  if (rest[0] === 'help') return helpTopics(table, rest.slice(1), toComplete)
  const found = findCommand(table, rest)
  if (found.kind === 'unknown') return files
  if (found.kind === 'group') return commandNames(table, found.name, toComplete)
  const { default: command } = await found.entry.load()
  return commandLine({ path: found.path, command, env, front }, found.rest, toComplete)
}

function helpTopics(table: CommandTable, words: readonly string[], toComplete: string): Answer {
  const group = words.join(' ')
  return group === '' || Object.hasOwn(table.groups, group) ? commandNames(table, group, toComplete) : nothing
}

function commandNames(table: CommandTable, parent: string, toComplete: string): Answer {
  const names = commandsUnder(table, parent).map(({ name, entry }) => ({ text: name, description: entry.summary }))
  for (const { name, group } of groupsUnder(table, parent)) names.push({ text: name, description: group.summary })
  names.sort((a, b) => (a.text < b.text ? -1 : 1))
  return matching(names, toComplete)
}

function matching(candidates: readonly Candidate[], toComplete: string): Answer {
  return { candidates: candidates.filter(({ text }) => text.startsWith(toComplete)), directive: directives.noFiles }
}

/** Reads the words before the cursor as parseFlags() would, but without minding what is incomplete. */
function locate(definitions: FlagDefinitions, words: readonly string[], interspersed: boolean): Position {
  const positionals: string[] = []
  const given = new Map<string, string>()
  let firstPositional: number | undefined
  let pending: string | undefined
  let ended = false
  let unknown = false
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? ''
    if (ended || word === '-' || !word.startsWith('-')) {
      firstPositional ??= at
      positionals.push(word)
      if (!interspersed) ended = true
      continue
    }
    if (word === '--') {
      ended = true
      continue
    }
    const read = word.startsWith('--') ? readLong(definitions, word) : readShorts(definitions, word)
    unknown ||= read === undefined
    if (read === undefined) continue
    const value = read.value ?? words[++at]
    if (value === undefined) pending = read.name
    else given.set(read.name, value)
  }
  return { positionals, firstPositional, given, pending, ended, unknown }
}

interface ReadFlag {
  readonly name: string
  /** Undefined where the next word is the value. */
  readonly value: string | undefined
}

function readLong(definitions: FlagDefinitions, word: string): ReadFlag | undefined {
  const [name = '', ...value] = word.slice(2).split('=')
  const flag = Object.hasOwn(definitions, name) ? definitions[name] : undefined
  if (flag === undefined) return undefined
  return { name, value: value.length > 0 ? value.join('=') : bareValue(flag) }
}

/** The last flag of `-abc`, the only one that may want the next word. */
function readShorts(definitions: FlagDefinitions, word: string): ReadFlag | undefined {
  let read: ReadFlag | undefined
  for (let at = 1; at < word.length; at++) {
    const letter = word.charAt(at)
    const [name, flag] = Object.entries(definitions).find(([, one]) => one.short === letter) ?? []
    if (name === undefined || flag === undefined) return undefined
    const bare = bareValue(flag)
    const after = word.slice(at + 1)
    if (bare === undefined) return { name, value: after === '' ? undefined : after.replace(/^=/, '') }
    read = { name, value: bare }
  }
  return read
}

/** The flag whose value is being typed: after `--flag `, or after the `=` of `--flag=`. */
function valueBeingTyped(
  definitions: FlagDefinitions,
  { pending, ended }: Position,
  toComplete: string,
): { readonly name: string; readonly flag: FlagDefinition | undefined; readonly typed: string } | undefined {
  const attached = pending === undefined && !ended ? /^--([^=]+)=(.*)$/s.exec(toComplete) : null
  const name = pending ?? attached?.[1]
  if (name === undefined) return undefined
  const flag = Object.hasOwn(definitions, name) ? definitions[name] : undefined
  return { name, flag, typed: attached?.[2] ?? toComplete }
}

interface CommandLine {
  readonly path: string
  readonly command: Command
  readonly env: Environment
  /** The global flags before the command. */
  readonly front: Position
}

async function commandLine(line: CommandLine, words: readonly string[], toComplete: string): Promise<Answer> {
  const { command } = line
  const definitions = withGlobalFlags(command.flags)
  const position = locate(definitions, words, command.interspersed ?? true)
  if (position.unknown) return files
  const value = valueBeingTyped(definitions, position, toComplete)
  if (value !== undefined) {
    const { name, flag, typed } = value
    const known = knownValues(flag)
    if (known !== undefined || command.completeFlag === undefined) return pathsOr(known ?? [], typed)
    return dynamic(line, position, typed, (ctx) => command.completeFlag?.(ctx, name, typed))
  }
  if (toComplete.startsWith('-') && !position.ended) return flagNames(definitions, position.given, toComplete)
  if (position.positionals.length >= (command.args.max ?? Number.POSITIVE_INFINITY)) return nothing
  return dynamic(line, position, toComplete, (ctx) => command.complete?.(ctx, toComplete, position.positionals))
}

/** Candidates that a command finds out, with the context it would run in. */
async function dynamic(
  { path, env, front }: CommandLine,
  position: Position,
  toComplete: string,
  ask: (ctx: Parameters<NonNullable<Command['complete']>>[0]) => Promise<Candidates> | Candidates | undefined,
): Promise<Answer> {
  const root = position.given.get('root') ?? front.given.get('root')
  const config = position.given.get('config') ?? front.given.get('config')
  const settings = globalSettings({ root, config }, env)
  await using open = openContext(path, new Set(position.given.keys()), env, settings, collectedTerminal())
  try {
    return pathsOr((await ask(open.ctx)) ?? [], toComplete)
  } catch {
    // A store that cannot be opened has no names.
    return nothing
  }
}

/** The values a flag's definition names; undefined where it names none, files where there is no such flag. */
function knownValues(flag: FlagDefinition | undefined): Candidates | undefined {
  if (flag === undefined) return 'file'
  if (flag.type === 'bool') return ['true', 'false']
  return flag.complete ?? (flag.type === 'string' ? flag.oneOf : undefined)
}

function pathsOr(candidates: Candidates, toComplete: string): Answer {
  if (candidates === 'file') return files
  if (candidates === 'directory') return { candidates: [], directive: directives.directories }
  return matching(
    candidates.map((text) => ({ text })),
    toComplete,
  )
}

/** Flags that are not given yet, or may be given again. */
function flagNames(definitions: FlagDefinitions, given: ReadonlyMap<string, string>, toComplete: string): Answer {
  const candidates: Candidate[] = []
  const sorted = Object.entries(definitions).sort(([a], [b]) => (a < b ? -1 : 1))
  for (const [name, flag] of sorted) {
    const repeats = flag.type === 'stringArray' || flag.type === 'stringSlice' || flag.type === 'count'
    if (flag.hidden === true || flag.deprecated !== undefined || (given.has(name) && !repeats)) continue
    candidates.push({ text: `--${name}`, description: flag.summary })
    if (flag.short !== undefined) candidates.push({ text: `-${flag.short}`, description: flag.summary })
  }
  return matching(candidates, toComplete)
}
