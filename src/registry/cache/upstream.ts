import { CairnError, isCairnError } from '../../errors/error.ts'
import { RegistryClient } from '../client/connection.ts'
import { Repository } from '../client/repository.ts'

/** A registry whose content is cached. */
export interface UpstreamOptions {
  /** Repositories below this name are those of the upstream; empty for all. */
  readonly prefix: string
  readonly url: URL
  readonly credentials: { readonly username: string; readonly password: string } | undefined
  /** How long a tag counts as right without asking, in milliseconds. */
  readonly ttl: number
  /** How long content is kept that nobody asks for, in milliseconds; undefined keeps it. */
  readonly keep: number | undefined
  /** Milliseconds before a failed request is sent again; for tests. */
  readonly firstPause?: number
}

export interface UpstreamSurroundings {
  readonly env: Readonly<Record<string, string | undefined>>
  readonly signal: AbortSignal
}

/** How long an upstream is left alone that has had too many requests, in milliseconds. */
const pauseTime = 60_000
/** No directory, so that nothing of the machine's own log-ins is read. */
const nowhere = '/nonexistent'

/** One registry whose content is cached. It gets its own credentials and no others, and nobody else gets them. */
export class Upstream {
  readonly options: UpstreamOptions
  readonly #client: RegistryClient
  #pausedUntil = 0

  constructor(options: UpstreamOptions, { env, signal }: UpstreamSurroundings) {
    this.options = options
    const { credentials, url, firstPause } = options
    const auths = credentials === undefined ? {} : { [url.host]: credentials }
    this.#client = new RegistryClient({
      configDir: nowhere,
      env: {
        ...env,
        DOCKER_AUTH_CONFIG: JSON.stringify({ auths }),
        REGISTRY_AUTH_FILE: undefined,
        HOME: nowhere,
        XDG_CONFIG_HOME: undefined,
        XDG_RUNTIME_DIR: undefined,
      },
      signal,
      firstPause,
    })
  }

  /** Whether the cache's repository of this name is one of the upstream's. */
  covers(name: string): boolean {
    const { prefix } = this.options
    return prefix === '' || name.startsWith(`${prefix}/`)
  }

  /** Throws TOOMANYREQUESTS for a while after the upstream has said so. */
  checkPause(): void {
    if (Date.now() < this.#pausedUntil)
      throw new CairnError('TOOMANYREQUESTS', `${this.options.url.host} has had too many requests`)
  }

  /** Takes note of a failure: an upstream that had too many requests is left alone. */
  note(error: unknown): void {
    if (isCairnError(error, 'TOOMANYREQUESTS') && Date.now() >= this.#pausedUntil)
      this.#pausedUntil = Date.now() + pauseTime
  }

  /** The upstream's repository that the cache's one stands for. */
  repository(name: string): Repository {
    const { prefix, url } = this.options
    const path = prefix === '' ? name : name.slice(prefix.length + 1)
    const endpoint = { host: url.host, path, isInsecure: url.protocol === 'http:', isMirror: false }
    return new Repository(this.#client, endpoint, { name: `${url.host}/${path}` })
  }
}
