import type { Store } from '../content/store.ts'
import type { OciRuntime } from '../runtime/runtime.ts'
import type { Container } from './container.ts'

/** Directory of a container's own, with its bundle and the files that are mounted into it. */
export function containerDirectory(store: Store, id: string): string {
  return store.path('containers', id)
}

/** Where the OCI runtimes keep the state of running containers. */
export function runtimeStateDirectory(store: Store): string {
  return store.path('containers', 'run')
}

/** The newest file of a container's log. */
export function logPath(store: Store, id: string): string {
  return `${containerDirectory(store, id)}/log`
}

/** What pins of a container are owned by. */
export function containerOwner(id: string): string {
  return `container/${id}`
}

/** Where a runtime keeps its state of the containers that have a monitor. */
export function monitoredRoot(store: Store, runtime: OciRuntime['name']): string {
  return `${runtimeStateDirectory(store)}/monitored/${runtime}`
}

/** The file that is there while a container that runs is attached to a network or taken from one; it names the network. */
export function networkChangePath(store: Store, id: string): string {
  return `${runtimeStateDirectory(store)}/networks/${id}`
}

/** Name of the lock under which a container is started and its end recorded. */
export function containerLock(id: string): string {
  return `container ${id}`
}

/** A container's cgroup, below each hierarchy. */
export function cgroupPath({ id, settings }: Pick<Container, 'id' | 'settings'>): string {
  const parent = (settings.cgroupParent ?? '').split('/').filter(Boolean)
  return `/${[...parent, `cairn-${id}`].join('/')}`
}
