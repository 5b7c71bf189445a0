import { resolveContainer } from '../../containers/container-records.ts'
import { readLogs } from '../../engine/containers/read-logs.ts'
import { Moment } from '../../engine/moment.ts'
import { CairnError, isCairnError, reworded } from '../../errors/error.ts'
import { defineCommand } from '../command.ts'
import { containerNames } from '../containers/container-names.ts'
import { logDetails } from '../containers/log-details.ts'
import { openStoreOf } from '../open-store.ts'
import { untilInterrupted } from '../until-interrupted.ts'

export default defineCommand({
  usage: '[OPTIONS] CONTAINER',
  examples: [
    { text: 'The last ten lines, and those that come', command: 'cairn logs -f --tail 10 web' },
    { text: 'What was written in the last five minutes, with times', command: 'cairn logs -t --since 5m web' },
  ],
  args: { min: 1, max: 1 },
  flags: {
    details: { type: 'bool', summary: 'Show extra details provided to logs' },
    follow: { type: 'bool', short: 'f', summary: 'Follow log output' },
    since: {
      type: 'string',
      summary: 'Show logs since timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)',
    },
    tail: {
      type: 'string',
      short: 'n',
      default: 'all',
      summary: 'Number of lines to show from the end of the logs',
    },
    timestamps: { type: 'bool', short: 't', summary: 'Show timestamps' },
    until: {
      type: 'string',
      summary: 'Show logs before a timestamp (e.g. "2013-01-02T13:23:37Z") or relative (e.g. "42m" for 42 minutes)',
    },
  },
  complete: (ctx) => containerNames(ctx),
  async run(ctx, flags, [name = '']) {
    const now = Date.now()
    const store = await ctx.use(openStoreOf)
    const tail = parseTail(flags.tail)
    const lines = readLogs(store, name, {
      follow: flags.follow,
      signal: ctx.signal,
      tail,
      since: flags.since === undefined ? undefined : momentOf('since', flags.since, now),
      until: flags.until === undefined ? undefined : momentOf('until', flags.until, now),
    })
    const details = flags.details ? `${logDetails(resolveContainer(store, name))} ` : ''
    return await untilInterrupted(async () => {
      for await (const { time, stream, bytes } of lines) {
        const prefix = `${flags.timestamps ? `${utcTime(time)} ` : ''}${details}`
        if (prefix !== '') ctx[stream].write(prefix)
        ctx[stream].write(bytes)
      }
    })
  },
})

function momentOf(flag: string, text: string, now: number): Moment {
  try {
    return Moment.parse(text, now)
  } catch (error) {
    if (!isCairnError(error)) throw error
    throw reworded(error, `invalid value for "${flag}": ${error.message}`)
  }
}

/** docker takes what is no number for all. Throws USAGE for a number that is negative. */
function parseTail(text: string): number | undefined {
  if (!/^-?\d+$/.test(text) || Number(text) < 0) return undefined
  if (!Number.isSafeInteger(Number(text))) throw new CairnError('USAGE', `invalid value for "tail": ${text}`)
  return Number(text)
}

/** A time with a zone as docker prints it: in UTC, nanoseconds kept. */
function utcTime(time: string): string {
  if (time.endsWith('+00:00')) return `${time.slice(0, -'+00:00'.length)}Z`
  const [, whole = '', fraction = '', zone = ''] = /^(.{19})(\.\d+)?(.*)$/.exec(time) ?? []
  const moment = Date.parse(`${whole}${zone}`)
  return Number.isFinite(moment) ? `${new Date(moment).toISOString().slice(0, 19)}${fraction}Z` : time
}
