import type { RegistryAccess } from '../engine/registry/registry-access.ts'
import type { CommandContext } from './context.ts'

/** How a command reaches registries: with docker's configuration, the command's environment and its signal. */
export function registryAccessOf(ctx: CommandContext): RegistryAccess {
  return {
    configDir: ctx.configDir,
    env: ctx.env,
    signal: ctx.signal,
    warn: (text) => ctx.stderr.write(`WARNING: ${text}\n`),
  }
}
