import { runContainer } from '../../engine/containers/run-container.ts'
import type { Store } from '../../content/store.ts'
import type { StartedContainer } from '../../containers/start-container.ts'
import { detectRuntime } from '../../runtime/runtime.ts'
import { defineCommand } from '../command.ts'
import {
  asContainerFailure,
  type ContainerPlan,
  planContainer,
  withImage,
  writeIdFile,
} from '../containers/container-creation.ts'
import { containerFlags, missingFlags, runFlags } from '../containers/container-flags.ts'
import { containerStreams } from '../containers/container-streams.ts'
import type { CommandContext } from '../context.ts'
import { parseDetachKeys } from '../containers/detach-keys.ts'
import type { RunFlagValues } from '../containers/run-monitored.ts'
import { imageNames } from '../images/image-names.ts'
import { leaveDatabaseAtExit, openStoreOf } from '../open-store.ts'

export default defineCommand({
  usage: '[OPTIONS] IMAGE [COMMAND] [ARG...]',
  description:
    'The exit status is that of the container; 125 is a failure of Cairn, 126 a command that cannot be run and 127 one that is not there. With --rm and without -d or -t the container belongs to this command: it ends with it and keeps no log.',
  examples: [
    { text: 'A shell in a container that leaves nothing behind', command: 'cairn run --rm -it busybox sh' },
    { text: 'A program on the files of this directory', command: 'cairn run --rm -v .:/work -w /work busybox ls -l' },
    { text: 'Data through a filter', command: 'cairn run --rm -i busybox tr a-z A-Z < notes.txt' },
    {
      text: 'A service in the background, started again when it fails',
      command: 'cairn run -d --name api --restart on-failure app',
    },
  ],
  args: { min: 1 },
  flags: { ...missingFlags, ...containerFlags, ...runFlags },
  interspersed: false,
  complete: (ctx, _, args) => (args.length === 0 ? imageNames(ctx) : 'file'),
  async run(ctx, values, [image = '', ...command]) {
    const flags = values as unknown as RunFlagValues
    try {
      const plan = planContainer(ctx, values, image, command)
      if (!flags.detach && belongsToCommand(plan)) return await runInForeground(ctx, flags, plan)
      const { runAttached, runDetached } = await import('../containers/run-monitored.ts')
      return flags.detach ? await runDetached(ctx, flags, plan) : await runAttached(ctx, flags, plan)
    } catch (error) {
      throw asContainerFailure(error, 125)
    }
  },
})

/**
 * True for a container that nobody could come back to: it starts in half the time where this process holds it itself
 * instead of a monitor. A terminal can be left by the detach keys, and a container that stays has a log.
 */
function belongsToCommand({ request }: ContainerPlan): boolean {
  return request.autoRemove && !request.tty && request.healthcheck === undefined
}

/** What is recorded about containers need not survive a power failure, which none of them does. */
function openBriefly(ctx: CommandContext): { readonly store: Store } & Disposable {
  const store = openStoreOf(ctx)
  return {
    store,
    [Symbol.dispose]: () => {
      store.leave()
      leaveDatabaseAtExit()
    },
  }
}

async function runInForeground(ctx: CommandContext, flags: RunFlagValues, plan: ContainerPlan): Promise<number> {
  parseDetachKeys(flags['detach-keys'])
  const streams = containerStreams(ctx, flags)
  const { runtime: wanted } = plan.request
  const { store } = await ctx.use(openBriefly)
  return await withImage(ctx, store, flags, plan, () =>
    runContainer(store, {
      ...plan,
      streams,
      runtime: wanted === undefined ? undefined : detectRuntime(wanted),
      onCreated: ({ id }) => writeIdFile(flags.cidfile, id),
      onStarted: (container) => {
        if (flags['sig-proxy']) endAtThirdSignal(ctx, container)
      },
    }),
  )
}

/** How often a container may be asked to end by a signal that it does not heed. */
const patience = 3

/** Ends a container that does not heed the signals which are passed on to it: the third SIGINT or SIGTERM kills it. */
function endAtThirdSignal(ctx: CommandContext, container: StartedContainer): void {
  let count = 0
  const onSignal = (): void => {
    if (++count !== patience) return
    ctx.stderr.write(`\ngot ${patience} SIGTERM/SIGINTs, forcefully exiting\n`)
    void container.kill('SIGKILL')
  }
  const names = ['SIGINT', 'SIGTERM'] as const
  for (const name of names) process.on(name, onSignal)
  const stop = (): void => {
    for (const name of names) process.off(name, onSignal)
  }
  container.exited.then(stop, stop)
}
