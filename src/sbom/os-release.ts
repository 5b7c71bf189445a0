import type { Tree } from '../layers/tree.ts'
import { tryReadText } from './metadata-file.ts'
import type { OperatingSystem } from './package.ts'

const places = ['/etc/os-release', '/usr/lib/os-release'] as const
const largest = 64 * 1024

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
    if (id === '') continue
    const version = values.get('VERSION_ID') ?? ''
    return { id, version, title: values.get('PRETTY_NAME') ?? `${id} ${version}`.trim() }
  }
  return undefined
}

function unquote(text: string): string {
  const quoted = /^(["'])(.*)\1$/.exec(text)
  return quoted === null ? text : (quoted[2] ?? '').replace(/\\(.)/g, '$1')
}
