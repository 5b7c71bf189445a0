const entities: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" }

/** The contents of the elements called `name`, none of which holds another of that name. */
export function elementsOf(xml: string, name: string): string[] {
  const found: string[] = []
  const [begin, end] = [`<${name}>`, `</${name}>`]
  for (let at = xml.indexOf(begin); at >= 0; at = xml.indexOf(begin, at)) {
    const stop = xml.indexOf(end, at)
    if (stop < 0) break
    found.push(xml.slice(at + begin.length, stop))
    at = stop + end.length
  }
  return found
}

/** The text of the first element called `name`; empty where there is none. */
export function textOf(xml: string, name: string): string {
  const [first = ''] = elementsOf(xml, name)
  return first.replace(/&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|(\w+));/gi, (whole, decimal, hex, entity) => {
    if (typeof entity === 'string') return entities[entity] ?? whole
    const code = typeof decimal === 'string' ? Number(decimal) : Number.parseInt(String(hex), 16)
    return code <= 0x10ffff ? String.fromCodePoint(code) : whole
  })
}
