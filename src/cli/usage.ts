import { type CairnError, usageError } from '../errors/error.ts'
import {
  type Command,
  type CommandEntry,
  type CommandTable,
  commandsUnder,
  findCommand,
  groupsUnder,
} from './command.ts'
import { bareValue, type FlagDefinition, type FlagDefinitions } from './flags.ts'
import { globalFlags } from './global-flags.ts'

/** Help and the texts below a wrong command line, laid out as docker's. */
const about = 'Builds, runs, inspects and moves container images, with no daemon'

/**
 * The help of what `words` name: nothing (Cairn itself), a group, or a command. `columns` is the width to wrap at.
 * Throws USAGE (status 1) for an unknown topic.
 */
export async function helpFor(table: CommandTable, words: readonly string[], columns: number): Promise<string> {
  if (words.length === 0) return topLevelHelp(table, columns)
  const found = findCommand(table, words)
  if (found.kind === 'group') return groupHelp(table, found.name)
  if (found.kind === 'command') {
    const { default: command } = await found.entry.load()
    return commandHelp(found.path, found.entry, command, columns)
  }
  throw usageError(`unknown help topic: ${words.join(' ')}`)
}

function topLevelHelp(table: CommandTable, columns: number): string {
  const commands = commandsUnder(table, '')
  const common = table.commands.filter((entry) => entry.common === true)
  const rows = (entries: readonly CommandEntry[]): (readonly [string, string])[] =>
    entries.flatMap((entry) => {
      const row = commands.find((command) => command.entry === entry)
      return row === undefined ? [] : [[row.name, row.entry.summary] as const]
    })
  const others = commands.filter(({ entry }) => entry.common !== true).map(({ entry }) => entry)
  return [
    `Usage:  cairn [OPTIONS] COMMAND\n\n${about}\n`,
    section('Common Commands', rows(common)),
    section('Management Commands', groupRows(table, '')),
    section('Commands', rows(others)),
    `\nGlobal Options:\n${describeFlags(globalFlags, columns)}`,
    "\nRun 'cairn COMMAND --help' for more information on a command.\n",
  ].join('')
}

function groupHelp(table: CommandTable, name: string): string {
  const rows = commandsUnder(table, name).map((command) => [command.name, command.entry.summary] as const)
  return [
    `Usage:  cairn ${name} COMMAND\n\n${table.groups[name]?.summary ?? ''}\n`,
    section('Management Commands', groupRows(table, name)),
    section('Commands', rows),
    `\nRun 'cairn ${name} COMMAND --help' for more information on a command.\n`,
  ].join('')
}

function groupRows(table: CommandTable, parent: string): (readonly [string, string])[] {
  return groupsUnder(table, parent).map(({ name, group }) => [name, group.summary] as const)
}

function section(title: string, rows: readonly (readonly [name: string, summary: string])[]): string {
  if (rows.length === 0) return ''
  const width = Math.max(11, ...rows.map(([name]) => name.length + 1))
  return `\n${title}:\n${rows.map(([name, summary]) => `  ${name.padEnd(width)} ${summary}\n`).join('')}`
}

function commandHelp(path: string, entry: CommandEntry, command: Command, columns: number): string {
  const flags = describeFlags(command.flags, columns)
  return [
    `${usageLine(path, command)}\n\n${entry.summary}\n`,
    command.description === undefined ? '' : `\n${command.description}\n`,
    entry.paths.length === 1 ? '' : `\nAliases:\n  ${entry.paths.map((one) => `cairn ${one}`).join(', ')}\n`,
    command.examples === undefined
      ? ''
      : `\nExamples:\n${command.examples.map(({ text, command: line }) => `  # ${text}\n  ${line}\n`).join('\n')}`,
    flags === '' ? '' : `\nOptions:\n${flags}`,
  ].join('')
}

function usageLine(path: string, command: Command): string {
  return `Usage:  cairn ${path}${command.usage === '' ? '' : ` ${command.usage}`}`
}

/** The message, usage line and pointer to help that docker prints for a command line it cannot read. */
export function wrongCommandLine(message: string, path: string, command: Command | undefined): string {
  const name = path === '' ? 'cairn' : `cairn ${path}`
  const line =
    command === undefined
      ? `Usage:  ${path === '' ? 'cairn [OPTIONS] COMMAND [ARG...]' : `${name} COMMAND`}`
      : usageLine(path, command)
  return `${message}\n\n${line}\n\nRun '${name} --help' for more information\n`
}

/** The error for a wrong number of positional arguments; status 1, as docker's. */
export function argumentCountError(path: string, command: Command): CairnError {
  const { min = 0, max } = command.args
  const plural = (count: number): string => (count === 1 ? 'argument' : 'arguments')
  let wants: string
  if (max === 0) wants = 'accepts no arguments'
  else if (max === undefined) wants = `requires at least ${min} ${plural(min)}`
  else if (min === max) wants = `requires ${max} ${plural(max)}`
  else if (min === 0) wants = `requires at most ${max} ${plural(max)}`
  else wants = `requires at least ${min} and at most ${max} ${plural(max)}`
  return usageError(`'cairn ${path}' ${wants}\n\n${usageLine(path, command)}`, {
    hint: `Run 'cairn ${path} --help' for more information`,
  })
}

/** The error for a word that is no command, with the commands it may have meant; status 1, as docker's. */
export function unknownCommand(
  table: CommandTable,
  { path, parent }: { readonly path: string; readonly parent: string },
): CairnError {
  const word = path.slice(parent === '' ? 0 : parent.length + 1)
  const near = suggestions(table, parent, word)
  const prefix = parent === '' ? 'cairn' : `cairn ${parent}`
  const meant =
    near.length === 0 ? '' : `\n\nDid you mean this?\n${near.map((name) => `  ${prefix} ${name}`).join('\n')}`
  const usage = parent === '' ? '' : `\n\nUsage:  cairn ${parent} COMMAND`
  return usageError(`unknown command: cairn ${path}${meant}${usage}`, {
    hint: `Run '${prefix} --help' for more information`,
  })
}

/** Names under `parent` that `word` begins, or that two typing errors turn into it; the nearest first. */
function suggestions(table: CommandTable, parent: string, word: string): readonly string[] {
  const typed = word.toLowerCase()
  const names = new Set(commandsUnder(table, parent).map(({ name }) => name))
  for (const { name } of groupsUnder(table, parent)) names.add(name)
  return [...names]
    .map((name) => ({ name, distance: name.startsWith(typed) ? 0 : editDistance(typed, name) }))
    .filter(({ name, distance }) => distance <= Math.min(2, name.length - 1))
    .sort((a, b) => a.distance - b.distance)
    .slice(0, 5)
    .map(({ name }) => name)
}

/** Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`. */
function editDistance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > 2) return 3
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, column) => column)]
  const at = (row: number, column: number): number => rows[row]?.[column] ?? 0
  for (let row = 1; row <= a.length; row++) {
    rows[row] = [row]
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1]
      let cost = Math.min(at(row - 1, column) + 1, at(row, column - 1) + 1, at(row - 1, column - 1) + (same ? 0 : 1))
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1])
        cost = Math.min(cost, at(row - 2, column - 2) + 1)
      rows[row]?.push(cost)
    }
  }
  return at(a.length, b.length)
}

const typeNames: Readonly<Record<FlagDefinition['type'], string>> = {
  bool: '',
  string: 'string',
  int: 'int',
  decimal: 'decimal',
  bytes: 'bytes',
  duration: 'duration',
  count: 'count',
  stringArray: 'stringArray',
  stringSlice: 'strings',
}

/** The Options section of a help text, one or more lines a flag, sorted by name. */
export function describeFlags(flags: FlagDefinitions, columns: number): string {
  const rows = Object.entries(flags)
    .filter(([, flag]) => flag.hidden !== true && flag.deprecated === undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, flag]) => [flagHead(name, flag), flag.summary + describeDefault(flag)] as const)
  const indent = Math.max(0, ...rows.map(([head]) => head.length)) + 3
  return rows.map(([head, text]) => `${head.padEnd(indent)}${wrapText(text, indent, columns)}\n`).join('')
}

function flagHead(name: string, flag: FlagDefinition): string {
  const value = flag.value ?? typeNames[flag.type]
  const bare = flag.type === 'string' && bareValue(flag) !== undefined ? `[="${bareValue(flag)}"]` : ''
  const short = flag.short === undefined ? '      ' : `  -${flag.short}, `
  return `${short}--${name}${value === '' ? '' : ` ${value}`}${bare}`
}

function describeDefault(flag: FlagDefinition): string {
  if (!('default' in flag) || flag.default === undefined || flag.default === '' || flag.default === false) return ''
  if (/\(default /.test(flag.summary)) return ''
  return ` (default ${typeof flag.default === 'string' ? JSON.stringify(flag.default) : String(flag.default)})`
}

/** `text` wrapped to `columns` with every line after the first indented; a short last word may stand over by five. */
function wrapText(text: string, indent: number, columns: number): string {
  const newline = `\n${' '.repeat(indent)}`
  const slop = 5
  const width = columns - indent - slop
  if (width + slop < 24) return text.replaceAll('\n', newline)
  const lines: string[] = []
  for (const paragraph of text.split('\n')) {
    let rest = paragraph
    while (rest.length > width + slop) {
      const space = rest.lastIndexOf(' ', width - 1)
      if (space <= 0) break
      lines.push(rest.slice(0, space))
      rest = rest.slice(space + 1)
    }
    lines.push(rest)
  }
  return lines.join(newline)
}
