import { recordContainerEvent } from '../../containers/container-events.ts'
import { startMonitoredContainer } from '../../containers/start-monitored.ts'
import { createMonitoredContainer } from '../../engine/containers/create-container.ts'
import { CairnError, usageError } from '../../errors/error.ts'
import { AttachSession } from './attach-session.ts'
import { type ContainerPlan, withImage, writeIdFile } from './container-creation.ts'
import type { containerFlags, runFlags } from './container-flags.ts'
import type { CommandContext } from '../context.ts'
import { parseDetachKeys } from './detach-keys.ts'
import type { FlagValues } from '../flags.ts'
import { openStoreOf } from '../open-store.ts'
import { followToEnd } from './run-attached.ts'

/** What the flags of `run` read as. */
export type RunFlagValues = FlagValues<typeof containerFlags & typeof runFlags>

/** Starts a container in the background and prints its ID. Throws whatever keeps it from running. */
export async function runDetached(ctx: CommandContext, flags: RunFlagValues, plan: ContainerPlan): Promise<number> {
  if (flags.attach.length > 0)
    throw new CairnError('USAGE', 'conflicting options: cannot specify both --attach and --detach')
  parseDetachKeys(flags['detach-keys'])
  const store = await ctx.use(openStoreOf)
  const { id } = await withImage(ctx, store, flags, plan, () => createMonitoredContainer(store, plan))
  writeIdFile(flags.cidfile, id)
  ctx.stdout.write(`${id}\n`)
  await startMonitoredContainer(store, id, { signal: ctx.signal })
  return 0
}

/**
 * Starts a container with a monitor and is attached to it until it ends or is left by the detach keys. Gives its exit
 * status, 0 where it was left.
 */
export async function runAttached(ctx: CommandContext, flags: RunFlagValues, plan: ContainerPlan): Promise<number> {
  const streams = plan.request.attached ?? []
  const { tty } = plan.request
  if (tty && streams.includes('stdin') && !ctx.stdin.isTTY)
    throw usageError('the input device is not a TTY', {
      hint: 'Leave out -t to pipe into the container, or -i where it reads nothing.',
    })
  const detachKeys = parseDetachKeys(flags['detach-keys'])
  const store = await ctx.use(openStoreOf)
  const container = await withImage(ctx, store, flags, plan, () =>
    createMonitoredContainer(store, { ...plan, request: { ...plan.request, stdinOnce: streams.includes('stdin') } }),
  )
  const { id } = container
  writeIdFile(flags.cidfile, id)
  using session = new AttachSession(ctx, { streams, tty, detachKeys })
  const attach = async (bundle: string): Promise<void> => {
    recordContainerEvent(store, 'attach', container)
    await session.connect(bundle)
  }
  await startMonitoredContainer(store, id, { attach, terminalSize: session.terminalSize })
  return await followToEnd(ctx, store, id, session, { sigProxy: flags['sig-proxy'] })
}
