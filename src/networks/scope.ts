import type { Store } from '../content/store.ts'
import { readTextFile } from '../linux/text-file.ts'
import { digestHex, digestOf } from '../oci/digest.ts'
import { networkHome } from './place.ts'

/** The boot of the machine and the network namespace that networks are in: where they are to be reached. */
export function networkScope(): string {
  return `${readTextFile('/proc/sys/kernel/random/boot_id')?.trim() ?? ''}/${networkHome()}`
}

/** What tells the devices and rules of one store from those of others: 8 hex digits. */
export function storeMark(store: Pick<Store, 'root'>): string {
  return digestHex(digestOf(store.root)).slice(0, 8)
}

/** What the aliases of a store's devices begin with. */
export function linkAlias(store: Pick<Store, 'root'>): string {
  return `cairn:${storeMark(store)}:`
}

/** The name of the table of a store's rules, and what marks those that it has in tables of others. */
export function tableOf(store: Pick<Store, 'root'>): string {
  return `cairn_${storeMark(store)}`
}
