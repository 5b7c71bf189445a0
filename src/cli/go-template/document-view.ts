/** Names of fields that Go's types of the OCI specifications do not make of their JSON names by the rule. */
const irregular: Readonly<Record<string, string>> = {
  diff_ids: 'DiffIDs',
  os: 'OS',
  'os.features': 'OSFeatures',
  'os.version': 'OSVersion',
  rootfs: 'RootFS',
  urls: 'URLs',
}

/** Fields that are maps: their keys are no names of fields. */
const maps: ReadonlySet<string> = new Set(['annotations', 'ExposedPorts', 'Labels', 'Volumes'])

/**
 * A document of the OCI specifications as templates written for Go's types see it: `.Manifest.MediaType` is its `mediaType`,
 * and `json` still gives the document. Maps stay maps.
 */
export function documentView(value: object): object {
  const fields = Object.entries(value).map(([name, item]) => [
    goName(name),
    maps.has(name) ? mapView(item) : goValue(item),
  ])
  return Object.defineProperty(Object.fromEntries(fields), 'toJSON', { value: () => value })
}

function goValue(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(goValue)
  if (value instanceof Map) return new Map([...value].map(([key, item]) => [key, goValue(item)]))
  return typeof value === 'object' && value !== null ? documentView(value) : value
}

function goName(name: string): string {
  const known = Object.hasOwn(irregular, name) ? irregular[name] : undefined
  return known ?? name.replaceAll(/(?:^|_)([a-z])/g, (_match, letter: string) => letter.toUpperCase())
}

/** JSON as Go reads it into maps: what a map lacks is no error. */
export function mapView(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(mapView)
  if (typeof value !== 'object' || value === null) return value
  return new Map(Object.entries(value).map(([key, item]) => [key, mapView(item)]))
}
