import type { StoreEvent } from '../../content/events.ts'
import { followEvents } from '../../engine/follow-events.ts'
import { isCairnError, reworded } from '../../errors/error.ts'
import { defineCommand } from '../command.ts'
import { filterFlag, parseFilters } from '../filters.ts'
import { objectFormatFlag } from '../format-flag.ts'
import { compileTemplate } from '../go-template/go-template.ts'
import { formatEventTime } from '../go-template/go-time.ts'
import { openStoreOf } from '../open-store.ts'
import { untilInterrupted } from '../until-interrupted.ts'

export default defineCommand({
  usage: '[OPTIONS]',
  description:
    'Tells what any Cairn process does with images, containers and volumes of this store, until it is interrupted or\n--until has passed. The store keeps the last 10,000 events.',
  examples: [
    { text: 'What comes', command: 'cairn events' },
    { text: 'What happened within the last hour', command: 'cairn events --since 1h --until 0s' },
    { text: 'Names that images got', command: "cairn events --filter event=tag --format '{{.Actor.Attributes.name}}'" },
  ],
  args: { max: 0 },
  flags: {
    filter: filterFlag,
    format: { type: objectFormatFlag.type, default: objectFormatFlag.default, summary: objectFormatFlag.summary },
    since: { type: 'string', default: '', summary: 'Show all events created since timestamp' },
    until: { type: 'string', default: '', summary: 'Stream events until this timestamp' },
  },
  async run(ctx, flags) {
    const render = renderer(flags.format)
    const events = followEvents(await ctx.use(openStoreOf), {
      filters: parseFilters(flags.filter),
      ...(flags.since === '' ? {} : { since: flags.since }),
      ...(flags.until === '' ? {} : { until: flags.until }),
      signal: ctx.signal,
    })
    return await untilInterrupted(async () => {
      for await (const event of events) ctx.stdout.write(`${render(event)}\n`)
    })
  },
})

/** Status of a format that cannot be read or filled in, as docker has it. */
const formatStatus = 64

/** Throws USAGE before the first event for a format that no event could be shown in. */
function renderer(format: string): (event: StoreEvent) => string {
  if (format === '') return eventLine
  try {
    const template = compileTemplate(format === 'json' ? '{{json .}}' : format)
    template.render(eventFields({ id: 0, time: 0, type: 'image', action: '', actor: '', attributes: {} }))
    return (event) => template.render(eventFields(event))
  } catch (error) {
    if (!isCairnError(error, 'USAGE')) throw error
    const message = error.message.replace(/^template parsing error/, 'Error parsing format')
    throw reworded(error, message, { exitCode: formatStatus })
  }
}

/** docker's line: time, type, action, actor, attributes sorted by name. */
function eventLine({ time, type, action, actor, attributes }: StoreEvent): string {
  const pairs = Object.entries(attributes)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}=${value}`)
  return `${formatEventTime(time)} ${type} ${action} ${actor} (${pairs.join(', ')})`
}

/** docker's event: what templates see of it, and as JSON under the names its API has. */
function eventFields({ time, type, action, actor, attributes }: StoreEvent): object {
  // Older clients look at the first three, which only images and containers have.
  const isOld = type === 'image' || type === 'container'
  const [status, id, from] = isOld
    ? [action, actor, type === 'container' ? (attributes['image'] ?? '') : '']
    : ['', '', '']
  const whole = Math.trunc(time / 1_000_000)
  // A Map: what a template asks for and an event lacks is no failure.
  const sorted = new Map(Object.entries(attributes).toSorted(([a], [b]) => (a < b ? -1 : 1)))
  const Actor = { ID: actor, Attributes: sorted }
  const fields = {
    Status: status,
    ID: id,
    From: from,
    Type: type,
    Action: action,
    Actor,
    Scope: 'local',
    Time: whole,
    TimeNano: time * 1000,
  }
  const json = {
    ...(status === '' ? {} : { status }),
    ...(id === '' ? {} : { id }),
    ...(from === '' ? {} : { from }),
    Type: type,
    Action: action,
    Actor,
    scope: 'local',
    time: whole,
    timeNano: time * 1000,
  }
  return Object.defineProperty(fields, 'toJSON', { value: () => json })
}
