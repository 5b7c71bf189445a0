import { resolveContainer } from '../../containers/container-records.ts'
import { ownCommand } from '../../containers/own-command.ts'
import { containerDirectory } from '../../containers/places.ts'
import type { Store } from '../../content/store.ts'
import { CairnError } from '../../errors/error.ts'
import { isRootless } from '../../rootless/namespace.ts'

const defaultStopTimeout = 10
/** Seconds that a stop may take besides the container's own. */
const margin = 20

/**
 * A unit of systemd that starts a container with the machine and stops it with it. One with a restart policy is started
 * again by Cairn, any other by systemd. Without root it is one of `systemctl --user`. Throws CONTAINER_UNKNOWN, NOT_SUPPORTED for one that is removed when it ends.
 */
export function containerUnit(store: Store, name: string): string {
  const container = resolveContainer(store, name)
  const { id, settings, autoRemove } = container
  if (autoRemove)
    throw new CairnError(
      'NOT_SUPPORTED',
      `container ${name} is removed when it ends, so there is nothing to start again`,
    )
  const timeout = settings.stopTimeout ?? defaultStopTimeout
  const own = settings.restart !== undefined && settings.restart.name !== 'no'
  const service = own
    ? ['Type=oneshot', 'RemainAfterExit=yes']
    : ['Type=forking', `PIDFile=${containerDirectory(store, id)}/monitor.pid`, 'Restart=on-failure']
  return unit(`Container ${container.name}`, [
    ...service,
    `ExecStart=${commandLine(store, 'start', id)}`,
    `ExecStop=${commandLine(store, 'stop', id)}`,
    `TimeoutStopSec=${timeout < 0 ? 'infinity' : timeout + margin}`,
    // The container's processes have a cgroup of their own; what is left here is its monitor, which ends with it.
    'KillMode=mixed',
  ])
}

/** A unit of systemd that starts all containers whose restart policy says so. */
export function restoreUnit(store: Store): string {
  return unit('Containers of Cairn', [
    'Type=oneshot',
    'RemainAfterExit=yes',
    `ExecStart=${commandLine(store, 'container', 'restore')}`,
    'KillMode=none',
  ])
}

function unit(description: string, service: readonly string[]): string {
  // A user's systemd knows nothing of what the machine's has started.
  const after = isRootless() ? '' : 'Wants=network-online.target\nAfter=network-online.target local-fs.target\n'
  return `[Unit]
Description=${description}
${after}
[Service]
${service.join('\n')}

[Install]
WantedBy=${isRootless() ? 'default.target' : 'multi-user.target'}
`
}

/** systemd.service(5) §Command lines: quotes around words with spaces, percent and dollar doubled. */
function commandLine(store: Store, ...words: readonly string[]): string {
  return ownCommand(store, ...words)
    .map((word) => {
      const text = word.replaceAll('%', '%%').replaceAll('$', '$$$$')
      return /[\s"'\\]/.test(text) ? `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"` : text
    })
    .join(' ')
}
