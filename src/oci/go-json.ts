import { type Descriptor, isJsonObject } from './descriptor.ts'

/** Orders strings as Go orders them: by UTF-8 bytes, which is by code point. */
export function compareCodePoints(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let at = 0; at < length; at++) {
    const x = a.charCodeAt(at)
    const y = b.charCodeAt(at)
    if (x === y) continue
    const surrogateX = x >= 0xd800 && x <= 0xdfff
    const surrogateY = y >= 0xd800 && y <= 0xdfff
    if (surrogateX !== surrogateY) return surrogateX ? 1 : -1
    return x - y
  }
  return a.length - b.length
}

/**
 * `value` as compact JSON the way Go's encoding/json writes it: objects with their keys sorted as Go sorts a map's, a
 * Map with its entries in order (Go's structs), undefined left out, `<`, `>`, `&`, U+2028 and U+2029 escaped, and text
 * that is not well formed with U+FFFD.
 */
export function goJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(goJson).join(',')}]`
  if (value instanceof Map) return writeObject([...(value as ReadonlyMap<string, unknown>)])
  if (isJsonObject(value)) return writeObject(Object.entries(value).toSorted(([a], [b]) => compareCodePoints(a, b)))
  if (typeof value === 'string') return goString(value)
  return JSON.stringify(value) ?? 'null'
}

function writeObject(entries: readonly (readonly [string, unknown])[]): string {
  const fields = entries
    .filter(([, item]) => item !== undefined)
    .map(([key, item]) => `${goString(key)}:${goJson(item)}`)
  return `{${fields.join(',')}}`
}

function goString(text: string): string {
  return escapeMarkup(JSON.stringify(text.toWellFormed()))
}

/** JSON with `<`, `>` and `&` escaped as Go's encoder writes them, so that `<none>` is the same bytes as docker's. */
export function escapeMarkup(json: string): string {
  return json.replace(/[<>&\u2028\u2029]/g, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

/** An object's fields for {@link goJson} in the order of a Go struct; fields that `order` does not name follow, sorted. */
export function inOrder(value: object, order: readonly string[]): ReadonlyMap<string, unknown> {
  const object = value as Readonly<Record<string, unknown>>
  const rest = Object.keys(object)
    .filter((key) => !order.includes(key))
    .toSorted(compareCodePoints)
  return new Map([...order, ...rest].map((key) => [key, object[key]]))
}

const descriptorOrder = ['mediaType', 'digest', 'size', 'urls', 'annotations', 'data', 'platform', 'artifactType']
const platformOrder = ['architecture', 'os', 'os.version', 'os.features', 'variant']

/** A descriptor's fields in the order in which Go programs write them. */
export function descriptorInOrder(descriptor: Descriptor): ReadonlyMap<string, unknown> {
  const { platform } = descriptor
  return inOrder(
    platform === undefined ? descriptor : { ...descriptor, platform: inOrder(platform, platformOrder) },
    descriptorOrder,
  )
}
