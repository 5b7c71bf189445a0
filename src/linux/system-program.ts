const systemDirectories = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/**
 * Where programs are looked up: in `path`, in `libexec`, where packages put programs that are for nobody's PATH, then where
 * systems have theirs, as the PATH of an ordinary user often lacks sbin. What is relative in `path` is left out: a context that
 * Cairn is called in brings no programs.
 */
export function searchPath(path: string | undefined, libexec = ''): string {
  return [absolute(path), libexec, systemDirectories].filter((places) => places !== '').join(':')
}

/** Absolute path of a program in the PATH of a user alone, in absolute directories of it; undefined where it is not there. */
export function userProgram(name: string, env: Readonly<Record<string, string | undefined>>): string | undefined {
  return Bun.which(name, { PATH: absolute(env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin') }) ?? undefined
}

function absolute(path = ''): string {
  return path
    .split(':')
    .filter((place) => place.startsWith('/'))
    .join(':')
}

/** Absolute path of a program in {@link searchPath}, undefined where it is not installed. `path` is that of this process. */
export function systemProgram(
  name: string,
  { path = process.env['PATH'], libexec }: { readonly path?: string | undefined; readonly libexec?: string } = {},
): string | undefined {
  return Bun.which(name, { PATH: searchPath(path, libexec) }) ?? undefined
}
