/**
 * The path of an archive member or hard link target relative to the root, cleaned as Go's path.Clean does: no leading
 * slash, no empty, `.` or `..` components; `''` is the root itself. Undefined for one that climbs out of the root.
 */
export function cleanMemberPath(path: string): string | undefined {
  const relative = path.startsWith('/') ? path.slice(1) : path
  if (!unclean.test(relative)) return relative
  const components: string[] = []
  for (const component of relative.split('/')) {
    if (component === '' || component === '.') continue
    if (component !== '..') components.push(component)
    else if (components.pop() === undefined) return undefined
  }
  return components.join('/')
}

/** An empty, `.` or `..` component. */
const unclean = /(?:^|\/)\.{0,2}(?:\/|$)/

/** The directory of a cleaned path: `''` for what stands in the root. */
export function parentPath(path: string): string {
  const slash = path.lastIndexOf('/')
  return slash < 0 ? '' : path.slice(0, slash)
}

/** The last component of a cleaned path. */
export function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}
