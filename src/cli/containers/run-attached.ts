import { recordContainerEvent } from '../../containers/container-events.ts'
import { getContainer } from '../../containers/container-records.ts'
import type { Store } from '../../content/store.ts'
import { exitStatusOf } from '../../engine/containers/wait-container.ts'
import { killContainer } from '../../engine/containers/kill-container.ts'
import { isCairnError } from '../../errors/error.ts'
import { relaySignals, signalNumbers, type SignalName } from '../../linux/signals.ts'
import type { AttachSession } from './attach-session.ts'
import type { CommandContext } from '../context.ts'

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
  return relaySignals((name) => {
    if ((name === 'SIGINT' || name === 'SIGTERM') && ++count === patience) {
      ctx.stderr.write(`\ngot ${patience} SIGTERM/SIGINTs, forcefully exiting\n`)
      process.exit(1)
    }
    void send(name)
  })
}

export interface FollowOptions {
  readonly sigProxy: boolean
  /** Gives the status where its user left it; that is 0 if absent. */
  readonly onDetached?: () => number
}

/** Waits for the end of a container that `session` is attached to. Gives its exit status. */
export async function followToEnd(
  ctx: CommandContext,
  store: Store,
  id: string,
  session: AttachSession,
  { sigProxy, onDetached = () => 0 }: FollowOptions,
): Promise<number> {
  const stop = sigProxy ? proxySignals(ctx, store, id) : undefined
  try {
    if ((await session.finish()) === 'detached') {
      const container = getContainer(store, id)
      if (container !== undefined) recordContainerEvent(store, 'detach', container)
      return onDetached()
    }
    return await exitStatusOf(store, id)
  } finally {
    stop?.()
  }
}
