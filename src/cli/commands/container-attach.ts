import { resolveContainer } from '../../containers/container-records.ts'
import { recordContainerEvent } from '../../containers/container-events.ts'
import { containerDirectory } from '../../containers/places.ts'
import { recoverContainers } from '../../containers/recovery.ts'
import { monitoredRun } from '../../engine/containers/pause-container.ts'
import { CairnError, usageError } from '../../errors/error.ts'
import { AttachSession } from '../containers/attach-session.ts'
import { defineCommand } from '../command.ts'
import { detachKeysFlag } from '../containers/container-flags.ts'
import { containerNames } from '../containers/container-names.ts'
import { detached, parseDetachKeys } from '../containers/detach-keys.ts'
import { openStoreOf } from '../open-store.ts'
import { followToEnd } from '../containers/run-attached.ts'

export default defineCommand({
  usage: '[OPTIONS] CONTAINER',
  description: 'The exit status is that of the container. The detach keys leave one with a terminal: ctrl-p ctrl-q.',
  examples: [{ text: 'See what a container writes, without typing into it', command: 'cairn attach --no-stdin web' }],
  args: { min: 1, max: 1 },
  flags: {
    ...detachKeysFlag,
    'no-stdin': { type: 'bool', summary: 'Do not attach STDIN' },
    'sig-proxy': { type: 'bool', default: true, summary: 'Proxy all received signals to the process' },
  },
  complete: (ctx) => containerNames(ctx),
  async run(ctx, flags, [name = '']) {
    const detachKeys = parseDetachKeys(flags['detach-keys'])
    const store = await ctx.use(openStoreOf)
    recoverContainers(store)
    const container = resolveContainer(store, name)
    const obstacle = obstacles[container.state]
    if (obstacle !== undefined) throw new CairnError('CONTAINER_STATE', `You cannot attach to a ${obstacle}`)
    monitoredRun(container)
    const { id, settings } = container
    const hasInput = settings.openStdin && !flags['no-stdin']
    if (hasInput && settings.tty && !ctx.stdin.isTTY) throw usageError('the input device is not a TTY')
    const streams = [...(hasInput ? (['stdin'] as const) : []), 'stdout', 'stderr'] as const
    using session = new AttachSession(ctx, { streams, tty: settings.tty, detachKeys })
    await session.connect(containerDirectory(store, id))
    recordContainerEvent(store, 'attach', container)
    const sigProxy = flags['sig-proxy'] && !settings.tty
    return await followToEnd(ctx, store, id, session, { sigProxy, onDetached: () => detached(ctx) })
  },
})

const obstacles: Readonly<Record<string, string>> = {
  created: 'stopped container, start it first',
  exited: 'stopped container, start it first',
  paused: 'paused container, unpause it first',
  restarting: 'restarting container, wait until it is running',
}
