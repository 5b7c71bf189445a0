import { impliedDirectory, type Tree } from '../layers/tree.ts'

/** Trees as directories of one: those of several platforms, `linux_amd64` and so on. */
export function platformTree(trees: ReadonlyMap<string, Tree>): Tree {
  const find = (path: string): { readonly name: string; readonly tree: Tree; readonly rest: string } | undefined => {
    const [, name = '', rest = ''] = /^\/([^/]+)(\/.*)?$/.exec(path) ?? []
    const tree = trees.get(name)
    return tree === undefined ? undefined : { name, tree, rest: rest === '' ? '/' : rest }
  }
  return {
    lookup: (path) => {
      if (path === '/') return impliedDirectory
      const found = find(path)
      if (found === undefined) return undefined
      const entry = found.tree.lookup(found.rest) ?? (found.rest === '/' ? impliedDirectory : undefined)
      return entry?.inode === undefined ? entry : { ...entry, inode: `${found.name} ${entry.inode}` }
    },
    list: (path) => {
      if (path === '/') return [...trees.keys()].sort()
      const found = find(path)
      return found === undefined ? [] : found.tree.list(found.rest)
    },
    read: (path) => {
      const found = find(path)
      if (found === undefined) throw new Error(`there is no file ${path}`)
      return found.tree.read(found.rest)
    },
  }
}
