import { CairnError } from '../../errors/error.ts'
import { readTextFile } from '../../linux/text-file.ts'
import { isJsonObject } from '../../oci/descriptor.ts'
import { getFromHelper } from './credential-helper.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** What a registry is told who asks: a password, or a token that stands for one. */
export type Credentials =
  | { readonly kind: 'password'; readonly username: string; readonly password: string }
  /** An identity token: exchanged for access tokens by OAuth 2. */
  | { readonly kind: 'identity'; readonly token: string }
  /** Sent to the registry as it is. */
  | { readonly kind: 'bearer'; readonly token: string }

/** The name under which docker keeps Docker Hub's credentials. */
export const hubKey = 'https://index.docker.io/v1/'

/** Names that all mean Docker Hub. */
const hubNames: ReadonlySet<string> = new Set(['docker.io', 'index.docker.io', 'registry-1.docker.io'])

/** The key of docker's config.json for a registry as users write it (`https://host/v2/` is `host`). */
export function credentialKey(server: string): string {
  const host = hostOfKey(server)
  return hubNames.has(host) ? hubKey : host
}

/** Where credentials are looked for. */
export interface CredentialPlaces {
  /** Folder of docker's config.json. */
  readonly configDir: string
  readonly env: Environment
}

/** The parts of docker's config.json (and containers-auth.json(5)) that are about registries. */
export interface DockerConfig {
  readonly auths: Readonly<Record<string, unknown>>
  readonly credsStore: string | undefined
  readonly credHelpers: Readonly<Record<string, string>>
  /** Of `HttpHeaders` those that docker passes on to registries: `X-Meta-…`. */
  readonly headers: Readonly<Record<string, string>>
}

/** Credentials of registries, each looked up once: a helper may have to ask its user. */
export class CredentialStore {
  readonly #places: CredentialPlaces
  readonly #known = new Map<string, Promise<Credentials | undefined>>()
  #config: DockerConfig | undefined

  constructor(places: CredentialPlaces) {
    this.#places = places
  }

  /** docker's config.json. Throws CREDENTIALS_INVALID for one that cannot be read. */
  get config(): DockerConfig {
    this.#config ??= readDockerConfig(`${this.#places.configDir}/config.json`)
    return this.#config
  }

  /**
   * Credentials for a repository of a registry: $DOCKER_AUTH_CONFIG, $REGISTRY_AUTH_FILE, docker's config.json with its
   * helpers, then podman's auth.json. Throws CREDENTIALS_INVALID.
   */
  async for(host: string, repository: string): Promise<Credentials | undefined> {
    const key = `${host}/${repository}`
    let found = this.#known.get(key)
    if (found === undefined) this.#known.set(key, (found = this.#find(host, repository)))
    return await found
  }

  async #find(host: string, repository: string): Promise<Credentials | undefined> {
    const { env } = this.#places
    const { DOCKER_AUTH_CONFIG: inline, REGISTRY_AUTH_FILE: chosen } = env
    if (inline !== undefined && inline !== '') {
      const found = fromAuths(parseDockerConfig(inline, 'DOCKER_AUTH_CONFIG').auths, host, repository)
      if (found !== undefined) return found
    }
    const files = chosen !== undefined && chosen !== '' ? [readDockerConfig(chosen)] : []
    files.push(this.config, ...podmanFiles(env).map(readDockerConfig))
    for (const config of files) {
      const found = (await this.#fromHelpers(config, host)) ?? fromAuths(config.auths, host, repository)
      if (found !== undefined) return found
    }
    return undefined
  }

  async #fromHelpers(config: DockerConfig, host: string): Promise<Credentials | undefined> {
    const key = credentialKey(host)
    const helper = helperFor(config, key)
    return helper === undefined ? undefined : await getFromHelper(helper, key, this.#places.env)
  }
}

/** The credential helper that has the credentials under `key`: the one for it, else that for all. */
export function helperFor({ credHelpers, credsStore }: DockerConfig, key: string): string | undefined {
  const names = key === hubKey ? [hubKey, 'docker.io', 'index.docker.io'] : [key]
  const own = names.find((name) => Object.hasOwn(credHelpers, name))
  return own === undefined ? credsStore : credHelpers[own]
}

function podmanFiles({ XDG_RUNTIME_DIR: runtime, XDG_CONFIG_HOME: configHome, HOME: home }: Environment): string[] {
  const config = configHome !== undefined && configHome !== '' ? configHome : `${home ?? '/root'}/.config`
  const runtimeFile = runtime !== undefined && runtime !== '' ? `${runtime}/containers/auth.json` : undefined
  return [...(runtimeFile === undefined ? [] : [runtimeFile]), `${config}/containers/auth.json`]
}

/** Reads docker's config.json or what has its form; nothing of it where there is no file. Throws CREDENTIALS_INVALID. */
export function readDockerConfig(path: string): DockerConfig {
  return parseDockerConfig(readTextFile(path) ?? '{}', path)
}

function parseDockerConfig(text: string, where: string): DockerConfig {
  let value: unknown
  try {
    value = text.trim() === '' ? {} : JSON.parse(text)
  } catch {
    // The parser's own message quotes the text, which holds credentials.
    throw invalid(where, 'it is not JSON')
  }
  if (!isJsonObject(value)) throw invalid(where, 'it is not a JSON object')
  // null is as good as not there, as docker reads it.
  const [auths, credsStore] = [value['auths'] ?? {}, value['credsStore'] ?? '']
  if (!isJsonObject(auths)) throw invalid(where, 'auths is not an object')
  if (typeof credsStore !== 'string') throw invalid(where, 'credsStore is not text')
  return {
    auths,
    credsStore: credsStore === '' ? undefined : credsStore,
    credHelpers: textMap(value['credHelpers'] ?? {}, where, 'credHelpers'),
    headers: Object.fromEntries(
      Object.entries(textMap(value['HttpHeaders'] ?? {}, where, 'HttpHeaders')).filter(([name]) =>
        /^x-meta-[\w-]+$/i.test(name),
      ),
    ),
  }
}

function textMap(value: unknown, where: string, name: string): Readonly<Record<string, string>> {
  if (!isJsonObject(value) || Object.values(value).some((one) => typeof one !== 'string'))
    throw invalid(where, `${name} is not an object of texts`)
  return value as Readonly<Record<string, string>>
}

/**
 * The entry for a repository: of keys with a path (`host/namespace`) the longest that leads to it, else that of the host.
 */
function fromAuths(
  auths: Readonly<Record<string, unknown>>,
  host: string,
  repository: string,
): Credentials | undefined {
  const wanted = credentialKey(host) === hubKey ? 'docker.io' : host
  const parts = repository === '' ? [] : repository.split('/')
  const byName = new Map(Object.entries(auths).map(([key, entry]) => [normalizedKey(key), entry]))
  for (let length = parts.length; length >= 0; length--) {
    const name = [wanted, ...parts.slice(0, length)].join('/')
    const found = parseEntry(byName.get(name), name)
    if (found !== undefined) return found
  }
  return undefined
}

/** `https://index.docker.io/v1/` is `docker.io`, `https://host/v2/` is `host`; `host/namespace` stays. */
function normalizedKey(key: string): string {
  const bare = key.replace(/^https?:\/\//, '').replace(/\/+$/, '')
  const named = /^[^/]+\/v[12]$/.test(bare) ? hostOfKey(bare) : bare
  const slash = named.indexOf('/')
  const host = slash < 0 ? named : named.slice(0, slash)
  return `${hubNames.has(host) ? 'docker.io' : host}${slash < 0 ? '' : named.slice(slash)}`
}

function hostOfKey(key: string): string {
  const bare = key.replace(/^https?:\/\//, '')
  const slash = bare.indexOf('/')
  return slash < 0 ? bare : bare.slice(0, slash)
}

function parseEntry(entry: unknown, name: string): Credentials | undefined {
  if (!isJsonObject(entry)) return undefined
  const { auth, username, password, identitytoken, registrytoken } = entry
  if (typeof identitytoken === 'string' && identitytoken !== '') return { kind: 'identity', token: identitytoken }
  if (typeof registrytoken === 'string' && registrytoken !== '') return { kind: 'bearer', token: registrytoken }
  if (typeof auth === 'string' && auth !== '') return decodeAuth(auth, name)
  if (typeof username === 'string' && typeof password === 'string' && username !== '')
    return { kind: 'password', username, password }
  return undefined
}

function decodeAuth(auth: string, name: string): Credentials {
  // docker cuts NUL bytes off, which old versions appended.
  const text = Buffer.from(auth, 'base64').toString('utf8').replace(/\0+$/, '')
  const colon = text.indexOf(':')
  if (colon <= 0) throw invalid(name, 'auth is not base64 of USER:PASSWORD')
  return { kind: 'password', username: text.slice(0, colon), password: text.slice(colon + 1) }
}

function invalid(where: string, why: string): CairnError {
  return new CairnError('CREDENTIALS_INVALID', `registry credentials in ${where}: ${why}`)
}
