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

/** `fields`, and for whoever asks by name also `defaults`, which neither JSON nor a list of fields shows. */
export function withDefaults<Fields extends object>(defaults: Partial<Fields>, fields: Fields): Fields {
  return Object.assign(Object.create(defaults) as object, fields)
}
