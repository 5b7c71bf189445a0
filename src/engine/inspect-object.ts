import type { Store } from '../content/store.ts'
import { findImage } from '../images/resolve-image.ts'
import { CairnError, isCairnError } from '../errors/error.ts'
import { inspectImage } from './inspect-image.ts'

/** Gives what is known of an object, or undefined where there is none of that name. */
type Inspector = (store: Store, name: string) => Promise<object | undefined>

/** Kinds of objects, in the order in which a name is looked for. */
const inspectors: ReadonlyMap<string, Inspector> = new Map([
  ['image', async (store: Store, name: string) => (isImage(store, name) ? await inspectImage(store, name) : undefined)],
])

/**
 * All about the object that `name` means: of kind `type`, else of the first kind that has one of that name. Undefined
 * where there is none. Throws USAGE (status 1) for a type that there is not.
 */
export async function inspectObject(store: Store, name: string, type?: string): Promise<object | undefined> {
  if (type !== undefined && !inspectors.has(type)) {
    const types = [...inspectors.keys()].map((one) => JSON.stringify(one)).join(', ')
    throw new CairnError('USAGE', `unknown type: ${JSON.stringify(type)}: must be one of ${types}`, { exitCode: 1 })
  }
  for (const [kind, inspect] of inspectors) {
    if (type !== undefined && kind !== type) continue
    const found = await inspect(store, name)
    if (found !== undefined) return found
  }
  return undefined
}

/** False also for a name that no image can have: an object of another kind may. */
function isImage(store: Store, name: string): boolean {
  try {
    return findImage(store, name) !== undefined
  } catch (error) {
    if (isCairnError(error, 'REFERENCE_INVALID')) return false
    throw error
  }
}
