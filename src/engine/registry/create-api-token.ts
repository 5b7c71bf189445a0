import { CairnError } from '../../errors/error.ts'
import { close, fsync, open, openFlags, write } from '../../linux/files.ts'
import { formatApiToken, newApiToken, parseApiTokens } from '../../registry/access/api-tokens.ts'
import type { RepositoryAction } from '../../registry/access/rules.ts'

/** What a token is to be for. */
export interface ApiTokenRequest {
  readonly user: string
  readonly repositories: readonly string[]
  readonly allow: readonly RepositoryAction[]
  readonly expiresAt: Date | undefined
}

/**
 * Makes an API token and adds its digest to a file of tokens, which is made if need be. Throws CONFIG_INVALID where the
 * file is something else, USAGE for a name that cannot be used in a login.
 */
export async function createApiToken(path: string, request: ApiTokenRequest): Promise<string> {
  const { user, repositories, allow, expiresAt } = request
  if (!/^[\w.@-]{1,128}$/.test(user)) throw new CairnError('USAGE', `not a name of a user: ${JSON.stringify(user)}`)
  const file = Bun.file(path)
  const known = (await file.exists()) ? await file.text() : ''
  parseApiTokens(known, path)
  const token = newApiToken()
  const entry = formatApiToken(token, user, repositories, allow, expiresAt)
  // One write to the end: a server that reads meanwhile sees all of it or nothing.
  const fd = open(path, openFlags.O_WRONLY | openFlags.O_CREAT | openFlags.O_APPEND, 0o600)
  try {
    write(fd, new TextEncoder().encode(known === '' || known.endsWith('\n') ? entry : `\n${entry}`), path)
    fsync(fd, path)
  } finally {
    close(fd)
  }
  return token
}
