/**
 * Values as Go's structs have them, for objects that docker's clients and templates read: a nil map or slice is `null`
 * in JSON but empty for whoever looks inside, and a field left out of JSON can still be asked for by name.
 */
function asNull<Value extends object>(value: Value): Value {
  return Object.freeze(Object.defineProperty(value, 'toJSON', { value: () => null }))
}

/** A map without entries that JSON shows as null. */
export const nilMap: Readonly<Record<string, never>> = asNull({})

/** A list without items that JSON shows as null. */
export const nilList: readonly never[] = asNull([])

/** `value`, which templates print as `text`. */
function printedAs<Value extends object>(value: Value, text: string): Value {
  return Object.freeze(Object.defineProperty(value, 'toString', { value: () => text }))
}

/** An empty struct, as the values of Go's sets are: `{}`. */
const emptyStruct = printedAs({}, '{}')

/** The pointer to no struct. */
export const nilPointer = asNull(Object.defineProperty({}, 'toString', { value: () => '<nil>' }))

/** A set as Go has it, a map to empty structs: `map[80/tcp:{}]`. */
export function goSet(set: Readonly<Record<string, object>>): Readonly<Record<string, object>> {
  return Object.fromEntries(
    Object.keys(set)
      .toSorted()
      .map((key) => [key, emptyStruct]),
  )
}

/** A struct of plain fields, which templates print without their names: `{always 0}`. */
export function goStruct<Fields extends Readonly<Record<string, string | number | boolean>>>(fields: Fields): Fields {
  return printedAs(fields, `{${Object.values(fields).join(' ')}}`)
}

/** `fields`, and for whoever asks by name also `defaults`, which neither JSON nor a list of fields shows. */
export function withDefaults<Fields extends object>(defaults: Partial<Fields>, fields: Fields): Fields {
  return Object.assign(Object.create(defaults) as object, fields)
}
