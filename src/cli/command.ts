/**
 * Commands are data. One file in `commands/` defines one command, one line in `table-of-commands.ts` names it:
 *
 * ```ts
 * // commands/image-tag.ts: the smallest kind
 * export default defineCommand({
 *   usage: 'SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]',
 *   args: { min: 2, max: 2 },
 *   flags: {},
 *   async run(ctx, _flags, [source = '', target = '']) {
 *     const store = await ctx.use(openStore) // opened once, closed when the command ends
 *     await tagImage(store, source, target)
 *   },
 * })
 *
 * // commands/image-ls.ts: flags whose types `run` sees, dynamic completion, output
 * export default defineCommand({
 *   usage: '[OPTIONS] [REPOSITORY[:TAG]]',
 *   args: { max: 1 },
 *   examples: [{ text: 'Images made from one repository', command: 'cairn images alpine' }],
 *   flags: {
 *     quiet: { type: 'bool', short: 'q', summary: 'Only show image IDs' },
 *     filter: { type: 'stringArray', short: 'f', value: 'filter', summary: 'Filter output based on conditions provided' },
 *   },
 *   complete: async (ctx) => imageNames(await ctx.use(openStore)),
 *   async run(ctx, flags) {
 *     for (const image of await listImages(await ctx.use(openStore), flags.filter))
 *       ctx.stdout.write(`${flags.quiet ? image.id : image.name}\n`)
 *   },
 * })
 *
 * // table-of-commands.ts: every path the command answers to, what lists say about it, and how to load it
 * { paths: ['image tag', 'tag'], summary: 'Create a tag …', load: () => import('…/image-tag.ts') },
 * ```
 *
 * A failure is thrown as a CairnError; the runner prints it and decides the exit status. A command that ends with a
 * status of its own without a message (a container's) returns it.
 */
import type { CommandContext } from './context.ts'
import type { FlagDefinitions, FlagValues } from './flags.ts'

/** One line of the Examples section of `--help`. */
export interface Example {
  readonly text: string
  readonly command: string
}

/** How many positional arguments a command takes; no `max` is any number. */
export interface ArgumentCount {
  readonly min?: number
  readonly max?: number
}

/** What completion of a positional argument gives: the candidates, or what the shell itself completes. */
export type Candidates = readonly string[] | 'file' | 'directory'

export interface CommandDefinition<Flags extends FlagDefinitions> {
  /** What follows the command's name in its usage line: `[OPTIONS] IMAGE [COMMAND] [ARG...]`. */
  readonly usage: string
  /** More than the summary of the table has room for. */
  readonly description?: string
  readonly examples?: readonly Example[]
  readonly args: ArgumentCount
  readonly flags: Flags
  /** False where flags end at the first positional argument, as for `run` and `exec`. */
  readonly interspersed?: false
  /**
   * `collected` gathers stdout and writes it once at the end: right for a command that prints a few lines, it saves
   * loading the terminal. `direct` (the default) writes at once and knows the terminal.
   */
  readonly output?: 'direct' | 'collected'
  /** Candidates for the positional argument being typed; `args` are those before it. Must be quick; none where it throws. */
  complete?(ctx: CommandContext, toComplete: string, args: readonly string[]): Promise<Candidates> | Candidates
  /** Candidates for the value of the flag `name`, where they depend on the store. */
  completeFlag?(ctx: CommandContext, name: string, toComplete: string): Promise<Candidates> | Candidates
  /** Does the work. A number is the exit status; nothing is 0. */
  run(ctx: CommandContext, flags: FlagValues<Flags>, args: readonly string[]): Promise<number | void>
}

/** Any command, as the runner sees it. */
export interface Command extends Omit<CommandDefinition<FlagDefinitions>, 'run'> {
  run(ctx: CommandContext, flags: Readonly<Record<string, unknown>>, args: readonly string[]): Promise<number | void>
}

/** A command whose `run` sees the types of its own flags. */
export function defineCommand<const Flags extends FlagDefinitions>(definition: CommandDefinition<Flags>): Command {
  // The runner hands `run` what parseFlags() read with this very `flags`, so its type holds there.
  return definition
}

/** One line of the table of commands. */
export interface CommandEntry {
  /**
   * Every path the command answers to: `image ls`, `image list`, `images`. Help lists the first one under each group;
   * the others are aliases.
   */
  readonly paths: readonly [string, ...string[]]
  /** One line for lists of commands and the top of `--help`. */
  readonly summary: string
  /** Listed under "Common Commands". */
  readonly common?: boolean
  /** Not listed. */
  readonly hidden?: boolean
  /** Touches neither containers nor files of layers, so without root it does not go on in a user namespace. */
  readonly needsNoNamespace?: boolean
  readonly load: () => Promise<{ readonly default: Command }>
}

/** A word that commands are grouped under: `image` of `image ls`. */
export interface CommandGroup {
  readonly summary: string
  /** Answers, but is not listed. */
  readonly hidden?: boolean
  /** Flags that may stand between it and the command, and change nothing there. */
  readonly flags?: FlagDefinitions
}

export interface CommandTable {
  /** By the words that lead to the commands: `image`, `buildx imagetools`. */
  readonly groups: Readonly<Record<string, CommandGroup>>
  readonly commands: readonly CommandEntry[]
}

/** What a line of words means. */
export type Lookup =
  | { readonly kind: 'command'; readonly entry: CommandEntry; readonly path: string; readonly rest: readonly string[] }
  | { readonly kind: 'group'; readonly name: string; readonly rest: readonly string[] }
  | { readonly kind: 'unknown'; readonly path: string; readonly parent: string }

/** Finds the command that `words` (global flags already taken off) begin with. Groups may be in groups. */
export function findCommand(table: CommandTable, words: readonly string[]): Lookup {
  const pathOf = (length: number): string => words.slice(0, length).join(' ')
  let depth = 0
  while (depth < words.length && Object.hasOwn(table.groups, pathOf(depth + 1))) depth++
  const path = pathOf(depth + 1)
  const entry = table.commands.find((command) => command.paths.includes(path))
  if (entry !== undefined) return { kind: 'command', entry, path, rest: words.slice(depth + 1) }
  if (depth > 0 && (words[depth] ?? '-').startsWith('-'))
    return { kind: 'group', name: pathOf(depth), rest: words.slice(depth) }
  return { kind: 'unknown', path, parent: pathOf(depth) }
}

/** The part of a path before its last word: `image` of `image ls`, the empty text of `images`. */
export function parentOf(path: string): string {
  const space = path.lastIndexOf(' ')
  return space < 0 ? '' : path.slice(0, space)
}

/** The last word of a path. */
export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf(' ') + 1)
}

/** The commands listed under the group `parent` (the empty text for the top level), by name. */
export function commandsUnder(
  table: CommandTable,
  parent: string,
): { readonly name: string; readonly path: string; readonly entry: CommandEntry }[] {
  return table.commands
    .flatMap((entry) => {
      const path = entry.paths.find((one) => parentOf(one) === parent)
      return path === undefined || entry.hidden === true ? [] : [{ name: nameOf(path), path, entry }]
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** The groups listed under the group `parent` (the empty text for the top level), by name. */
export function groupsUnder(
  table: CommandTable,
  parent: string,
): { readonly name: string; readonly group: CommandGroup }[] {
  return Object.entries(table.groups)
    .filter(([path, { hidden }]) => parentOf(path) === parent && hidden !== true)
    .map(([path, group]) => ({ name: nameOf(path), group }))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
}
