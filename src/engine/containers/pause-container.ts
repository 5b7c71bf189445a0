import type { Container, ContainerRun } from '../../containers/container.ts'
import { recordPaused, resolveContainer } from '../../containers/container-records.ts'
import { monitoredRoot } from '../../containers/places.ts'
import { recoverContainers } from '../../containers/recovery.ts'
import type { Store } from '../../content/store.ts'
import { CairnError } from '../../errors/error.ts'
import { runRuntime } from '../../runtime/monitor.ts'

/** Holds all processes of a container. Throws CONTAINER_UNKNOWN, CONTAINER_STOPPED, CONTAINER_STATE, in docker's words. */
export async function holdContainer(store: Store, name: string): Promise<void> {
  const container = runningContainer(store, name)
  if (container.state === 'paused')
    throw new CairnError('CONTAINER_STATE', `Container ${container.id} is already paused`)
  if (container.state === 'restarting')
    throw new CairnError(
      'CONTAINER_STATE',
      `Container ${container.id} is restarting, wait until the container is running`,
    )
  await callRuntime(store, container, 'pause')
  recordPaused(store, container.id, true)
}

/** Lets the processes of a held container go on. Throws as {@link holdContainer}. */
export async function releaseContainer(store: Store, name: string): Promise<void> {
  recoverContainers(store)
  const container = resolveContainer(store, name)
  if (container.state !== 'paused') throw new CairnError('CONTAINER_STATE', `Container ${container.id} is not paused`)
  await callRuntime(store, container, 'resume')
  recordPaused(store, container.id, false)
}

function runningContainer(store: Store, name: string): Container {
  recoverContainers(store)
  const container = resolveContainer(store, name)
  if (container.state === 'created' || container.state === 'exited')
    throw new CairnError('CONTAINER_STOPPED', `container ${container.id} is not running`)
  return container
}

async function callRuntime(store: Store, container: Container, verb: 'pause' | 'resume'): Promise<void> {
  const { runtime } = monitoredRun(container)
  const { exitCode, stderr } = await runRuntime(runtime, monitoredRoot(store, runtime.name), [verb, container.id])
  if (exitCode !== 0)
    throw new CairnError('RUNTIME_FAILED', `cannot ${verb} container ${container.id}: ${runtime.name}: ${stderr}`)
}

/** The processes of a container that runs with a monitor. Throws NOT_SUPPORTED for one that belongs to a `cairn run`. */
export function monitoredRun({ name, run, session }: Container): ContainerRun {
  if (run !== null && session === null) return run
  throw new CairnError('NOT_SUPPORTED', `container ${name} belongs to the \`cairn run --rm\` that started it`, {
    hint: 'Run it with -d, or without --rm, to do more with it.',
  })
}
