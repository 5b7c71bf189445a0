/**
 * `path` from the root on, cleaned as Go's path.Clean does: `.` and double slashes go, `..` takes the element before it
 * and stops at the root. A relative path is taken as relative to the root.
 */
export function rootedPath(path: string): string {
  const parts: string[] = []
  for (const part of path.split('/')) {
    if (part === '' || part === '.') continue
    if (part === '..') parts.pop()
    else parts.push(part)
  }
  return `/${parts.join('/')}`
}

/** `path` where it is absolute, else `path` below `directory`; not cleaned. */
export function joinPath(directory: string, path: string): string {
  return path.startsWith('/') ? path : `${directory}/${path}`
}

/** The directory that holds `path`, which is absolute and clean. */
export function parentPath(path: string): string {
  const slash = path.lastIndexOf('/')
  return slash <= 0 ? '/' : path.slice(0, slash)
}

/** The last element of `path`; '' for the root. */
export function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}

/** `name` inside `directory`, which is absolute and clean. */
export function childPath(directory: string, name: string): string {
  return directory === '/' ? `/${name}` : `${directory}/${name}`
}
