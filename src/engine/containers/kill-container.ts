import { resolveContainer } from '../../containers/container-records.ts'
import { signalContainer, waitForEnd } from '../../containers/end-container.ts'
import { recoverContainers } from '../../containers/recovery.ts'
import type { Store } from '../../content/store.ts'
import { CairnError, isCairnError } from '../../errors/error.ts'
import { parseSignal, signalNumbers } from '../../linux/signals.ts'

/** How long a killed container may take to end before that is not waited for any more, in milliseconds; docker's. */
const killPatience = 10_000

/**
 * Sends a signal, a name or number, to a container's first process; SIGKILL and the container's own stop signal keep it
 * from being started again by its policy. After SIGKILL it has ended. Throws CONTAINER_UNKNOWN, CONTAINER_STOPPED in docker's words, USAGE.
 */
export async function killContainer(store: Store, name: string, signalName: string): Promise<void> {
  recoverContainers(store)
  try {
    const container = resolveContainer(store, name)
    const signal = parseSignal(signalName)
    const ends = [signalNumbers.SIGKILL, parseSignal(container.settings.config.StopSignal ?? 'SIGTERM')]
    await signalContainer(store, container, signal, { isFinal: ends.includes(signal) })
    if (signal === signalNumbers.SIGKILL) await waitForEnd(store, container.id, { patience: killPatience })
  } catch (error) {
    if (!isCairnError(error)) throw error
    throw new CairnError(error.code, `cannot kill container: ${name}: ${error.message}`)
  }
}
