import { CairnError } from '../errors/error.ts'
import { basicAuthorization, type RemoteAccess, withoutUserInfo } from './access.ts'
import { findProgram, type GitSetting } from './git-process.ts'
import type { GitReference } from './git-reference.ts'

/** A repository as git is told of it. */
export interface GitRemote {
  /** Without credentials, so that it may be an argument, be kept and be shown. */
  readonly url: string
  /** Credentials, for this remote only. */
  readonly settings: readonly GitSetting[]
}

/**
 * The remote of a reference with the credentials that are for it: the secrets GIT_AUTH_HEADER.<host>,
 * GIT_AUTH_TOKEN.<host>, GIT_AUTH_HEADER, GIT_AUTH_TOKEN in this order, else the user info of its URL. Secrets that name
 * no host are not sent in the clear. Throws REFERENCE_INVALID for what git would take for an option, TOOL_MISSING.
 */
export function gitRemote({ remote, isAmbiguous }: GitReference, access: RemoteAccess): GitRemote {
  const text = isAmbiguous ? `https://${remote}` : remote
  const isUrl = text.includes('://')
  const url = isUrl && URL.canParse(text) ? new URL(text) : undefined
  const [host = '', path = ''] =
    url === undefined ? (/@([^:]*):(.*)$/s.exec(text)?.slice(1) ?? []) : [url.host, url.pathname]
  if (host.replace(/^.*@/, '') === '' || host.startsWith('-') || path.startsWith('-') || text.startsWith('-'))
    throw new CairnError('REFERENCE_INVALID', `invalid git URL: ${JSON.stringify(text)}`)
  if (url === undefined || url.protocol === 'ssh:') {
    findProgram('ssh', 'openssh-client', access.env)
    if (url !== undefined) url.password = ''
    return { url: url?.href ?? text, settings: [] }
  }
  const bare = withoutUserInfo(url).href
  if (url.protocol === 'git:') return { url: bare, settings: [] }
  const authorization = secretAuthorization(url, access) ?? basicAuthorization(url)
  if (authorization === undefined) return { url: bare, settings: [] }
  const scope = credentialScope(bare)
  return {
    url: bare,
    settings: [
      [`http.${scope}.extraHeader`, `Authorization: ${authorization}`],
      // Git would send the header along to wherever it is led.
      [`http.${scope}.followRedirects`, 'false'],
    ],
  }
}

function secretAuthorization({ host, protocol, hostname }: URL, { secret }: RemoteAccess): string | undefined {
  const read = (name: string): string | undefined => secret(name)?.trim()
  const basic = (token: string | undefined): string | undefined =>
    token === undefined ? undefined : `basic ${Buffer.from(`x-access-token:${token}`).toString('base64')}`
  const own = read(`GIT_AUTH_HEADER.${host}`) ?? basic(read(`GIT_AUTH_TOKEN.${host}`))
  if (own !== undefined) return own
  const isPrivate = protocol === 'https:' || hostname === 'localhost' || hostname === '127.0.0.1'
  return isPrivate ? (read('GIT_AUTH_HEADER') ?? basic(read('GIT_AUTH_TOKEN'))) : undefined
}

/** A token for one repository of github.com mostly is one for the others too, which submodules are of. */
function credentialScope(url: string): string {
  return /^https:\/\/(?:www\.)?github\.com\//.exec(url)?.[0] ?? url
}
