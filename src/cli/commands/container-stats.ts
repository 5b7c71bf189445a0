import { isActive } from '../../containers/container.ts'
import { type ContainerStats, StatsReader } from '../../engine/containers/stats-containers.ts'
import { defineCommand } from '../command.ts'
import { containerNames } from '../containers/container-names.ts'
import { listFormatFlag } from '../format-flag.ts'
import { shownId } from '../images/image-names.ts'
import { openStoreOf } from '../open-store.ts'
import { type Listing, renderListing } from '../printer.ts'
import { formatBinarySize, formatByteSize } from '../units.ts'
import { untilInterrupted } from '../until-interrupted.ts'

/** How long is looked at what the processor does, in milliseconds. */
const interval = 1000
const clearScreen = '\u001B[2J'

export default defineCommand({
  usage: '[OPTIONS] [CONTAINER...]',
  examples: [
    { text: 'Once, for all that run', command: 'cairn stats --no-stream' },
    { text: 'Names and memory', command: "cairn stats --no-stream --format '{{.Name}} {{.MemUsage}}'" },
  ],
  args: {},
  flags: {
    all: { type: 'bool', short: 'a', summary: 'Show all containers (default shows just running)' },
    format: listFormatFlag,
    'no-stream': { type: 'bool', summary: 'Disable streaming stats and only pull the first result' },
    'no-trunc': { type: 'bool', summary: 'Do not truncate output' },
  },
  complete: (ctx) => containerNames(ctx),
  async run(ctx, flags, names) {
    const reader = new StatsReader(await ctx.use(openStoreOf))
    const before = reader.select(names, flags.all)
    const table = listing(!flags['no-trunc'], new Map(names.map((name, index) => [before[index]?.id ?? '', name])))
    for (const container of before) reader.read(container)
    const isLive = !flags['no-stream'] && ctx.stdout.isTTY
    return await untilInterrupted(async () => {
      for (let frame = 0; ; frame++) {
        await pause(interval, ctx.signal)
        const stats = reader.select(names, flags.all).map((container) => reader.read(container))
        const text = renderListing(table, stats, flags.format)
        ctx.stdout.write(isLive ? `${frame === 0 ? clearScreen : ''}${overwriting(text)}` : text)
        if (flags['no-stream']) return
      }
    })
  },
})

/** Throws CANCELED as soon as that comes. */
async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>()
  const onAbort = (): void => reject(signal.reason)
  signal.addEventListener('abort', onAbort)
  try {
    signal.throwIfAborted()
    await Promise.race([Bun.sleep(milliseconds), promise])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

/** `text` over what is on the screen, each line of which is cleared only when it has its new text: so nothing flickers. */
function overwriting(text: string): string {
  return `\u001B[H${text.replaceAll('\n', '\u001B[K\n')}\u001B[J`
}

/** What docker shows of a container that does not run. */
const nothing: NonNullable<ContainerStats['usage']> = {
  cpu: 0,
  memory: 0,
  memoryLimit: 0,
  pids: 0,
  blockRead: 0,
  blockWritten: 0,
}
const unknown = '--'

/** `names` are those in the user's words, by ID. */
function listing(trunc: boolean, names: ReadonlyMap<string, string>): Listing<ContainerStats> {
  const known = (
    text: (stats: ContainerStats & { readonly usage: NonNullable<ContainerStats['usage']> }) => string,
  ) => {
    return ({ usage, ...rest }: ContainerStats): string => {
      const shown = usage ?? (isActive(rest.container) ? undefined : nothing)
      return shown === undefined ? unknown : text({ ...rest, usage: shown })
    }
  }
  const pair = (left: string, right: string): string => `${left} / ${right}`
  return {
    columns: {
      Container: {
        heading: 'CONTAINER',
        value: ({ container }) => names.get(container.id) ?? shownId(container.id, trunc),
      },
      ID: { heading: 'CONTAINER ID', value: ({ container }) => shownId(container.id, trunc) },
      Name: { heading: 'NAME', value: ({ container }) => container.name },
      CPUPerc: { heading: 'CPU %', value: known(({ cpuPercent }) => `${cpuPercent.toFixed(2)}%`) },
      MemUsage: {
        heading: 'MEM USAGE / LIMIT',
        value: ({ container, usage = isActive(container) ? undefined : nothing }) =>
          usage === undefined
            ? pair(unknown, unknown)
            : pair(formatBinarySize(usage.memory), formatBinarySize(usage.memoryLimit)),
      },
      MemPerc: {
        heading: 'MEM %',
        value: known(({ usage }) => `${((usage.memory / (usage.memoryLimit || 1)) * 100).toFixed(2)}%`),
      },
      NetIO: {
        heading: 'NET I/O',
        value: known(({ received, sent }) => pair(formatByteSize(received, 3), formatByteSize(sent, 3))),
      },
      BlockIO: {
        heading: 'BLOCK I/O',
        value: known(({ usage }) => pair(formatByteSize(usage.blockRead, 3), formatByteSize(usage.blockWritten, 3))),
      },
      PIDs: { heading: 'PIDS', value: known(({ usage }) => String(usage.pids)) },
    },
    shown: ['ID', 'Name', 'CPUPerc', 'MemUsage', 'MemPerc', 'NetIO', 'BlockIO', 'PIDs'],
  }
}
