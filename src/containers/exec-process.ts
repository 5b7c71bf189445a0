import type { RuntimeProcess } from '../oci/runtime-spec.ts'
import { containerCapabilities, heldCapabilities } from '../runtime/capabilities.ts'
import { processCapabilities } from '../runtime/spec.ts'
import { resolveUser } from '../runtime/user.ts'
import { containerAccounts } from './container-accounts.ts'
import type { Container } from './container.ts'
import { processEnvironment } from './settings.ts'

/** A command to run in a container that runs. */
export interface ExecRequest {
  readonly command: readonly string[]
  /** `KEY=value`; a key alone takes the container's variable away. */
  readonly env: readonly string[]
  /** The container's own if absent. */
  readonly user?: string
  /** The container's own if absent. */
  readonly workingDirectory?: string
  readonly privileged: boolean
  readonly tty: boolean
}

/**
 * The process that a command becomes: with the variables, rights and user of the container's own. Throws USER_UNKNOWN.
 *
 * @param init - pid of the container's first process
 */
export function execProcess({ settings }: Container, init: number, options: ExecRequest): RuntimeProcess {
  const { config } = settings
  const accounts = containerAccounts(init)
  const user = resolveUser(options.user ?? config.User ?? '', accounts)
  const groups =
    options.user === undefined ? settings.groups.map((group) => resolveUser(`0:${group}`, accounts).gid) : []
  const held = heldCapabilities()
  const privileged = options.privileged || settings.privileged
  const names = containerCapabilities({ add: settings.capAdd, drop: settings.capDrop, privileged }, held)
  const env = processEnvironment({ ...settings, config: { ...config, Env: [...(config.Env ?? []), ...options.env] } })
  if (!env.some((variable) => variable.startsWith('HOME='))) env.push(`HOME=${user.home}`)
  if (options.tty && !env.some((variable) => variable.startsWith('TERM='))) env.push('TERM=xterm')
  return {
    terminal: options.tty,
    cwd: options.workingDirectory ?? config.WorkingDir ?? '/',
    env,
    args: options.command,
    user: { uid: user.uid, gid: user.gid, additionalGids: [...new Set([user.gid, ...user.additionalGids, ...groups])] },
    capabilities: processCapabilities(names, user.uid),
    noNewPrivileges: settings.noNewPrivileges,
  }
}
