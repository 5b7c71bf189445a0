import { resolvePath } from '../layers/trees/resolve-path.ts'
import type { Tree } from '../layers/tree.ts'
import type { AccountFiles } from '../runtime/user.ts'

/** An account file larger than this is not one. Bytes. */
const largestAccountFile = 16 * 1024 * 1024

/** /etc/passwd and /etc/group of a filesystem, symlinks followed inside it. */
export function accountFiles(tree: Tree): AccountFiles {
  const passwd = readText(tree, '/etc/passwd')
  const group = readText(tree, '/etc/group')
  return { ...(passwd === undefined ? {} : { passwd }), ...(group === undefined ? {} : { group }) }
}

function readText(tree: Tree, path: string): string | undefined {
  const resolved = resolvePath(tree, path, { followLast: true })
  const entry = tree.lookup(resolved)
  if (entry?.type !== 'file' || entry.size > largestAccountFile) return undefined
  const decoder = new TextDecoder()
  let text = ''
  for (const chunk of tree.read(resolved)) text += decoder.decode(chunk, { stream: true })
  return text
}
