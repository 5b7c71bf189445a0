import { type Container, type ContainerSettings, isActive, type RestartPolicy } from '../../containers/container.ts'
import { recordContainerEvent } from '../../containers/container-events.ts'
import { recordSettings, resolveContainer } from '../../containers/container-records.ts'
import { containerDirectory, monitoredRoot } from '../../containers/places.ts'
import { recoverContainers } from '../../containers/recovery.ts'
import type { Store } from '../../content/store.ts'
import { CairnError } from '../../errors/error.ts'
import { removeFile } from '../../linux/names.ts'
import { writeTextFile } from '../../linux/text-file.ts'
import { runRuntime } from '../../runtime/monitor.ts'
import { type CgroupLimits, cgroupResources } from '../../runtime/spec.ts'
import { monitoredRun } from './pause-container.ts'

export interface UpdateOptions {
  /** Replaces those limits that it has. */
  readonly limits?: CgroupLimits | undefined
  readonly restart?: RestartPolicy | undefined
}

/**
 * Changes limits and restart policy of a container, also while it runs. Throws CONTAINER_UNKNOWN, CONFIG_INVALID in
 * docker's words, RUNTIME_FAILED.
 */
export async function updateContainer(store: Store, name: string, options: UpdateOptions): Promise<void> {
  recoverContainers(store)
  const container = resolveContainer(store, name)
  const { settings } = container
  if (options.restart !== undefined && options.restart.name !== 'no' && container.autoRemove)
    throw refused(container, 'Restart policy cannot be updated because AutoRemove is enabled for the container')
  const limits = { ...settings.limits, ...options.limits }
  checkMemory(container, options.limits)
  checkCpus(container, options.limits)
  // One that waits to be started again gets them then.
  const isRunning = isActive(container) && container.state !== 'restarting'
  if (options.limits !== undefined && isRunning) await setLimits(store, container, limits)
  const changed: ContainerSettings = {
    ...settings,
    ...(options.limits === undefined ? {} : { limits }),
    ...(options.restart === undefined ? {} : { restart: options.restart }),
  }
  recordSettings(store, container.id, changed)
  recordContainerEvent(store, 'update', container)
}

function checkMemory(container: Container, given: CgroupLimits | undefined): void {
  if (given?.memory === undefined || given.memorySwap !== undefined) return
  if (given.memory > (container.settings.limits?.memorySwap ?? 0))
    throw refused(
      container,
      'Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time',
    )
}

function checkCpus(container: Container, given: CgroupLimits | undefined): void {
  const { limits = {} } = container.settings
  for (const [isBoth, what, other] of [
    [given?.cpuQuota !== undefined && limits.cpus !== undefined, 'CPU Quota', 'NanoCPUs'],
    [given?.cpuPeriod !== undefined && limits.cpus !== undefined, 'CPU Period', 'NanoCPUs'],
    [given?.cpus !== undefined && limits.cpuQuota !== undefined, 'Nano CPUs', 'CPU Quota'],
    [given?.cpus !== undefined && limits.cpuPeriod !== undefined, 'Nano CPUs', 'CPU Period'],
  ] as const)
    if (isBoth)
      throw refused(container, `Conflicting options: ${what} cannot be updated as ${other} has already been set`)
}

function refused({ id }: Container, reason: string): CairnError {
  return new CairnError('CONFIG_INVALID', `Cannot update container ${id}: ${reason}`, { exitCode: 1 })
}

async function setLimits(store: Store, container: Container, limits: CgroupLimits): Promise<void> {
  const { runtime } = monitoredRun(container)
  const file = `${containerDirectory(store, container.id)}/resources.json`
  writeTextFile(file, JSON.stringify(cgroupResources(limits)))
  try {
    const words = ['update', '--resources', file, container.id]
    const { exitCode, stderr } = await runRuntime(runtime, monitoredRoot(store, runtime.name), words)
    if (exitCode !== 0)
      throw new CairnError('RUNTIME_FAILED', `Cannot update container ${container.id}: ${runtime.name}: ${stderr}`)
  } finally {
    removeFile(file)
  }
}
