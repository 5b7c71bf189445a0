import { CairnError } from '../../errors/error.ts'
import type { Tree } from '../tree.ts'

/** As many as the kernel would never follow (40), and as docker's FollowSymlinkInScope does. */
const linkLimit = 255

/**
 * Where `path` (absolute) leads in `tree` once its symlinks are followed as inside a chroot: `..` and absolute targets
 * stay within the root. The last component is followed only with `followLast`. What does not exist is taken as written.
 * Throws FILE_UNKNOWN for a loop.
 */
export function resolvePath(
  tree: Pick<Tree, 'lookup'>,
  path: string,
  options: { readonly followLast: boolean },
): string {
  const rest = path.split('/').reverse()
  let resolved = ''
  let links = 0
  while (rest.length > 0) {
    const name = rest.pop() as string
    if (name === '' || name === '.') continue
    if (name === '..') {
      resolved = resolved.slice(0, Math.max(resolved.lastIndexOf('/'), 0))
      continue
    }
    const next = `${resolved}/${name}`
    const isLast = !options.followLast && rest.every((component) => component === '' || component === '.')
    const entry = isLast ? undefined : tree.lookup(next)
    if (entry?.type !== 'symlink') {
      resolved = next
      continue
    }
    if (++links > linkLimit) throw new CairnError('FILE_UNKNOWN', `${path}: too many levels of symbolic links`)
    if (entry.linkname.startsWith('/')) resolved = ''
    rest.push(...entry.linkname.split('/').reverse())
  }
  return resolved === '' ? '/' : resolved
}
