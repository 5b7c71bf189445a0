const systemDirectories = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/**
 * Where programs are looked up: in `path`, in `libexec`, where packages put programs that are for nobody's PATH, then where
 * systems have theirs, as the PATH of an ordinary user often lacks sbin.
 */
export function searchPath(path: string | undefined, libexec = ''): string {
  return [path, libexec, systemDirectories].filter((places) => places !== undefined && places !== '').join(':')
}

/** Absolute path of a program in {@link searchPath}, undefined where it is not installed. `path` is that of this process. */
export function systemProgram(
  name: string,
  { path = process.env['PATH'], libexec }: { readonly path?: string | undefined; readonly libexec?: string } = {},
): string | undefined {
  return Bun.which(name, { PATH: searchPath(path, libexec) }) ?? undefined
}
