import { processesInCgroup } from '../../containers/container-cgroup.ts'
import { recordContainerEvent } from '../../containers/container-events.ts'
import { resolveContainer } from '../../containers/container-records.ts'
import { processesInNamespace } from '../../containers/pause-container.ts'
import { recoverContainers } from '../../containers/recovery.ts'
import type { Store } from '../../content/store.ts'
import { CairnError, usageError } from '../../errors/error.ts'
import { systemProgram } from '../../linux/system-program.ts'

/** What ps(1) tells of processes. */
export interface ProcessTable {
  readonly titles: readonly string[]
  readonly rows: readonly (readonly string[])[]
}

/**
 * The processes of a running container as the host's ps(1) shows them with `options`, `-ef` if there are none. Throws
 * CONTAINER_UNKNOWN, CONTAINER_STOPPED, TOOL_MISSING, USAGE for options that ps does not take or that leave out PID.
 */
export async function topContainer(store: Store, name: string, options: readonly string[]): Promise<ProcessTable> {
  recoverContainers(store)
  const container = resolveContainer(store, name)
  if (container.state !== 'running' && container.state !== 'paused')
    throw new CairnError(
      'CONTAINER_STOPPED',
      container.state === 'restarting'
        ? `Container ${container.id} is restarting, wait until the container is running`
        : `container ${container.id} is not running`,
    )
  const pids = new Set(processesInCgroup(container) ?? processesInNamespace(store, container.id))
  const table = parseTable(await processList(options.length === 0 ? ['-ef'] : options))
  const column = table.titles.indexOf('PID')
  if (column < 0) throw usageError("Couldn't find PID field in ps output")
  recordContainerEvent(store, 'top', container)
  return { titles: table.titles, rows: table.rows.filter((row) => pids.has(Number(row[column]))) }
}

async function processList(options: readonly string[]): Promise<string> {
  const program = systemProgram('ps')
  if (program === undefined)
    throw new CairnError('TOOL_MISSING', 'ps is not installed', { hint: 'Install it: `apt-get install procps`.' })
  const child = Bun.spawn([program, ...options], { stdin: 'ignore', stdout: 'pipe', stderr: 'pipe' })
  const [text, wrong, status] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ])
  if (status !== 0) throw usageError(`ps: ${wrong.trim().split('\n')[0] ?? ''}`)
  return text
}

/** Columns as the titles count them; what is left of a line belongs to the last. */
function parseTable(text: string): ProcessTable {
  const [head = '', ...lines] = text.split('\n').filter((line) => line.trim() !== '')
  const titles = head.trim().split(/\s+/)
  const rows = lines.map((line) => {
    const words = line.trim().split(/\s+/)
    return [...words.slice(0, titles.length - 1), words.slice(titles.length - 1).join(' ')]
  })
  return { titles, rows }
}
