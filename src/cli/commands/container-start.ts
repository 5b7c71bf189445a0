import type { Store } from '../../content/store.ts'
import { recordContainerEvent } from '../../containers/container-events.ts'
import { resolveContainer } from '../../containers/container-records.ts'
import { containerDirectory } from '../../containers/places.ts'
import { startContainerByName } from '../../engine/containers/start-container.ts'
import { isCairnError, reworded, usageError } from '../../errors/error.ts'
import { AttachSession } from '../containers/attach-session.ts'
import { defineCommand } from '../command.ts'
import { detachKeysFlag } from '../containers/container-flags.ts'
import { containerNames } from '../containers/container-names.ts'
import type { CommandContext } from '../context.ts'
import { parseDetachKeys } from '../containers/detach-keys.ts'
import { forEachName } from '../containers/each-container.ts'
import { openStoreOf } from '../open-store.ts'
import { followToEnd } from '../containers/run-attached.ts'

export default defineCommand({
  usage: '[OPTIONS] CONTAINER [CONTAINER...]',
  examples: [{ text: 'What it writes and its exit status', command: 'cairn start -a job' }],
  args: { min: 1 },
  flags: {
    attach: { type: 'bool', short: 'a', summary: 'Attach STDOUT/STDERR and forward signals' },
    ...detachKeysFlag,
    interactive: { type: 'bool', short: 'i', summary: "Attach container's STDIN" },
  },
  complete: (ctx) => containerNames(ctx),
  async run(ctx, flags, names) {
    const detachKeys = parseDetachKeys(flags['detach-keys'])
    const store = await ctx.use(openStoreOf)
    if (!flags.attach && !flags.interactive) return await startAll(ctx, store, names)
    const [name = '', another] = names
    if (another !== undefined) throw usageError('you cannot start and attach multiple containers at once')
    const container = resolveContainer(store, name)
    const { id, settings } = container
    const input = flags.interactive && settings.openStdin ? (['stdin'] as const) : []
    using session = new AttachSession(ctx, { streams: [...input, 'stdout', 'stderr'], tty: settings.tty, detachKeys })
    let isAttached = false
    await startAttached(store, name, {
      attach: async (bundle) => {
        isAttached = true
        recordContainerEvent(store, 'attach', container)
        await session.connect(bundle)
      },
      terminalSize: session.terminalSize,
    })
    if (!isAttached) await session.connect(containerDirectory(store, id))
    return await followToEnd(ctx, store, id, session, { sigProxy: !settings.tty })
  },
})

/** docker tells of no other status than 1 here. */
async function startAttached(...args: Parameters<typeof startContainerByName>): Promise<void> {
  try {
    await startContainerByName(...args)
  } catch (error) {
    throw isCairnError(error) && error.kind !== 'canceled' ? reworded(error, error.message, { exitCode: 1 }) : error
  }
}

async function startAll(ctx: CommandContext, store: Store, names: readonly string[]): Promise<number> {
  const failed: string[] = []
  const status = await forEachName(ctx, names, async (name) => {
    try {
      await startContainerByName(store, name)
    } catch (error) {
      failed.push(name)
      throw error
    }
  })
  if (failed.length > 0) ctx.stderr.write(`Error: failed to start containers: ${failed.join(', ')}\n`)
  return status
}
