import { CairnError } from '../../errors/error.ts'
import { SystemCallError } from '../../linux/errno.ts'
import { tryLstat, tryStat } from '../../linux/file-status.ts'
import { close, fdatasync, open, openFlags, write } from '../../linux/files.ts'
import { makeDirectories, readLink, removeFile, rename } from '../../linux/names.ts'
import { readTextFile } from '../../linux/text-file.ts'
import { isJsonObject } from '../../oci/descriptor.ts'
import { eraseWithHelper, storeWithHelper } from './credential-helper.ts'
import { type CredentialPlaces, type Credentials, credentialKey, helperFor, readDockerConfig } from './credentials.ts'

/** Where credentials went. */
export interface StoredCredentials {
  /** The file that now holds them as good as readable; undefined where a helper keeps them. */
  readonly plainFile: string | undefined
}

/**
 * Keeps credentials of a registry (as users write it): with the helper that is configured for it, else in docker's
 * config.json, which only its owner can read and which is replaced as a whole. Throws CREDENTIALS_INVALID,
 * SystemCallError.
 */
export async function storeCredentials(
  server: string,
  credentials: Exclude<Credentials, { kind: 'bearer' }>,
  { configDir, env }: CredentialPlaces,
): Promise<StoredCredentials> {
  const path = configFile(configDir)
  const key = credentialKey(server)
  const helper = helperFor(readDockerConfig(path), key)
  if (helper !== undefined) {
    await storeWithHelper(helper, key, credentials, env)
    updateFile(path, (auths) => ({ ...auths, [key]: {} }))
    return { plainFile: undefined }
  }
  updateFile(path, (auths) => ({ ...auths, [key]: entryOf(credentials) }))
  return { plainFile: path }
}

/** Forgets a registry's credentials; false where there were none. Throws as {@link storeCredentials}. */
export async function eraseCredentials(server: string, { configDir, env }: CredentialPlaces): Promise<boolean> {
  const path = configFile(configDir)
  const key = credentialKey(server)
  const config = readDockerConfig(path)
  const helper = helperFor(config, key)
  const names = Object.keys(config.auths).filter((name) => credentialKey(name) === key)
  if (helper !== undefined) await eraseWithHelper(helper, key, env)
  if (names.length === 0) return false
  updateFile(path, (auths) => Object.fromEntries(Object.entries(auths).filter(([name]) => !names.includes(name))))
  return true
}

function configFile(configDir: string): string {
  return `${configDir}/config.json`
}

function entryOf(credentials: Exclude<Credentials, { kind: 'bearer' }>): Readonly<Record<string, string>> {
  if (credentials.kind === 'identity') return { identitytoken: credentials.token }
  const { username, password } = credentials
  return { auth: Buffer.from(`${username}:${password}`).toString('base64') }
}

type Auths = Readonly<Record<string, unknown>>

/** Replaces `auths` and leaves all else as it is. */
function updateFile(path: string, change: (auths: Auths) => Auths): void {
  const found: unknown = JSON.parse(readTextFile(path) || '{}')
  const config = isJsonObject(found) ? found : {}
  const before = isJsonObject(config['auths']) ? config['auths'] : {}
  // As docker writes it.
  const text = JSON.stringify({ ...config, auths: change(before) }, undefined, '\t')
  replaceFile(resolveLinks(path), text)
}

/** The file itself: whoever keeps the configuration elsewhere has a symlink here. */
function resolveLinks(path: string): string {
  let at = path
  for (let hops = 0; hops < 40 && tryLstat(at)?.type === 'symlink'; hops++) {
    const target = readLink(at)
    at = target.startsWith('/') ? target : `${at.slice(0, at.lastIndexOf('/'))}/${target}`
  }
  return at
}

function replaceFile(path: string, text: string): void {
  const directory = path.slice(0, path.lastIndexOf('/')) || '/'
  if (tryStat(directory) === undefined) makeDirectories(directory, 0o700)
  const temporary = `${path}.${process.pid}-${crypto.randomUUID().slice(0, 8)}.tmp`
  const fd = open(temporary, openFlags.O_WRONLY | openFlags.O_CREAT | openFlags.O_EXCL, 0o600)
  try {
    write(fd, new TextEncoder().encode(text), path)
    fdatasync(fd, path)
    rename(temporary, path)
  } catch (error) {
    removeFile(temporary)
    if (!(error instanceof SystemCallError)) throw error
    throw new CairnError('CREDENTIALS_INVALID', `cannot write ${path}: ${error.message}`, { cause: error })
  } finally {
    close(fd)
  }
}
