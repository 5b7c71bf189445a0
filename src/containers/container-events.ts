import { recordEvent } from '../content/events.ts'
import type { Store } from '../content/store.ts'
import { findNetwork } from '../networks/network-records.ts'
import type { Container } from './container.ts'

/** What can happen to a container, by docker's names. */
type ContainerAction =
  | 'create'
  | 'attach'
  | 'detach'
  | 'start'
  | 'restart'
  | 'stop'
  | 'kill'
  | 'die'
  | 'oom'
  | 'destroy'
  | 'commit'
  | 'export'
  | 'pause'
  | 'unpause'
  | 'rename'
  | 'resize'
  | 'update'
  | 'top'
  | 'archive-path'
  | 'extract-to-dir'
  | `exec_create: ${string}`
  | `exec_start: ${string}`
  | 'exec_die'
  | 'exec_detach'
  | `health_status: ${string}`

/**
 * Records what happened to a container as docker tells it: with its labels, name and image. To be called in the
 * transaction of the change.
 */
export function recordContainerEvent(
  store: Store,
  action: ContainerAction,
  { id, name, settings }: Pick<Container, 'id' | 'name' | 'settings'>,
  more: Readonly<Record<string, string>> = {},
): void {
  recordEvent(store, 'container', action, id, { ...settings.config.Labels, ...more, image: settings.image, name })
}

/** Records that a container uses its volumes from now on. To be called in the transaction of its start. */
export function recordVolumesMounted(store: Store, { id, settings }: Container): void {
  for (const mount of settings.mounts)
    if (mount.type === 'volume')
      recordEvent(store, 'volume', 'mount', mount.name, {
        container: id,
        destination: mount.target,
        driver: 'local',
        propagation: '',
        'read/write': String(!mount.readonly),
      })
}

/** Records that a container does not use its volumes any more. To be called in the transaction of its end. */
export function recordVolumesUnmounted(store: Store, { id, settings }: Container): void {
  for (const mount of settings.mounts)
    if (mount.type === 'volume') recordEvent(store, 'volume', 'unmount', mount.name, { container: id, driver: 'local' })
}

/** Records that a container is in its networks no more. To be called in the transaction of its end. */
export function recordNetworksLeft(store: Store, { id, settings }: Container): void {
  if (settings.network !== 'bridge') return
  for (const { network } of settings.networks ?? []) {
    const found = findNetwork(store, network)
    if (found === undefined) continue
    recordEvent(store, 'network', 'disconnect', found.id, { container: id, name: found.name, type: found.driver })
  }
}

/** The exit status with which a container ended last, also one that is gone since; undefined where nobody knows. */
export function deathStatus(store: Store, id: string): number | undefined {
  const row = store.database.one<{ attributes: string }>(
    "SELECT attributes FROM events WHERE type = 'container' AND action = 'die' AND actor = ? ORDER BY id DESC LIMIT 1",
    id,
  )
  if (row === undefined) return undefined
  return Number((JSON.parse(row.attributes) as Readonly<Record<string, string>>)['exitCode'])
}
