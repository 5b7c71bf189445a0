import { topContainer } from '../../engine/containers/top-container.ts'
import { defineCommand } from '../command.ts'
import { containerNames } from '../containers/container-names.ts'
import { openStoreOf } from '../open-store.ts'

/** docker's table: columns at least this wide, with this between them. */
const minimumWidth = 20
const gap = '   '

export default defineCommand({
  usage: 'CONTAINER [ps OPTIONS]',
  examples: [{ text: 'Memory of each process', command: 'cairn top web -o pid,rss,args' }],
  args: { min: 1 },
  flags: {},
  interspersed: false,
  complete: (ctx, _, args) => (args.length === 0 ? containerNames(ctx) : []),
  async run(ctx, _, [name = '', ...options]) {
    const { titles, rows } = await topContainer(await ctx.use(openStoreOf), name, options)
    const widths = titles.map((title, column) =>
      Math.max(
        minimumWidth - gap.length,
        ...[title, ...rows.map((row) => row[column] ?? '')].map((cell) => cell.length),
      ),
    )
    for (const row of [titles, ...rows])
      ctx.stdout.write(
        `${row.map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0))).join(gap)}\n`,
      )
  },
})
