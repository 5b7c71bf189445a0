import { unpin } from '../content/pins.ts'
import { deleteSnapshot } from '../content/snapshot-records.ts'
import type { Store } from '../content/store.ts'
import { CairnError } from '../errors/error.ts'
import { removeTree } from '../linux/remove-tree.ts'
import { type Container, isActive } from './container.ts'
import { recordContainerEvent } from './container-events.ts'
import { type ContainerEnd, deleteContainerRecord, getContainer, recordEnd } from './container-records.ts'
import { containerOwner } from './places.ts'
import { moveAway, releaseAnonymousVolumes } from './volumes.ts'

/** Forgets a container that does not run and removes all it has. Nothing happens when it is gone already. */
export function discardContainer(store: Store, id: string, volumes: boolean): void {
  removeTrees(store.database.transaction(() => forgetContainer(store, id, volumes)))
}

/**
 * The part of {@link discardContainer} that belongs into a transaction. What it gives is for {@link removeTrees} when
 * that is done; where that does not happen the end of the session removes it.
 */
export function forgetContainer(store: Store, id: string, volumes: boolean): string[] {
  const container = getContainer(store, id)
  if (container === undefined) return []
  if (isHeld(container, store.session.id)) throw stillRunning(container, 'it was started meanwhile')
  const moved = volumes ? releaseAnonymousVolumes(store, id) : []
  unpin(store, containerOwner(id))
  deleteSnapshot(store, container.snapshot)
  deleteContainerRecord(store, id)
  recordContainerEvent(store, 'destroy', container)
  return [...moved, ...moveAway(store, 'snapshots', container.snapshot), ...moveAway(store, 'containers', id)]
}

/**
 * Records the end of a container that this process holds, and in the same transaction that it is gone where it is to go: as soon
 * as it belongs to no session, recovery removes what that session had not finished, the container's files among it. Gives
 * what {@link forgetContainer} gives.
 */
export function endHeldContainer(store: Store, id: string, end: ContainerEnd, autoRemove: boolean): string[] {
  return store.database.transaction(() => {
    recordEnd(store, id, end)
    return autoRemove ? forgetContainer(store, id, true) : []
  })
}

/** True for a container that another process starts or runs, or that a monitor holds. */
function isHeld(container: Container, ownSession: string): boolean {
  return container.session === null ? isActive(container) : container.session !== ownSession
}

/** Removes directories with all below them. */
export function removeTrees(paths: readonly string[]): void {
  for (const path of paths) removeTree(path)
}

/** The error for a container that has to end first; `advice` is the last part of docker's text. */
export function stillRunning({ name, state }: Pick<Container, 'name' | 'state'>, advice: string): CairnError {
  const reason =
    state === 'paused'
      ? 'is paused and must be unpaused first'
      : `is ${state === 'created' ? 'starting' : state}: ${advice}`
  return new CairnError('CONTAINER_RUNNING', `cannot remove container ${JSON.stringify(name)}: container ${reason}`)
}
