import { recoverContainers } from '../../containers/recovery.ts'
import { CairnError } from '../../errors/error.ts'
import { createNetwork } from '../../networks/create-network.ts'
import { defineCommand } from '../command.ts'
import { keyValues } from '../key-values.ts'
import { openStoreOf } from '../open-store.ts'

export default defineCommand({
  usage: '[OPTIONS] NETWORK',
  description: 'Its containers find each other by name. Without --subnet it gets addresses that the host does not use.',
  examples: [
    { text: 'A network for an application', command: 'cairn network create shop' },
    { text: 'One that leads nowhere else', command: 'cairn network create --internal --subnet 10.7.0.0/24 backend' },
  ],
  args: { min: 1, max: 1 },
  flags: {
    attachable: { type: 'bool', summary: 'Enable manual container attachment' },
    'aux-address': {
      type: 'stringArray',
      value: 'map',
      summary: 'Auxiliary IPv4 or IPv6 addresses that containers do not get',
    },
    'config-from': { type: 'string', hidden: true, summary: 'Not supported' },
    'config-only': { type: 'bool', hidden: true, summary: 'Not supported' },
    driver: { type: 'string', short: 'd', default: 'bridge', summary: 'Driver to manage the Network' },
    gateway: { type: 'stringSlice', value: 'strings', summary: 'IPv4 or IPv6 Gateway for the master subnet' },
    ingress: { type: 'bool', hidden: true, summary: 'Not supported' },
    internal: { type: 'bool', summary: 'Restrict external access to the network' },
    'ip-range': { type: 'stringSlice', value: 'strings', summary: 'Allocate container ip from a sub-range' },
    'ipam-driver': { type: 'string', default: 'default', summary: 'IP Address Management Driver' },
    'ipam-opt': { type: 'stringArray', value: 'map', hidden: true, summary: 'Not supported' },
    ipv4: { type: 'bool', default: true, summary: 'Enable or disable IPv4 address assignment' },
    ipv6: { type: 'bool', summary: 'Enable or disable IPv6 address assignment' },
    label: { type: 'stringArray', value: 'list', summary: 'Set metadata on a network' },
    opt: { type: 'stringArray', short: 'o', value: 'map', summary: 'Set driver specific options' },
    scope: { type: 'string', hidden: true, summary: "Control the network's scope" },
    subnet: {
      type: 'stringSlice',
      value: 'strings',
      summary: 'Subnet in CIDR format that represents a network segment',
    },
  },
  output: 'collected',
  async run(ctx, flags, [name = '']) {
    const unsupported: readonly (readonly [boolean, string])[] = [
      [!flags.ipv4, '--ipv4=false'],
      [flags['config-only'], '--config-only'],
      [(flags['config-from'] ?? '') !== '', '--config-from'],
      [flags.ingress, '--ingress'],
      [flags['ipam-opt'].length > 0, '--ipam-opt'],
      [flags['ipam-driver'] !== 'default', `--ipam-driver ${flags['ipam-driver']}`],
      [(flags.scope ?? '') !== '' && flags.scope !== 'local', `--scope ${flags.scope ?? ''}`],
    ]
    for (const [isGiven, flag] of unsupported)
      if (isGiven) throw new CairnError('NOT_SUPPORTED', `${flag} is not supported`)
    const store = await ctx.use(openStoreOf)
    recoverContainers(store)
    const id = createNetwork(store, {
      name,
      driver: flags.driver,
      subnets: flags.subnet,
      gateways: flags.gateway,
      ranges: flags['ip-range'],
      reserved: Object.fromEntries(keyValues(flags['aux-address'], '--aux-address')),
      internal: flags.internal,
      attachable: flags.attachable,
      ipv6: flags.ipv6,
      labels: Object.fromEntries(keyValues(flags.label, '--label')),
      options: Object.fromEntries(keyValues(flags.opt, '--opt')),
    })
    ctx.stdout.write(`${id}\n`)
  },
})
