import type { Store } from '../content/store.ts'

/** Directory of a container's own, with its bundle and the files that are mounted into it. */
export function containerDirectory(store: Store, id: string): string {
  return store.path('containers', id)
}

/** Where the OCI runtimes keep the state of running containers. */
export function runtimeStateDirectory(store: Store): string {
  return store.path('containers', 'run')
}

/** What pins of a container are owned by. */
export function containerOwner(id: string): string {
  return `container/${id}`
}
