import { describe, expect, test } from 'bun:test'
import { array, assert, constantFrom, oneof, property, record, tuple } from 'fast-check'
import { CairnError } from '../../errors/error.ts'
import type { Tree, TreeEntry } from '../../layers/tree.ts'
import { blankEntry } from '../../tar/entry.ts'
import { CopyLayout } from '../ops/copy-layout.ts'
import { rootedPath, parentPath } from '../paths.ts'
import { selectSources } from './source-selection.ts'

/** A tree in memory: a path and `dir`, `file` or where its symlink points. Parents that are missing are directories. */
function memoryTree(paths: readonly (readonly [path: string, what: string])[]): Tree {
  const entries = new Map<string, TreeEntry>([['/', entry('dir')]])
  for (const [path, what] of paths) {
    for (let parent = parentPath(path); ; parent = parentPath(parent)) {
      if (entries.get(parent)?.type !== 'directory') entries.set(parent, entry('dir'))
      if (parent === '/') break
    }
    if (path !== '/' && !(entries.get(path)?.type === 'directory' && what !== 'dir')) entries.set(path, entry(what))
  }
  // What is below a path that became something else is not there.
  const isThere = (path: string): boolean =>
    path === '/' || (entries.get(parentPath(path))?.type === 'directory' && isThere(parentPath(path)))
  return {
    lookup: (path) => (isThere(path) ? entries.get(path) : undefined),
    list: (path) =>
      [...entries.keys()]
        .filter((key) => key !== '/' && parentPath(key) === path)
        .map((key) => key.slice(key.lastIndexOf('/') + 1))
        .sort(),
    read: () => [],
  }
}

function entry(what: string): TreeEntry {
  const type = what === 'dir' ? 'directory' : what === 'file' ? 'file' : 'symlink'
  return {
    ...blankEntry,
    type,
    mode: type === 'directory' ? 0o755 : 0o644,
    linkname: type === 'symlink' ? what : '',
    inode: undefined,
  }
}

const noOptions = { excludes: [], parents: false }

/** The paths that a pattern selects, below what they were found by. */
function selected(tree: Tree, pattern: string, options: Partial<Parameters<typeof selectSources>[2]> = {}): string[] {
  return selectSources(tree, pattern, { ...noOptions, ...options }).flatMap(({ name, paths }) =>
    paths.map(({ relative, path }) => `${name}:${relative} ${path}`),
  )
}

describe('selectSources()', () => {
  const tree = memoryTree([
    ['/a.txt', 'file'],
    ['/b.txt', 'file'],
    ['/dir/one', 'file'],
    ['/dir/sub/two', 'file'],
    ['/to-dir', 'dir/sub'],
    ['/away', '/../..//a.txt'],
    ['/loop', 'loop'],
  ])

  test('gives a file by the name it was asked for and a directory with what is in it', () => {
    expect(selected(tree, '/a.txt')).toEqual(['a.txt: /a.txt'])
    expect(selected(tree, 'away')).toEqual(['away: /a.txt'])
    expect(selected(tree, './dir//')).toEqual([
      'dir: /dir',
      'dir:one /dir/one',
      'dir:sub /dir/sub',
      'dir:sub/two /dir/sub/two',
    ])
    expect(selected(tree, 'to-dir')).toEqual(['to-dir: /dir/sub', 'to-dir:two /dir/sub/two'])
  })

  test('stops at the root', () => {
    expect(selected(tree, '../../../a.txt')).toEqual(['a.txt: /a.txt'])
    expect(selected(tree, '..')).toEqual(selected(tree, '/'))
  })

  test('matches wildcards element by element, in order', () => {
    expect(selected(tree, '*.txt')).toEqual(['a.txt: /a.txt', 'b.txt: /b.txt'])
    expect(selected(tree, '[b-z].txt')).toEqual(['b.txt: /b.txt'])
    expect(selected(tree, '*/one')).toEqual(['one: /dir/one'])
    expect(selected(tree, 'to-dir/*')).toEqual(['two: /dir/sub/two'])
    expect(selected(tree, 'none*')).toEqual([])
  })

  test('fails for what is missing and for symlinks without end', () => {
    expect(() => selected(tree, 'missing')).toThrow('"/missing": not found')
    expect(() => selected(tree, 'loop')).toThrow('too many levels of symbolic links')
    expect(() => selected(tree, 'a.txt/x')).toThrow('"/a.txt/x": not found')
  })

  test('fails for a wildcard in a directory that is missing, not for one without a match', () => {
    const tree = memoryTree([
      ['/a/b', 'file'],
      ['/l', '/a'],
      ['/to-nothing', '/gone'],
    ])
    for (const pattern of ['*.c', 'a/*.c', 'l/*.c', 'a/*/x', 'a/b/*']) expect(selected(tree, pattern)).toEqual([])
    expect(selected(tree, 'l/?')).toEqual(['b: /a/b'])
    for (const [pattern, missing] of [
      ['none/*', '/none'],
      ['a/none/x/?/y', '/a/none/x'],
      ['to-nothing/*', '/to-nothing'],
    ] as const) {
      expect(() => selectSources(tree, pattern, noOptions)).toThrow(`"${missing}": not found`)
      expect(selected(tree, pattern, { optional: true })).toEqual([])
    }
  })

  test('follows symlinks on the way to a literal source of --parents, not the source itself', () => {
    const tree = memoryTree([
      ['/real/f', 'file'],
      ['/real/l', 'f'],
      ['/d/link', '../real'],
    ])
    const found = (pattern: string, excludes: string[] = []): string[] =>
      selectSources(tree, pattern, { parents: true, excludes }).flatMap(({ paths }) =>
        paths.map(({ relative, path, entry: { type } }) => `${relative} ${path} ${type}`),
      )
    expect(found('d/link/f')).toEqual([
      ' / directory',
      'd /d directory',
      'd/link /real directory',
      'd/link/f /real/f file',
    ])
    expect(found('d/./link/l')).toEqual([' /d directory', 'link /real directory', 'link/l /real/l symlink'])
    expect(found('d/link')).toEqual([' / directory', 'd /d directory', 'd/link /d/link symlink'])
    expect(found('d/*/f')).toEqual([' / directory'])
    expect(() => found('d/link/none')).toThrow('"/d/link/none": not found')
    expect(() => found('real/f/x')).toThrow('"/real/f/x": not found')
    expect(() => found('d/link/f', ['d'])).toThrow('not found')
  })

  test('selects nothing for an optional path that is missing', () => {
    const tree = memoryTree([
      ['/a/b', 'file'],
      ['/to-nothing', '/gone'],
    ])
    for (const pattern of ['/none', '/a/b/c', '/none/b', '/a/none'])
      for (const parents of [true, false])
        expect(
          selectSources(tree, pattern, { excludes: [], parents, optional: true }).flatMap(({ paths }) => paths),
        ).toEqual([])
    expect(selected(tree, '/to-nothing', { optional: true })).toEqual([])
    expect(selected(tree, '/a/b', { optional: true })).toEqual(selected(tree, '/a/b'))
    expect(() => selectSources(tree, '/none', { excludes: [], parents: false, optional: false })).toThrow(
      '"/none": not found',
    )
  })

  test('walks directories of any depth and any number of names', () => {
    const deep = `/${Array.from({ length: 800 }, () => 'd').join('/')}`
    expect(selectSources(memoryTree([[deep, 'file']]), '/', noOptions)[0]?.paths).toHaveLength(801)
  })
})

const names = constantFrom('a', 'b', 'c', '*', 'with space', '..a', 'é')
const path = array(names, { minLength: 1, maxLength: 4 }).map((parts) => `/${parts.join('/')}`)
const target = constantFrom(
  'dir',
  'file',
  'a',
  '../b',
  '/',
  '/a',
  '../../..',
  '/a/../../b/./c',
  'b/../../../a',
  '.',
  'a/',
)
const trees = array(tuple(path, target), { maxLength: 12 }).map(memoryTree)
const pattern = array(constantFrom('a', 'b', '*', '?', '..', '.', '', '[a-b]', '**', '\\*', 'c'), {
  minLength: 1,
  maxLength: 6,
}).map((parts) => parts.join('/'))

/** Runs `use` and lets through only what a user may be told. */
function guarded<Result>(use: () => Result): Result | undefined {
  try {
    return use()
  } catch (error) {
    if (!(error instanceof CairnError)) throw error
    return undefined
  }
}

describe('whatever the tree and the pattern', () => {
  test('selectSources() selects what is in the tree, below what it was found by', () => {
    let found = 0
    assert(
      property(
        record({
          tree: trees,
          pattern,
          parents: constantFrom(true, false),
          excludes: array(pattern, { maxLength: 2 }),
        }),
        ({ tree, pattern, ...options }) => {
          for (const { name, paths } of guarded(() => selectSources(tree, pattern, options)) ?? []) {
            expect(name).not.toInclude('/')
            for (const [index, { relative, path, entry }] of paths.entries()) {
              found++
              expect(path).toBe(rootedPath(path))
              expect(tree.lookup(path)).toBe(entry)
              expect(relative.split('/')).not.toContain('..')
              expect(relative === '').toBe(index === 0)
              expect(relative === '' || relative === rootedPath(relative).slice(1)).toBe(true)
            }
          }
        },
      ),
      { numRuns: 3000 },
    )
    expect(found).toBeGreaterThan(1000)
  })

  test('CopyLayout puts each member below directories of its own layer', () => {
    const copy = tuple(
      pattern,
      oneof(
        path,
        path.map((text) => `${text}/`),
        constantFrom('/'),
      ),
    )
    let placed = 0
    assert(
      property(
        record({ lower: trees, source: trees, copies: array(copy, { minLength: 1, maxLength: 3 }) }),
        ({ lower, source, copies }) => {
          const layout = new CopyLayout(lower, {
            owner: undefined,
            chmod: undefined,
            directoryMode: 0o755,
            createdTime: 0,
          })
          const done = guarded(() => {
            for (const [pattern, destination] of copies)
              for (const selection of selectSources(source, pattern, noOptions))
                layout.copy(source, selection, destination)
            return [...layout.members()]
          })
          const types = new Map<string, string>([['/', 'directory']])
          for (const [member, { entry }] of done ?? []) {
            placed++
            expect(member).toBe(rootedPath(member))
            expect(member).not.toBe('/')
            // In the order of the archive, so that no symlink can stand in the way of what follows.
            expect(types.get(parentPath(member))).toBe('directory')
            expect(types.has(member)).toBe(false)
            // Nothing changes its type from a directory of the image or to one.
            const below = lower.lookup(member)
            if (below !== undefined && (below.type === 'directory') !== (entry.type === 'directory'))
              throw new Error(`${member} was ${below.type} and becomes ${entry.type}`)
            types.set(member, entry.type)
          }
        },
      ),
      { numRuns: 3000 },
    )
    expect(placed).toBeGreaterThan(1000)
  })
})
