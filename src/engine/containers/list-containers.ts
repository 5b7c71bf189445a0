import type { Store } from '../../content/store.ts'
import { type Container, isActive } from '../../containers/container.ts'
import { listContainerRecords, resolveContainer } from '../../containers/container-records.ts'
import { healthOf } from '../../containers/health.ts'
import { recoverContainers } from '../../containers/recovery.ts'
import { findNetwork } from '../../networks/network-records.ts'
import { type CairnError, usageError } from '../../errors/error.ts'
import { findImage } from '../../images/records/resolve-image.ts'
import { containerPorts, networkNames } from './container-networks.ts'
import { checkFilters, type Filters, suitsLabels } from '../filters.ts'

export interface ContainerQuery {
  /** Also those that do not run; so do a limit and the filters `status` and `exited`. */
  readonly all?: boolean
  /** Only so many, the newest. */
  readonly limit?: number | undefined
  readonly filters?: Filters
}

const accepted = [
  'ancestor',
  'before',
  'exited',
  'expose',
  'health',
  'id',
  'is-task',
  'label',
  'label!',
  'name',
  'network',
  'publish',
  'since',
  'status',
  'volume',
]
const healths = ['none', 'starting', 'healthy', 'unhealthy']
const states = ['created', 'running', 'paused', 'restarting', 'removing', 'exited', 'dead']

/**
 * Containers, the newest first. Filters are docker's: of several values of one name any suffices, of several names all
 * must. Throws USAGE (status 1) for one that cannot be read, CONTAINER_UNKNOWN for `before` and `since`.
 */
export function findContainers(store: Store, { all = false, limit, filters = new Map() }: ContainerQuery): Container[] {
  checkFilters(filters, accepted)
  recoverContainers(store)
  const tests = filterTests(store, filters)
  const isAll = all || limit !== undefined || filters.has('status') || filters.has('exited')
  const found = listContainerRecords(store).filter(
    (container) => (isAll || isActive(container)) && tests.every((test) => test(container)),
  )
  return limit === undefined ? found : found.slice(0, limit)
}

type Test = (container: Container) => boolean

function filterTests(store: Store, filters: Filters): Test[] {
  const tests: Test[] = [({ settings }) => suitsLabels(filters, settings.config.Labels ?? {})]
  const add = (name: string, suits: (value: string) => Test): void => {
    const options = filters.get(name)?.map(suits)
    if (options !== undefined) tests.push((container) => options.some((test) => test(container)))
  }
  add('id', (value) => matching('id', value, ({ id }) => id))
  // Docker's names begin with a slash, which a pattern may have or not.
  add('name', (value) => {
    const tests = [({ name }: Container) => name, ({ name }: Container) => `/${name}`]
    const [plain, slashed] = tests.map((textOf) => matching('name', value, textOf))
    return (container) => plain?.(container) === true || slashed?.(container) === true
  })
  add('status', (value) => {
    if (!states.includes(value)) throw invalidState(value)
    return ({ state }) => state === value
  })
  add('exited', (value) => {
    if (!/^-?\d+$/.test(value))
      throw usageError(
        `invalid filter 'exited=${value}': strconv.Atoi: parsing ${JSON.stringify(value)}: invalid syntax`,
      )
    return (container) => !isActive(container) && container.startedAt !== null && container.exitCode === Number(value)
  })
  add('health', (value) => {
    if (!healths.includes(value))
      throw usageError(
        `invalid filter 'health=${value}': invalid value for health (${value}): must be one of ${healths.join(', ')}`,
      )
    return (container) => (healthOf(store, container)?.status ?? 'none') === value
  })
  add('network', (value) => {
    const network = findNetwork(store, value)
    return (container) =>
      networkNames(container).some(
        (name) => name === value || (network !== undefined && findNetwork(store, name)?.id === network.id),
      )
  })
  add('expose', (value) => {
    const isWanted = portFilter('expose', value)
    return ({ settings }) =>
      Object.keys(settings.config.ExposedPorts ?? {}).some((exposed) => {
        const [number, protocol = 'tcp'] = exposed.split('/')
        return isWanted(Number(number), protocol)
      })
  })
  add('publish', (value) => {
    const isWanted = portFilter('publish', value)
    return (container) =>
      containerPorts(store, container).some(({ protocol, published }) =>
        published.some(({ hostPort }) => isWanted(hostPort, protocol)),
      )
  })
  // Nothing is the task of a swarm.
  add('is-task', (value) => () => !parseTruth(value))
  add('ancestor', (value) => {
    const imageId = findImage(store, value)?.record.imageId
    return (container) => imageId !== undefined && container.imageId === imageId
  })
  add('before', (value) => {
    const { createdAt } = resolveContainer(store, value)
    return (container) => container.createdAt < createdAt
  })
  add('since', (value) => {
    const { createdAt } = resolveContainer(store, value)
    return (container) => container.createdAt > createdAt
  })
  add(
    'volume',
    (value) =>
      ({ settings }) =>
        settings.mounts.some((mount) => mount.target === value || (mount.type === 'volume' && mount.name === value)),
  )
  return tests
}

/** `80`, `80-90`, `53/udp`. Throws USAGE (status 1). */
function portFilter(filter: string, value: string): (port: number, protocol: string) => boolean {
  const [range = '', wanted = 'tcp'] = value.split('/')
  const [first = '', last = first] = range.split('-')
  const wrong = [first, last].find((end) => !/^\d{1,5}$/.test(end))
  if (wrong !== undefined)
    throw usageError(
      `error while looking up for ${filter} ${value}: strconv.ParseUint: parsing ${JSON.stringify(wrong)}: invalid syntax`,
    )
  return (port, protocol) => protocol === wanted && port >= Number(first) && port <= Number(last)
}

function parseTruth(text: string): boolean {
  if (/^(?:1|t|true)$/i.test(text)) return true
  if (/^(?:0|f|false)$/i.test(text)) return false
  throw usageError(`invalid filter 'is-task=${text}'`)
}

/** As docker matches names and IDs: by a regular expression that any part may match. */
function matching(filter: string, value: string, textOf: (container: Container) => string): Test {
  let pattern: RegExp
  try {
    pattern = new RegExp(value)
  } catch (cause) {
    throw usageError(`invalid filter '${filter}=${value}': not a regular expression`, { cause })
  }
  return (container) => pattern.test(textOf(container))
}

function invalidState(value: string): CairnError {
  const choice = states.join(', ')
  return usageError(`invalid filter 'status=${value}': invalid value for state (${value}): must be one of ${choice}`)
}
