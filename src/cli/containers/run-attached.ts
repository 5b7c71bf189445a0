import type { Store } from '../../content/store.ts'
import { exitStatusOf } from '../../engine/containers/wait-container.ts'
import { killContainer } from '../../engine/containers/kill-container.ts'
import { isCairnError } from '../../errors/error.ts'
import { signalNumbers, type SignalName } from '../../linux/signals.ts'
import type { AttachSession } from './attach-session.ts'
import type { CommandContext } from '../context.ts'

/** All that a process can catch and a container may be told; not those of job control and of the process's own faults. */
const proxied: readonly SignalName[] = [
  'SIGHUP',
  'SIGINT',
  'SIGQUIT',
  'SIGTERM',
  'SIGUSR1',
  'SIGUSR2',
  'SIGALRM',
  'SIGCONT',
]

/** How often a container may be asked to end by a signal that it does not heed. */
const patience = 3

/** Passes signals that reach this process on to a container until the result is called. */
export function proxySignals(ctx: CommandContext, store: Store, id: string): () => void {
  let count = 0
  const send = async (name: SignalName): Promise<void> => {
    try {
      await killContainer(store, id, String(signalNumbers[name]))
    } catch (error) {
      if (!isCairnError(error)) throw error
    }
  }
  const handlers = proxied.map((name) => {
    const handler = (): void => {
      if ((name === 'SIGINT' || name === 'SIGTERM') && ++count === patience) {
        ctx.stderr.write(`\ngot ${patience} SIGTERM/SIGINTs, forcefully exiting\n`)
        process.exit(1)
      }
      void send(name)
    }
    process.on(name, handler)
    return [name, handler] as const
  })
  return () => {
    for (const [name, handler] of handlers) process.off(name, handler)
  }
}

/** Waits for the end of a container that `session` is attached to. Gives its exit status, 0 where its user left it. */
export async function followToEnd(
  ctx: CommandContext,
  store: Store,
  id: string,
  session: AttachSession,
  { sigProxy }: { readonly sigProxy: boolean },
): Promise<number> {
  const stop = sigProxy ? proxySignals(ctx, store, id) : undefined
  try {
    if ((await session.finish()) === 'detached') return 0
    return await exitStatusOf(store, id)
  } finally {
    stop?.()
  }
}
