import { digestOf } from '../oci/digest.ts'
import { goJson } from '../oci/go-json.ts'

/** A message of protobuf as Go's encoding/json writes it: fields in the order of the struct, empty ones left out. */
export type Message = ReadonlyMap<string, unknown>

/** A message of these fields, in this order; what is empty is left out. */
export function message(fields: Readonly<Record<string, unknown>>): Message {
  const isEmpty = (value: unknown): boolean =>
    value === undefined ||
    value === '' ||
    value === 0 ||
    value === false ||
    (Array.isArray(value) && value.length === 0)
  return new Map(Object.entries(fields).filter(([, value]) => !isEmpty(value)))
}

/** What an action takes from and gives to: indexes of inputs, or of actions after these; -1 for none. */
export type ActionIndexes = readonly [input: number, secondary: number, output: number]

/** The digest of the record of a file operation (solver/llbsolver/ops/file.go). */
export function fileKey(actions: readonly Message[], indexes: readonly ActionIndexes[], inputs: number): string {
  // Go writes bytes as base64.
  const encoded = actions.map((action) => Buffer.from(goJson(action)).toString('base64'))
  const fields = new Map<string, unknown>([
    ['Type', 'buildkit.file.v0'],
    ['Actions', encoded],
    ['indexes', inputs > 0 && areUsual(indexes) ? undefined : indexes],
  ])
  return digestOf(`${digestOf(goJson(fields))}@0`)
}

/** Those that BuildKit leaves out, as it did before it had them in the digest. */
function areUsual(indexes: readonly ActionIndexes[]): boolean {
  const last = indexes.length - 1
  return indexes.every(
    ([input, secondary, output], at) =>
      input === (at === 0 ? 0 : indexes.length + at - 1) &&
      (secondary === -1 || secondary === 1) &&
      output === (at === last ? 0 : -1),
  )
}

/** Makes a directory. */
export function mkdirAction(action: {
  readonly path: string
  readonly mode: number
  readonly makeParents: boolean
  readonly owner: Message | undefined
}): Message {
  const { path, mode, makeParents, owner } = action
  return message({ path, mode, makeParents, owner, timestamp: -1 })
}

/** The digest of the record of a file with a text, alone on an empty filesystem. */
export function textFileKey(name: string, mode: number, content: string): string {
  const data = Buffer.from(content).toString('base64')
  return fileKey([message({ path: `/${name}`, mode, data, timestamp: -1 })], [[-1, -1, 0]], 0)
}

/** `user[:group]`, IDs where they are numbers; a name is looked up in the first input. */
export function ownerOf(text: string): { readonly fields: Message; readonly isNamed: boolean } {
  const [user = '', group] = text.split(/:(.*)/s)
  const ids = [user, ...(group === undefined ? [] : [group])].map(idOf)
  const fields = message({
    user: identityOf(user, ids[0]),
    group: group === undefined ? undefined : identityOf(group, ids[1]),
  })
  return { fields, isNamed: ids.includes(undefined) }
}

/** The owner with these IDs. */
export function ownerOfIds(uid: number, gid: number): Message {
  return message({ user: identityOf('', uid), group: identityOf('', gid) })
}

function idOf(text: string): number | undefined {
  return text === 'root' ? 0 : /^\d{1,9}$/.test(text) ? Number(text) : undefined
}

function identityOf(name: string, id: number | undefined): Message {
  return new Map([['User', id === undefined ? message({ byName: message({ name }) }) : message({ byId: id })]])
}
