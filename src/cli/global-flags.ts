import { usageError } from '../errors/error.ts'
import type { GlobalSettings } from './context.ts'
import type { FlagDefinitions, FlagValues } from './flags.ts'

/** docker's; Cairn keeps no log, so that they change nothing. */
const logLevels: readonly string[] = ['debug', 'info', 'warn', 'error', 'fatal']

/** Flags that may stand before any command, and after it where the command has none of the same name. */
export const globalFlags = {
  config: {
    type: 'string',
    value: 'string',
    summary: 'Location of client config files (default "~/.docker")',
    complete: 'directory',
  },
  debug: { type: 'bool', short: 'D', summary: 'Enable debug mode' },
  help: { type: 'bool', short: 'h', summary: 'Show help and quit', hidden: true },
  'log-level': {
    type: 'string',
    short: 'l',
    default: 'info',
    summary: 'Set the logging level ("debug", "info", "warn", "error", "fatal")',
    complete: logLevels,
  },
  root: {
    type: 'string',
    summary: 'Folder of the store of images and containers (default $CAIRN_ROOT, else "/var/lib/cairn" for root)',
    complete: 'directory',
  },
  version: { type: 'bool', short: 'v', summary: 'Print version information and quit' },
} as const satisfies FlagDefinitions

/** The settings that the global flags and the environment ask for. Throws USAGE for an unknown log level. */
export function globalSettings(
  flags: Partial<FlagValues<typeof globalFlags>>,
  env: Readonly<Record<string, string | undefined>>,
): GlobalSettings {
  const level = flags['log-level'] ?? 'info'
  if (!logLevels.includes(level)) throw usageError(`Unable to parse logging level: ${level}`)
  return {
    debug: flags.debug === true || (env['CAIRN_DEBUG'] ?? '0') !== '0',
    root: flags.root,
    configDir: flags.config,
  }
}

/** A command's flags together with the global ones that it does not define itself; a short form goes to the command. */
export function withGlobalFlags(flags: FlagDefinitions): FlagDefinitions {
  const shorts = new Set(Object.values(flags).map((flag) => flag.short))
  const merged: Record<string, FlagDefinitions[string]> = { ...flags }
  for (const [name, flag] of Object.entries<FlagDefinitions[string]>(globalFlags)) {
    if (name === 'version' || Object.hasOwn(flags, name)) continue
    const { short, ...rest } = flag
    merged[name] = short === undefined || shorts.has(short) || name === 'log-level' ? rest : flag
  }
  return merged
}
