import { defaultRoot } from '../content/default-root.ts'
import { ownProgram } from '../containers/own-command.ts'
import { CairnError, isCairnError } from '../errors/error.ts'
import { errno, isErrno } from '../linux/errno.ts'
import { tryStat } from '../linux/file-status.ts'
import { beginStay, enterNamespace, isRootless } from '../rootless/namespace.ts'
import type { GlobalSettings } from './context.ts'

interface Invocation {
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string | undefined>>
  readonly settings: GlobalSettings
}

/**
 * Runs a command for a user without root: this process goes on in the user namespace of the store, where it begins anew and
 * comes here once more. Where there can be no namespace the command runs as it is, and what it then may not do is told with the
 * reason.
 */
export async function runWithoutRoot({ argv, env, settings }: Invocation, run: () => Promise<number>): Promise<number> {
  const given = settings.root ?? defaultRoot(env, process.getuid?.() ?? 0)
  const root = given.startsWith('/') ? given : `${process.cwd()}/${given}`
  if (isRootless()) {
    const stay = beginStay(root)
    try {
      return await run()
    } finally {
      const { hasActiveContainers } = await import('../containers/container-records.ts')
      const { openStore } = await import('../content/store.ts')
      stay.leave(() => {
        if (tryStat(`${root}/cairn.db`) === undefined) return false
        try {
          using store = openStore(root)
          return hasActiveContainers(store)
        } catch (error) {
          if (!(error instanceof CairnError)) throw error
          // What cannot be told is left to the next command.
          return true
        }
      })
    }
  }
  const obstacle = enterNamespace(root, [...ownProgram(), ...argv], env)
  try {
    return await run()
  } catch (error) {
    if (!(error instanceof CairnError) || !isForRoot(error)) throw error
    const { hint = 'Run cairn as root.' } = obstacle
    const { message, exitCode } = error
    throw new CairnError('NOT_ROOT', `${message}. Without root that needs a user namespace: ${obstacle.message}`, {
      hint,
      cause: error,
      exitCode,
    })
  }
}

/** True for what this user was not allowed to do, itself or as the cause of the failure. */
function isForRoot(error: CairnError): boolean {
  const failures = [error, error.cause]
  return failures.some((one) => isCairnError(one, 'NOT_ROOT') || isErrno(one, errno.EPERM))
}
