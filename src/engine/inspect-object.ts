import { getVolume } from '../containers/volume-records.ts'
import type { Store } from '../content/store.ts'
import { CairnError, isCairnError, usageError } from '../errors/error.ts'
import { resolveNetwork } from '../networks/network-records.ts'
import { inspectContainer, type InspectContainerOptions } from './containers/inspect-container.ts'
import { inspectImage } from './images/inspect-image.ts'
import { inspectNetwork } from './containers/networks.ts'
import { inspectVolume } from './containers/volumes.ts'

/** Gives what is known of an object; throws a failure of the kind `not-found` where there is none of that name. */
type Inspector = (store: Store, name: string, options: InspectContainerOptions) => Promise<object>

/** Kinds of objects, in the order in which a name is looked for. */
const inspectors: ReadonlyMap<string, Inspector> = new Map<string, Inspector>([
  ['container', (store, name, options) => Promise.resolve().then(() => inspectContainer(store, name, options))],
  ['image', async (store, name) => await inspectImage(store, name)],
  ['volume', (store, name) => Promise.resolve(inspectVolume(store, getVolume(store, name)))],
  ['network', (store, name) => Promise.resolve(inspectNetwork(store, resolveNetwork(store, name)))],
])

/** An object that was found, and of which kind it is. */
export interface InspectedObject {
  readonly type: string
  readonly object: object
}

/** Docker's kinds of objects, sorted. Of those that are not known here there is none. */
export const objectTypes: readonly string[] =
  'config container image network node plugin secret service task volume'.split(' ')

/**
 * All about the object that `name` means: of kind `type`, else of the first kind that has one of that name. Throws USAGE
 * (status 1) for a type that there is not, what its kind throws where there is none of a given type, IMAGE_UNKNOWN where
 * nothing has that name.
 */
export async function inspectObject(
  store: Store,
  name: string,
  type?: string,
  options: InspectContainerOptions = {},
): Promise<InspectedObject> {
  if (name === '') throw new CairnError('CONTAINER_UNKNOWN', 'invalid container name or ID: value is empty')
  if (type !== undefined) {
    if (!objectTypes.includes(type)) throw unknownType(type)
    const inspect = inspectors.get(type)
    if (inspect === undefined) throw unknownObject(type, name)
    return { type, object: await inspect(store, name, options) }
  }
  for (const [kind, inspect] of inspectors)
    try {
      // oxlint-disable-next-line no-await-in-loop -- the first that has it
      return { type: kind, object: await inspect(store, name, options) }
    } catch (error) {
      // What no image can be called may be the name of something else.
      if (!isCairnError(error) || (error.kind !== 'not-found' && error.code !== 'REFERENCE_INVALID')) throw error
    }
  throw new CairnError('IMAGE_UNKNOWN', `No such object: ${name}`)
}

function unknownObject(type: string, name: string): CairnError {
  return new CairnError(type === 'container' ? 'CONTAINER_UNKNOWN' : 'IMAGE_UNKNOWN', `No such ${type}: ${name}`)
}

function unknownType(type: string): CairnError {
  const types = objectTypes.map((one) => JSON.stringify(one)).join(', ')
  const message = type === '' ? 'type is empty' : `unknown type: ${JSON.stringify(type)}`
  return usageError(`${message}: must be one of ${types}`)
}
