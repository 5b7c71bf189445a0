import { CairnError } from '../../errors/error.ts'
import { SystemCallError } from '../../linux/errno.ts'
import { fstat, tryLstat, tryStat } from '../../linux/file-status.ts'
import { close, fdatasync, open, openFlags, tryLock, write } from '../../linux/files.ts'
import { changeOwner, makeDirectories, readLink, removeFile, rename } from '../../linux/names.ts'
import { readTextFile } from '../../linux/text-file.ts'
import { isJsonObject } from '../../oci/descriptor.ts'
import { eraseWithHelper, storeWithHelper } from './credential-helper.ts'
import { type CredentialPlaces, type Credentials, credentialKey, helperFor, readDockerConfig } from './credentials.ts'

/** Milliseconds that other processes may take to change the file. */
const longestTurn = 30_000

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
    await updateFile(path, (auths) => ({ ...auths, [key]: {} }))
    return { plainFile: undefined }
  }
  await updateFile(path, (auths) => ({ ...auths, [key]: entryOf(credentials) }))
  return { plainFile: path }
}

/** Forgets a registry's credentials; false where there were none. Throws as {@link storeCredentials}. */
export async function eraseCredentials(server: string, { configDir, env }: CredentialPlaces): Promise<boolean> {
  const path = configFile(configDir)
  const key = credentialKey(server)
  const config = readDockerConfig(path)
  const helper = helperFor(config, key)
  const names = Object.keys(config.auths).filter((name) => credentialKey(name) === key)
  const hadSecret = helper !== undefined && (await eraseWithHelper(helper, key, env))
  if (names.length === 0) return hadSecret
  await updateFile(path, (auths) => Object.fromEntries(Object.entries(auths).filter(([name]) => !names.includes(name))))
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

/** Replaces `auths` and leaves all else as it is; of several processes one after the other, so that each entry stays. */
async function updateFile(path: string, change: (auths: Auths) => Auths): Promise<void> {
  const file = resolveLinks(path)
  const directory = file.slice(0, file.lastIndexOf('/')) || '/'
  if (tryStat(directory) === undefined) makeDirectories(directory, 0o700)
  const lock = open(directory, openFlags.O_RDONLY | openFlags.O_DIRECTORY)
  try {
    const end = Date.now() + longestTurn
    while (!tryLock(lock, 'exclusive', directory)) {
      if (Date.now() > end)
        throw new CairnError('CREDENTIALS_INVALID', `another process does not end to change ${file}`)
      await Bun.sleep(5)
    }
    const found: unknown = JSON.parse(readTextFile(file)?.trim() || '{}')
    const config = isJsonObject(found) ? found : {}
    const before = isJsonObject(config['auths']) ? config['auths'] : {}
    // As docker writes it.
    replaceFile(file, JSON.stringify({ ...config, auths: change(before) }, undefined, '\t'))
  } finally {
    close(lock)
  }
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
  const temporary = `${path}.${process.pid}-${crypto.randomUUID().slice(0, 8)}.tmp`
  const fd = open(temporary, openFlags.O_WRONLY | openFlags.O_CREAT | openFlags.O_EXCL, 0o600)
  try {
    keepOwner(fd, path)
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

/** Who owns the file now can read it afterwards: root may log in for another user. */
function keepOwner(fd: number, path: string): void {
  const [before, own] = [tryStat(path), fstat(fd)]
  if (before === undefined || (before.uid === own.uid && before.gid === own.gid)) return
  try {
    changeOwner(fd, before.uid, before.gid, path)
  } catch (error) {
    // Who may not give files away replaces it by one of their own.
    if (!(error instanceof SystemCallError)) throw error
  }
}
