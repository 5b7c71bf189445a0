import { printable, shorten } from '../dockerfile/characters.ts'
import type { Tree } from '../layers/tree.ts'
import { tryReadText } from './metadata-file.ts'
import type { OperatingSystem } from './package.ts'

const places = ['/etc/os-release', '/usr/lib/os-release'] as const
const largest = 64 * 1024
/** What os-release(5) allows, and capital letters. */
const identifier = /^[\w.-]{1,100}$/

/** The distribution of a root file system, os-release(5); undefined where it does not say. */
export function readOsRelease(tree: Tree): OperatingSystem | undefined {
  for (const path of places) {
    const text = tryReadText(tree, path, largest)
    if (text === undefined) continue
    const values = new Map<string, string>()
    for (const line of text.split('\n')) {
      const match = /^([A-Z0-9_]+)=(.*)$/.exec(line.trim())
      if (match !== null) values.set(match[1] ?? '', unquote(match[2] ?? ''))
    }
    const id = values.get('ID') ?? ''
    if (!identifier.test(id)) continue
    const given = values.get('VERSION_ID') ?? ''
    const version = identifier.test(given) ? given : ''
    const title = values.get('PRETTY_NAME') ?? `${id} ${version}`.trim()
    return { id, version, title: printable(shorten(title.toWellFormed())) }
  }
  return undefined
}

function unquote(text: string): string {
  const quoted = /^(["'])(.*)\1$/.exec(text)
  return quoted === null ? text : (quoted[2] ?? '').replace(/\\(.)/g, '$1')
}
