import { CairnError } from '../../errors/error.ts'

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or directory',
  EACCES: 'permission denied',
  EISDIR: 'it is a directory',
}

/** The text of a file that configures a server. Throws CONFIG_INVALID with its path and the reason. */
export async function readConfigFile(path: string): Promise<string> {
  try {
    return await Bun.file(path).text()
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unreadable'
    throw new CairnError('CONFIG_INVALID', `${path} cannot be read: ${reasons[code] ?? code}`, { cause })
  }
}
