import { describe, expect, test } from 'bun:test'
import { readdirSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'

/** A row imports only from rows above it; entries of one row do not import each other. ARCHITECTURE.md says what is in each. */
const rows: readonly (readonly string[])[] = [
  ['errors'],
  ['oci', 'linux'],
  ['streams', 'progress', 'rootless'],
  ['tar', 'compression', 'dockerfile', 'ssh', 'object-storage'],
  ['content', 'runtime'],
  ['layers'],
  ['images', 'snapshots', 'networks'],
  ['registry', 'containers', 'analysis', 'sbom', 'signing', 'remote'],
  ['build'],
  ['records', 'outputs', 'attest', 'remote-cache'],
  ['engine'],
  ['api', 'explorer'],
  ['cli'],
  ['threads.ts', 'worker.ts', 'main.ts'],
]
const source = join(import.meta.dir, '..', 'src')
const rowOf = new Map(rows.flatMap((row, index) => row.map((entry) => [entry, index] as const)))
/** Type-only and dynamic imports count too. */
const importPath = /\b(?:from|import)\s*\(?\s*['"](\.{1,2}\/[^'"]+)['"]/g

const files = readdirSync(source, { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts') || path.endsWith('.tsx'))
  .sort()

function entryOf(path: string): string {
  return path.split('/')[0] ?? ''
}

describe('the tree', () => {
  test('has only folders and entry files that a row names', () => {
    expect([...new Set(files.map(entryOf))].filter((entry) => !rowOf.has(entry))).toEqual([])
  })

  test('is at most three folders deep', () => {
    expect(files.filter((path) => path.split('/').length > 4)).toEqual([])
  })

  test('has no folder or file that is a drawer for anything', () => {
    expect(files.filter((path) => /(^|\/)(utils?|helpers?|common|misc|shared|manager)(\.ts|\/)/.test(path))).toEqual([])
  })

  test('is drawn in ARCHITECTURE.md as it is', async () => {
    const map = await Bun.file(join(source, '..', 'ARCHITECTURE.md')).text()
    const drawn = Array.from(rows, (): string[] => [])
    for (const [, row = '', folders = ''] of map.matchAll(/^\| (\d+) +\| ([^|]+)\|/gm))
      drawn[Number(row) - 1]?.push(...Array.from(folders.matchAll(/`([^`]+)`/g), ([, folder = '']) => folder))
    expect(drawn.map((row) => row.sort())).toEqual(rows.map((row) => [...row].sort()))
  })

  test('imports only downwards', async () => {
    const wrong: string[] = []
    for (const path of files) {
      const from = entryOf(path)
      const text = await Bun.file(join(source, path)).text()
      for (const [, target = ''] of text.matchAll(importPath)) {
        const resolved = relative(source, join(source, dirname(path), target))
        const to = entryOf(resolved)
        if (to === from || (path.endsWith('.test.ts') && resolved.startsWith('..'))) continue
        // Entry files wire everything together and may name each other.
        if (from.endsWith('.ts') && to.endsWith('.ts')) continue
        if ((rowOf.get(to) ?? Infinity) >= (rowOf.get(from) ?? -1)) wrong.push(`${path} imports ${resolved}`)
      }
    }
    expect(wrong).toEqual([])
  })

  test('starts up on Bun and own modules alone', async () => {
    const seen = new Set<string>()
    const foreign: string[] = []
    const pending = ['main.ts']
    for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
      if (seen.has(path)) continue
      seen.add(path)
      const text = await Bun.file(join(source, path)).text()
      for (const [, target = ''] of text.matchAll(
        /^(?:import|export)\s+(?!type\b)(?:[\w*{}\s,]+?\s+from\s+)?['"]([^'"]+)['"]/gm,
      )) {
        if (target.startsWith('.')) pending.push(relative(source, join(source, dirname(path), target)))
        else if (target !== 'bun' && !target.startsWith('bun:')) foreign.push(`${path} imports ${target}`)
      }
    }
    expect(foreign).toEqual([])
  })
})
