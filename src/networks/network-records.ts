import { recordEvent } from '../content/events.ts'
import type { Store } from '../content/store.ts'
import { CairnError } from '../errors/error.ts'
import type { Network, NetworkDriver, NetworkSettings } from './network.ts'

interface Row extends Omit<Network, 'settings'> {
  readonly settings: string
}

const columns = 'id, name, driver, settings, created_at AS createdAt'

function fromRow(row: Row): Network {
  return { ...row, settings: JSON.parse(row.settings) as NetworkSettings }
}

/** 64 hex digits that no other network has. */
export function newNetworkId(): string {
  return crypto.getRandomValues(new Uint8Array(32)).toHex()
}

const emptySettings: NetworkSettings = {
  internal: false,
  attachable: false,
  ipv4: true,
  ipv6: false,
  labels: {},
  options: {},
  pools: [],
  isChosen: true,
}

const predefined: readonly { readonly name: string; readonly driver: NetworkDriver }[] = [
  { name: 'bridge', driver: 'bridge' },
  { name: 'host', driver: 'host' },
  { name: 'none', driver: 'null' },
]

/** Records the networks that are there from the beginning, where that was not done yet. */
export function ensurePredefinedNetworks(store: Store): void {
  if (store.isReadOnly || findByName(store, 'none') !== undefined) return
  store.database.transaction(() => {
    for (const { name, driver } of predefined)
      if (findByName(store, name) === undefined)
        insertNetwork(store, { id: newNetworkId(), name, driver, settings: emptySettings, createdAt: Date.now() })
  })
}

/** Records a new network, whose name must be free. To be called in a transaction. */
export function insertNetwork(store: Store, { id, name, driver, settings, createdAt }: Network): void {
  store.database.run(
    'INSERT INTO networks (id, name, driver, settings, created_at) VALUES (?, ?, ?, ?, ?)',
    id,
    name,
    driver,
    JSON.stringify(settings),
    createdAt,
  )
}

/** Replaces what a network is like. */
export function recordNetworkSettings(store: Store, id: string, settings: NetworkSettings): void {
  store.database.run('UPDATE networks SET settings = ? WHERE id = ?', JSON.stringify(settings), id)
}

/** Forgets a network that nothing is attached to. To be called in a transaction. */
export function deleteNetwork(store: Store, { id, name, driver }: Network): void {
  store.database.run('DELETE FROM networks WHERE id = ?', id)
  recordEvent(store, 'network', 'destroy', id, { name, type: driver })
}

/** All networks, by name. */
export function listNetworks(store: Store): Network[] {
  ensurePredefinedNetworks(store)
  return store.database.all<Row>(`SELECT ${columns} FROM networks ORDER BY name`).map(fromRow)
}

export function getNetwork(store: Store, id: string): Network | undefined {
  const row = store.database.one<Row>(`SELECT ${columns} FROM networks WHERE id = ?`, id)
  return row === undefined ? undefined : fromRow(row)
}

function findByName(store: Store, name: string): Network | undefined {
  const row = store.database.one<Row>(`SELECT ${columns} FROM networks WHERE name = ?`, name)
  return row === undefined ? undefined : fromRow(row)
}

/** The network that `text` means: its ID, its name, or the beginning of just one ID; undefined where there is none. */
export function findNetwork(store: Store, text: string): Network | undefined {
  ensurePredefinedNetworks(store)
  const found = getNetwork(store, text) ?? findByName(store, text)
  if (found !== undefined || !/^[0-9a-f]+$/.test(text)) return found
  const [first, second] = store.database
    .all<Row>(`SELECT ${columns} FROM networks WHERE id > ?1 AND id < ?1 || 'g' LIMIT 2`, text)
    .map(fromRow)
  if (second !== undefined)
    throw new CairnError('NETWORK_AMBIGUOUS', `network ${text} is ambiguous (2 matches found on ID prefix)`, {
      hint: 'Give more characters of the ID.',
    })
  return first
}

/** {@link findNetwork}, which throws NETWORK_UNKNOWN in docker's words where there is none. */
export function resolveNetwork(store: Store, text: string): Network {
  const found = findNetwork(store, text)
  if (found === undefined) throw new CairnError('NETWORK_UNKNOWN', `network ${text} not found`)
  return found
}
