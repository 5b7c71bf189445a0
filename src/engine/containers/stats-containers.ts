import { cgroupUsage, type CgroupUsage } from '../../containers/container-cgroup.ts'
import { type Container, isActive } from '../../containers/container.ts'
import { listContainerRecords, resolveContainer } from '../../containers/container-records.ts'
import { findInit } from '../../containers/init-process.ts'
import { settleContainers } from '../../containers/settle-container.ts'
import type { Store } from '../../content/store.ts'
import { readTextFile } from '../../linux/text-file.ts'

/** What a container uses, since it started or, of the processor, just now. Sizes are bytes. */
export interface ContainerStats {
  readonly container: Container
  /** Undefined where nothing is known: it does not run, or has no cgroup of its own. */
  readonly usage: CgroupUsage | undefined
  /** Hundredths of one processor. */
  readonly cpuPercent: number
  readonly received: number
  readonly sent: number
}

interface Sample {
  readonly at: number
  readonly cpu: number
}

/** Looks at what containers use, and at how that changes from one look to the next. */
export class StatsReader {
  readonly #store: Store
  readonly #samples = new Map<string, Sample>()

  constructor(store: Store) {
    this.#store = store
  }

  /** The containers that are asked for: by name, else those that run or all. Throws CONTAINER_UNKNOWN. */
  select(names: readonly string[], all: boolean): Container[] {
    settleContainers(this.#store)
    if (names.length > 0) return names.map((name) => resolveContainer(this.#store, name))
    return listContainerRecords(this.#store).filter((container) => all || isActive(container))
  }

  read(container: Container): ContainerStats {
    const usage = isActive(container) ? cgroupUsage(container) : undefined
    const now = performance.now()
    const before = this.#samples.get(container.id)
    if (usage !== undefined) this.#samples.set(container.id, { at: now, cpu: usage.cpu })
    const nanoseconds = before === undefined ? 0 : (now - before.at) * 1e6
    const cpuPercent =
      usage === undefined || before === undefined || nanoseconds === 0
        ? 0
        : ((usage.cpu - before.cpu) / nanoseconds) * 100
    return { container, usage, cpuPercent: Math.max(0, cpuPercent), ...this.#traffic(container) }
  }

  /** Of its own network only: on the host's nobody can tell whose it is. */
  #traffic({ id, settings, state }: Container): { readonly received: number; readonly sent: number } {
    const init = settings.network === 'none' && state !== 'exited' ? findInit(this.#store, id) : undefined
    let received = 0
    let sent = 0
    for (const line of (init === undefined ? '' : (readTextFile(`/proc/${init.pid}/net/dev`) ?? '')).split('\n')) {
      const [name, counters = ''] = line.split(':')
      if (name?.trim() === 'lo' || counters === '') continue
      const numbers = counters.trim().split(/\s+/).map(Number)
      received += numbers[0] ?? 0
      sent += numbers[8] ?? 0
    }
    return { received, sent }
  }
}
