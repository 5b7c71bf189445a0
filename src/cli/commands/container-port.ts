import { resolveContainer } from '../../containers/container-records.ts'
import { recoverContainers } from '../../containers/recovery.ts'
import { containerPorts } from '../../engine/containers/container-networks.ts'
import { CairnError } from '../../errors/error.ts'
import { defineCommand } from '../command.ts'
import { containerNames } from '../containers/container-names.ts'
import { openStoreOf } from '../open-store.ts'
import { hostPortText } from '../containers/port-text.ts'

export default defineCommand({
  usage: 'CONTAINER [PRIVATE_PORT[/PROTO]]',
  examples: [{ text: 'Where the port 80 of a container is to be reached', command: 'cairn port web 80' }],
  args: { min: 1, max: 2 },
  flags: {},
  output: 'collected',
  complete: (ctx, _, args) => (args.length === 0 ? containerNames(ctx) : []),
  async run(ctx, _, [name = '', wanted]) {
    const store = await ctx.use(openStoreOf)
    recoverContainers(store)
    const ports = containerPorts(store, resolveContainer(store, name))
    if (wanted === undefined) {
      for (const { port, protocol, published } of ports)
        for (const one of published) ctx.stdout.write(`${port}/${protocol} -> ${hostPortText(one)}\n`)
      return
    }
    const [number, protocol = 'tcp'] = wanted.split('/')
    const found = ports.find((one) => String(one.port) === number && one.protocol === protocol)
    if (found === undefined || found.published.length === 0)
      throw new CairnError('NOT_SUPPORTED', `No public port '${wanted}' published for ${name}`, { exitCode: 1 })
    for (const one of found.published) ctx.stdout.write(`${hostPortText(one)}\n`)
  },
})
