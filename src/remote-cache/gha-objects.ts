import type { BlobIdentity } from '../content/blobs.ts'
import { CairnError } from '../errors/error.ts'
import { type Digest, digestHex, digestOf } from '../oci/digest.ts'
import { collect } from '../streams/source.ts'
import { ActionsCache, type ActionsEntry } from './actions-cache.ts'
import { largestCacheConfig } from './cache-document.ts'
import type { GhaPlace } from './gha-options.ts'
import type { CacheObjects } from './object-place.ts'

/** Milliseconds that another writer of the document is waited for, and how often it is looked for. */
const longestWait = 15_000
const waitInterval = 2000

/**
 * The objects of a cache at GitHub's cache service, named as BuildKit names them. Entries there are never replaced: the
 * document has a number behind its name that grows. Throws CREDENTIALS_INVALID, and CONFIG_INVALID outside of GitHub
 * Actions.
 */
export function ghaObjects(place: GhaPlace, signal: AbortSignal): CacheObjects {
  const { service, timeout, scope } = place
  if (service === undefined)
    throw new CairnError('CONFIG_INVALID', 'there is no cache service of GitHub Actions here', {
      hint: 'ACTIONS_RUNTIME_TOKEN and ACTIONS_RESULTS_URL name it to actions; docker/build-push-action or crazy-max/ghaction-github-runtime pass them on.',
    })
  return new GhaObjects(new ActionsCache(service, { timeout, signal }), scope)
}

class GhaObjects implements CacheObjects {
  readonly #cache: ActionsCache
  readonly #scope: string
  readonly #entries = new Map<Digest, ActionsEntry>()

  constructor(cache: ActionsCache, scope: string) {
    this.#cache = cache
    this.#scope = scope
  }

  async documents(): Promise<readonly Uint8Array<ArrayBuffer>[]> {
    const found = await Promise.all(
      this.#cache.scopes.map(async ({ name }) => {
        const entry = await this.#cache.find(this.#documentKey(name))
        const body = entry === undefined ? undefined : await this.#cache.open(entry, 0)
        return body === undefined ? [] : [await collect(body, largestCacheConfig, 'the document of the cache')]
      }),
    )
    return found.flat()
  }

  async replaceDocument(bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    const scope = this.#cache.scopes.findLast(({ isWritable }) => isWritable)
    if (scope === undefined)
      throw new CairnError('DENIED', 'the token of the gha cache allows no writing', {
        hint: 'Jobs of pull requests from forks may only read; ignore-error=true lets the build go on.',
      })
    const key = this.#documentKey(scope.name)
    const deadline = Date.now() + longestWait
    for (;;) {
      let number = await this.#newest(key)
      // Past the deadline whoever holds the next number is taken for dead.
      do if (await this.#cache.add(`${key}${++number}`, new Blob([bytes]))) return
      while (Date.now() > deadline && number < Number.MAX_SAFE_INTEGER)
      await Bun.sleep(waitInterval)
    }
  }

  async has({ digest }: BlobIdentity): Promise<boolean> {
    return (await this.#find(digest)) !== undefined
  }

  async open(digest: Digest, start: number): Promise<ReadableStream<Uint8Array> | undefined> {
    const entry = await this.#find(digest)
    const body = entry === undefined ? undefined : await this.#cache.open(entry, start)
    if (body !== undefined || entry === undefined) return body
    // Addresses hold for some minutes only.
    this.#entries.delete(digest)
    const again = await this.#find(digest)
    return again === undefined ? undefined : await this.#cache.open(again, start)
  }

  async put({ digest }: BlobIdentity, data: Blob): Promise<void> {
    await this.#cache.add(blobKey(digest), data)
  }

  async #find(digest: Digest): Promise<ActionsEntry | undefined> {
    const known = this.#entries.get(digest)
    if (known !== undefined) return known
    const key = blobKey(digest)
    const entry = await this.#cache.find(key)
    // The service finds by what keys begin with.
    if (entry?.key !== key) return undefined
    this.#entries.set(digest, entry)
    return entry
  }

  /** The highest number of a document; 0 where there is none. */
  async #newest(key: string): Promise<number> {
    const entry = await this.#cache.find(key)
    if (entry === undefined) return 0
    const number = entry.key.startsWith(key) ? Number(entry.key.slice(key.length)) : Number.NaN
    if (!Number.isSafeInteger(number))
      throw new CairnError('CACHE_INVALID', `the cache's entry ${entry.key} has no number`)
    return number
  }

  /** Of the scope of the cache and that of the service, with which numbers begin. */
  #documentKey(scope: string): string {
    return `index-${this.#scope}-1-${digestHex(digestOf(scope)).slice(0, 8)}#`
  }
}

function blobKey(digest: Digest): string {
  return `buildkit-blob-1-${digest}`
}
