import { listEvents, newestEvent, type StoreEvent } from '../content/events.ts'
import type { Store } from '../content/store.ts'
import { isCairnError, usageError } from '../errors/error.ts'
import { familiarName, parseReference } from '../oci/reference.ts'
import { checkFilters, type Filters, suitsLabels } from './filters.ts'
import { Moment } from './moment.ts'

export interface EventsRequest {
  /** From when on events are told, as docker's --since has it; without `since` and `until` only those to come. */
  readonly since?: string
  /** When to end, as docker's --until has it; without end otherwise. */
  readonly until?: string
  readonly filters?: Filters
  /** Ends the waiting, with its reason as error. */
  readonly signal?: AbortSignal
}

/** How long an event may be unnoticed, in milliseconds. A look at the database that finds nothing new takes microseconds. */
const lookEvery = 50

const filterNames = ['container', 'daemon', 'event', 'image', 'label', 'network', 'scope', 'type', 'volume']

/**
 * Tells the events of the store, those of other processes too, in the order in which they became visible. Throws USAGE
 * (status 1) for filters and times that are wrong, and the signal's reason.
 */
export async function* followEvents(store: Store, request: EventsRequest): AsyncGenerator<StoreEvent> {
  const { filters = new Map<string, readonly string[]>(), signal } = request
  checkFilters(filters, filterNames)
  const now = Date.now()
  const since = request.since === undefined ? undefined : Moment.parse(request.since, now)
  const until = request.until === undefined ? undefined : Moment.parse(request.until, now)
  if (since !== undefined && until !== undefined && since.isAfter(until))
    throw usageError(`\`since\` time (${since.inSeconds}) cannot be after \`until\` time (${until.inSeconds})`)
  let last = since === undefined && until === undefined ? newestEvent(store) : 0
  for (;;) {
    const isLast = until !== undefined && !Moment.ofMilliseconds(Date.now()).isBefore(until)
    for (const event of listEvents(store, last)) {
      last = event.id
      if (isWithin(event, since, until) && suits(event, filters)) yield event
    }
    if (isLast) return
    signal?.throwIfAborted()
    await Bun.sleep(lookEvery)
  }
}

function isWithin({ time }: StoreEvent, since: Moment | undefined, until: Moment | undefined): boolean {
  const at = Moment.ofMicroseconds(time)
  return (since === undefined || !at.isBefore(since)) && (until === undefined || !at.isAfter(until))
}

/** Whether docker would show an event by these filters: those of one name are alternatives, each name has to be met. */
function suits(event: StoreEvent, filters: Filters): boolean {
  const { type, action, actor, attributes } = event
  const name = attributes['name'] ?? ''
  const image = (type === 'image' ? attributes['name'] : attributes['image']) ?? ''
  const isExactly = (filter: string, ...texts: string[]): boolean => {
    const values = filters.get(filter)
    return values === undefined || values.some((value) => texts.includes(value))
  }
  const begins = (filter: string, ...texts: string[]): boolean => {
    const values = filters.get(filter)
    return values === undefined || values.some((value) => texts.some((text) => text.startsWith(value)))
  }
  return (
    isExactly('type', type) &&
    // `exec_create: sh -c …` is an event `exec_create`.
    isExactly('event', action, action.replace(/: .*$/s, '')) &&
    isExactly('scope', 'local') &&
    isExactly('daemon') &&
    isExactly('image', actor, image, withoutTag(actor), withoutTag(image)) &&
    begins('container', ...(type === 'container' ? [actor, name] : [])) &&
    begins('volume', ...(type === 'volume' ? [actor] : [])) &&
    begins('network', ...(type === 'network' ? [actor, name] : [])) &&
    suitsLabels(filters, attributes)
  )
}

function withoutTag(text: string): string {
  try {
    return familiarName(parseReference(text))
  } catch (error) {
    if (isCairnError(error)) return text
    throw error
  }
}
