import { createVolume } from '../../containers/volume-records.ts'
import { volumeDriver } from '../../engine/containers/volumes.ts'
import { CairnError } from '../../errors/error.ts'
import { defineCommand } from '../command.ts'
import { keyValues } from '../key-values.ts'
import { openStoreOf } from '../open-store.ts'

export default defineCommand({
  usage: '[OPTIONS] [VOLUME]',
  description: 'A volume that is there already is left as it is. Without a name one is made up.',
  examples: [{ text: 'A volume for a database', command: 'cairn volume create --label app=shop shop-db' }],
  args: { max: 1 },
  flags: {
    driver: { type: 'string', short: 'd', default: volumeDriver, summary: 'Specify volume driver name' },
    label: { type: 'stringArray', value: 'list', summary: 'Set metadata for a volume' },
    opt: { type: 'stringArray', short: 'o', value: 'map', summary: 'Set driver specific options: there are none' },
  },
  output: 'collected',
  async run(ctx, flags, [name]) {
    if (flags.driver !== volumeDriver)
      throw new CairnError(
        'NOT_SUPPORTED',
        `create ${name ?? ''}: error looking up volume plugin ${flags.driver}: plugin ${JSON.stringify(flags.driver)} not found`,
      )
    const [option] = keyValues(flags.opt, '--opt').keys()
    if (option !== undefined) throw unknownOption(name ?? '', option)
    const labels = Object.fromEntries(keyValues(flags.label, '--label'))
    ctx.stdout.write(`${createVolume(await ctx.use(openStoreOf), { name, labels })}\n`)
  },
})

function unknownOption(name: string, option: string): CairnError {
  const isMount = ['type', 'device', 'o', 'size'].includes(option)
  const hint = 'Mount a file system where you like, and give that directory to containers.'
  const message = `create ${name}: invalid option: ${JSON.stringify(option)}`
  return new CairnError('NOT_SUPPORTED', message, isMount ? { hint } : {})
}
