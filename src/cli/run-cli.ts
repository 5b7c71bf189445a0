import { CairnError, reworded } from '../errors/error.ts'
import { exitCodeOf } from '../errors/exit-code.ts'
import { shortageHint } from '../linux/errno.ts'
import { collectedTerminal, writeWhole } from './build/collected-output.ts'
import { type Command, type CommandEntry, type CommandTable, findCommand } from './command.ts'
import { type GlobalSettings, openContext } from './context.ts'
import { parseFlags } from './flags.ts'
import { globalFlags, globalSettings, withGlobalFlags } from './global-flags.ts'
import { table as cairnTable } from './table-of-commands.ts'
import { OutputClosed } from './write-error.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** Status of a command whose reader went away, as a shell reports death by SIGPIPE. */
const outputClosedStatus = 141

/** One invocation: what the error printer must know about it. */
interface Invocation {
  readonly table: CommandTable
  readonly argv: readonly string[]
  readonly isProgram: boolean
  readonly env: Environment
  readonly startWorker: (() => Worker) | undefined
  settings: GlobalSettings
}

/** What the entry file hands to the command line. */
export interface CliParts {
  /** Every command; Cairn's own by default. */
  readonly table?: CommandTable
  /** Starts the layer thread; without it layers are written on the main thread. */
  readonly startWorker?: () => Worker
  /** This process is here for the command line alone, which may go on in its place in a user namespace. */
  readonly isProgram?: boolean
}

/**
 * Runs `cairn` with `argv` (without the program's name) and gives its exit status: 0, a command's own, 125 for a wrong
 * command line, 130 after Ctrl-C, else 1. Failures are printed to stderr as docker lays them out; it never throws.
 */
export async function runCli(
  argv: readonly string[],
  env: Environment,
  { table = cairnTable, startWorker, isProgram = false }: CliParts = {},
): Promise<number> {
  const settings = globalSettings({ debug: false }, env)
  const invocation: Invocation = { table, argv, isProgram, env, startWorker, settings }
  try {
    return await dispatch(invocation, argv)
  } catch (error) {
    return printFailure(invocation, error)
  }
}

async function dispatch(invocation: Invocation, argv: readonly string[]): Promise<number> {
  const { table, env } = invocation
  if (argv[0] === '__complete' || argv[0] === '__completeNoDesc')
    return (await import('./completion.ts')).completeLine(table, env, argv.slice(1), argv[0] === '__complete')
  const { values, args } = parsed('', () => parseFlags(globalFlags, argv, { interspersed: false }))
  invocation.settings = globalSettings(values, env)
  if (values.version) return printVersion()
  if (values.help || args.length === 0) return printHelp(table, args)
  return await route(invocation, args)
}

/** Runs what `words` name. */
async function route(invocation: Invocation, words: readonly string[]): Promise<number> {
  const { table } = invocation
  const found = findCommand(table, words)
  if (found.kind === 'command') return runCommand(invocation, found.entry, found.path, found.rest)
  if (found.kind === 'unknown') throw (await import('./usage.ts')).unknownCommand(table, found)
  const flags = { ...table.groups[found.name]?.flags, help: globalFlags.help }
  const group = parsed(found.name, () => parseFlags(flags, found.rest, { interspersed: false }))
  if (group.given.size > 0 && group.args.length > 0 && !group.values.help)
    return await route(invocation, [...found.name.split(' '), ...group.args])
  // A group alone does nothing: what it could do is no result.
  return printHelp(table, [found.name, ...group.args], group.values.help ? 'stdout' : 'stderr')
}

async function printVersion(): Promise<number> {
  const { version, commit } = await import('./version.ts')
  await writeWhole(Bun.stdout, `Cairn version ${version}, build ${commit}\n`)
  return 0
}

async function printHelp(
  table: CommandTable,
  words: readonly string[],
  stream: 'stdout' | 'stderr' = 'stdout',
): Promise<number> {
  const { helpFor } = await import('./usage.ts')
  const { openTerminal } = await import('./containers/terminal.ts')
  const output = openTerminal()[stream]
  output.write(await helpFor(table, words, output.columns))
  return 0
}

async function runCommand(
  invocation: Invocation,
  entry: CommandEntry,
  path: string,
  rest: readonly string[],
): Promise<number> {
  const { default: command } = await entry.load()
  const interspersed = command.interspersed ?? true
  const { values, args, given, notices } = parsed(
    path,
    () => parseFlags(withGlobalFlags(command.flags), rest, { interspersed }),
    command,
  )
  if (values['help'] === true && !Object.hasOwn(command.flags, 'help'))
    return printHelp(invocation.table, path.split(' '))
  invocation.settings = laterSettings(invocation, command, given, values)
  await checkArgumentCount(path, command, args)
  if (notices.length > 0) await writeWhole(Bun.stderr, `${notices.join('\n')}\n`)

  const run = (): Promise<number> => runLoaded(invocation, command, { path, values, args, given })
  const isOrdinaryUser = process.geteuid?.() !== 0 || invocation.env['_CAIRN_ROOTLESS'] !== undefined
  if (!isOrdinaryUser || !invocation.isProgram || entry.needsNoNamespace === true) return await run()
  const { runWithoutRoot } = await import('./run-without-root.ts')
  return await runWithoutRoot(invocation, run)
}

/** A command line that has been read. */
interface ReadCommand {
  readonly path: string
  readonly values: Readonly<Record<string, unknown>>
  readonly args: readonly string[]
  readonly given: ReadonlySet<string>
}

async function runLoaded(
  invocation: Invocation,
  command: Command,
  { path, values, args, given }: ReadCommand,
): Promise<number> {
  const collected = command.output === 'collected' ? collectedTerminal() : undefined
  const terminal = collected ?? (await import('./containers/terminal.ts')).openTerminal()
  const open = openContext(path, given, invocation.env, invocation.settings, terminal, invocation.startWorker)
  try {
    const status = (await command.run(open.ctx, values, args)) ?? 0
    if (collected !== undefined) {
      await writeWhole(Bun.stderr, collected.stderr.take())
      await writeWhole(Bun.stdout, collected.stdout.take())
    }
    return status
  } catch (error) {
    throw located(error, path, command, open.signalStatus())
  } finally {
    await open[Symbol.asyncDispose]()
  }
}

/** Global flags that were given after the command's name win over those before it. */
function laterSettings(
  { settings, env }: Invocation,
  command: Command,
  given: ReadonlySet<string>,
  values: Readonly<Record<string, unknown>>,
): GlobalSettings {
  const later: Record<string, unknown> = {}
  for (const name of Object.keys(globalFlags))
    if (given.has(name) && !Object.hasOwn(command.flags, name)) later[name] = values[name]
  if (Object.keys(later).length === 0) return settings
  const { debug, root, configDir } = globalSettings(later, env)
  return {
    debug: settings.debug || debug,
    root: root ?? settings.root,
    configDir: configDir ?? settings.configDir,
  }
}

async function checkArgumentCount(path: string, command: Command, args: readonly string[]): Promise<void> {
  const { min = 0, max = Number.POSITIVE_INFINITY } = command.args
  if (args.length >= min && args.length <= max) return
  const { argumentCountError } = await import('./usage.ts')
  throw argumentCountError(path, command)
}

/** A wrong command line, and the command whose usage is shown below the message. */
class WrongCommandLine extends Error {
  readonly path: string
  readonly command: Command | undefined

  constructor(cause: CairnError, path: string, command: Command | undefined) {
    super(cause.message, { cause })
    this.path = path
    this.command = command
  }
}

function parsed<Result>(path: string, parse: () => Result, command?: Command): Result {
  try {
    return parse()
  } catch (error) {
    throw error instanceof CairnError ? new WrongCommandLine(error, path, command) : error
  }
}

/** True for a value of a flag that `run` could not read, told as the reader of flags tells it. */
function isFlagValueError({ message, exitCode }: CairnError): boolean {
  return exitCode === undefined && /^invalid argument .* for ".*" flag: /.test(message)
}

/** A failure of a command's `run`: one about the command line says where its help is, one after a signal is CANCELED. */
function located(error: unknown, path: string, command: Command, signalStatus: number | undefined): unknown {
  if (error instanceof CairnError) {
    if (error.code !== 'USAGE' || error.hint !== undefined) return error
    if (isFlagValueError(error)) return new WrongCommandLine(error, path, command)
    const hint = `Run 'cairn ${path} --help' for more information`
    return reworded(error, error.message, { hint, cause: error.cause })
  }
  if (signalStatus !== undefined && error instanceof Error && error.name === 'AbortError')
    return new CairnError('CANCELED', 'canceled', { cause: error, exitCode: signalStatus })
  return error
}

async function printFailure({ settings }: Invocation, failure: unknown): Promise<number> {
  if (failure instanceof OutputClosed) return outputClosedStatus
  let text: string
  let status: number
  if (failure instanceof WrongCommandLine) {
    text = (await import('./usage.ts')).wrongCommandLine(failure.message, failure.path, failure.command)
    status = exitCodeOf(failure.cause)
  } else {
    text = await describeFailure(failure)
    status = exitCodeOf(failure)
  }
  if (settings.debug) text += `\n${Bun.inspect(failure)}\n`
  await writeWhole(Bun.stderr, text).catch(() => {})
  return status
}

async function describeFailure(failure: unknown): Promise<string> {
  if (failure instanceof CairnError) {
    const hint = failure.hint === undefined ? '' : `\n${failure.hint}\n`
    return `cairn: ${failure.message}\n${hint}`
  }
  const { message, stack } = failure instanceof Error ? failure : new Error(String(failure))
  // What Bun itself asks the kernel for, as a process.
  const code = failure instanceof Error && 'code' in failure ? String(failure.code) : ''
  const shortage = shortageHint(code)
  if (shortage !== undefined) return `cairn: ${message}\n\n${shortage}\n`
  const where = stack === undefined ? '' : (/^\s+at .*$/m.exec(stack)?.[0] ?? '')
  return `cairn: internal error: ${message}\n${where}\n\nThis is a bug in Cairn. Run again with CAIRN_DEBUG=1 for the details to report.\n`
}
