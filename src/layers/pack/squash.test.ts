import { describe, expect, test } from 'bun:test'
import { array, assert, constantFrom, oneof, property, record, tuple } from 'fast-check'
import { blankEntry, type TarEntry } from '../../tar/entry.ts'
import { LayerWriter } from './layer-writer.ts'
import { stackTree, tarTree } from '../trees/layer-tree.ts'
import { writeSquashed } from './squash.ts'
import type { LayerTree, Tree } from '../tree.ts'

const plain: TarEntry = { ...blankEntry, type: 'file', path: '', mode: 0o644, mtimeSeconds: 1 }

/** `path=text` is a file, `path/` a directory, `-path` a whiteout, `!path` an opaque directory, `a->b` a hard link. */
function layer(...members: readonly string[]): LayerTree {
  return tarTree(written((writer) => members.forEach((member) => addMember(writer, member))))
}

function addMember(writer: LayerWriter, member: string): void {
  if (member.startsWith('-')) return writer.addWhiteout(member.slice(1))
  if (member.startsWith('!')) return writer.addOpaque(member.slice(1))
  const [link, target] = member.split('->')
  if (link !== undefined && target !== undefined)
    return writer.add({ ...plain, type: 'hardlink', path: link, linkname: target })
  if (member.endsWith('/')) return writer.add({ ...plain, type: 'directory', path: member.slice(0, -1), mode: 0o755 })
  const [path = '', text = ''] = member.split('=')
  writer.add({ ...plain, path, size: text.length }, { from: 'bytes', bytes: new TextEncoder().encode(text) })
}

function written(write: (writer: LayerWriter) => void): Uint8Array {
  const pieces: Uint8Array[] = []
  const writer = new LayerWriter((bytes) => void pieces.push(bytes.slice()))
  write(writer)
  writer.finish()
  return Buffer.concat(pieces)
}

/** Every path with what it is: all that a filesystem shows. */
function listing(tree: Tree, path = '/'): string[] {
  const entry = tree.lookup(path)
  if (entry === undefined) return []
  const text = entry.type === 'file' ? Buffer.concat([...tree.read(path)]).toString() : ''
  const below = tree.list(path).flatMap((name) => listing(tree, path === '/' ? `/${name}` : `${path}/${name}`))
  return [`${path} ${entry.type} ${entry.mode.toString(8)} ${text}`, ...below]
}

function squashed(lower: readonly LayerTree[], upper: readonly LayerTree[]): Uint8Array {
  return written((writer) => writeSquashed(lower, upper, writer))
}

const own = (bytes: Uint8Array): string[] => {
  const tree = tarTree(bytes)
  const gone = (path: string): string[] => [
    ...tree.whiteouts(path).map((name) => `${path === '/' ? '' : path}/${name} gone`),
    ...tree.list(path).flatMap((name) => gone(path === '/' ? `/${name}` : `${path}/${name}`)),
  ]
  return [...listing(tree).slice(1), ...gone('/')].map((line) => line.trim()).sort()
}

describe('writeSquashed()', () => {
  test('keeps what is there in the end, and nothing of what came and went', () => {
    const layers = [layer('a=1', 'tmp=big', 'd/', 'd/x=1'), layer('a=22', '-tmp', 'd/', 'd/y=2'), layer('d/', '-d/x')]
    expect(own(squashed([], layers))).toEqual(['/a file 644 22', '/d directory 755', '/d/y file 644 2'])
  })
  test('says what of the layers below is gone, and leaves the rest to them', () => {
    const base = [layer('etc/', 'etc/a=1', 'etc/b=1', 'usr/', 'usr/lib=1', 'old/', 'old/x=1', 'file=1')]
    const changes = [layer('etc/', '-etc/a', 'etc/c=1', '-old'), layer('etc/', '-etc/c', '-file', 'file/', 'file/in=1')]
    expect(own(squashed(base, changes))).toEqual([
      '/etc directory 755',
      '/etc/a gone',
      '/file directory 755',
      '/file/in file 644 1',
      '/old gone',
    ])
  })
  test('writes whiteouts where a directory was emptied or made anew', () => {
    const base = [layer('d/', 'd/a=1', 'd/sub/', 'd/sub/x=1', 'e/', 'e/a=1')]
    const changes = [layer('d/', '!d', 'd/sub/', 'd/sub/y=1'), layer('-e'), layer('e/', 'e/b=1')]
    expect(own(squashed(base, changes))).toEqual([
      '/d directory 755',
      '/d/a gone',
      '/d/sub directory 755',
      '/d/sub/x gone',
      '/d/sub/y file 644 1',
      '/e directory 755',
      '/e/a gone',
      '/e/b file 644 1',
    ])
  })
  test('keeps hard links together', () => {
    const tree = tarTree(squashed([], [layer('x=1'), layer('a=same', 'b->a', 'd/', 'd/c->a'), layer('-a')]))
    expect(tree.lookup('/b')?.inode).toBeDefined()
    expect(tree.lookup('/d/c')?.inode).toBe(tree.lookup('/b')?.inode as string)
    expect(Buffer.concat([...tree.read('/d/c')]).toString()).toBe('same')
  })
  test('shows the same as the layers it stands for, whatever they are, and always in the same bytes', () => {
    const name = constantFrom('a', 'b', 'c')
    const path = oneof(
      name,
      tuple(name, name).map((parts) => parts.join('/')),
      tuple(name, name, name).map((parts) => parts.join('/')),
    )
    const member = record({ path, kind: constantFrom('=1', '=22', '/', '-', '!') }).map(({ path: at, kind }) =>
      kind === '-' || kind === '!' ? kind + at : at + kind,
    )
    const layers = array(array(member, { maxLength: 6 }), { minLength: 1, maxLength: 4 })
    assert(
      property(layers, layers, (below, above) => {
        const make = (all: readonly (readonly string[])[]) => all.map((members) => layer(...members))
        let trees: [LayerTree[], LayerTree[]]
        try {
          trees = [make(below), make(above)]
        } catch {
          // No layer: a file that has something below it.
          return
        }
        const [lower, upper] = trees
        const bytes = squashed(lower, upper)
        expect(listing(stackTree([...lower, tarTree(bytes)]))).toEqual(listing(stackTree([...lower, ...upper])))
        expect(Buffer.compare(squashed(make(below), make(above)), bytes)).toBe(0)
      }),
      { numRuns: 500 },
    )
  })
})
