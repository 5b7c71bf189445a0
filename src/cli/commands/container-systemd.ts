import { containerUnit, restoreUnit } from '../../engine/containers/systemd-unit.ts'
import { defineCommand } from '../command.ts'
import { containerNames } from '../containers/container-names.ts'
import { openStoreOf } from '../open-store.ts'

export default defineCommand({
  usage: '[CONTAINER]',
  description:
    'Prints a unit of systemd: for a container one that starts and stops it with the machine, else one that starts all containers whose restart policy says so.',
  examples: [
    {
      text: 'Start containers by their restart policies with the machine',
      command: 'cairn container systemd > /etc/systemd/system/cairn.service && systemctl enable cairn',
    },
    {
      text: 'Leave one container to systemd',
      command: 'cairn container systemd web > /etc/systemd/system/web.service && systemctl enable --now web',
    },
  ],
  args: { max: 1 },
  flags: {},
  output: 'collected',
  complete: (ctx, _, args) => (args.length === 0 ? containerNames(ctx) : []),
  async run(ctx, _, [name]) {
    const store = await ctx.use(openStoreOf)
    ctx.stdout.write(name === undefined ? restoreUnit(store) : containerUnit(store, name))
  },
})
