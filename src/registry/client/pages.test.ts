import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { isCairnError } from '../../errors/error.ts'
import { digestOf } from '../../oci/digest.ts'
import { mediaTypes } from '../../oci/media-types.ts'
import { parseReference } from '../../oci/reference.ts'
import { listRepositories } from './catalog.ts'
import type { RegistryClient } from './connection.ts'
import { Repository } from './repository.ts'
import { ScriptedRegistry, testClient } from './scripted-registry.ts'

let registry: ScriptedRegistry
let client: RegistryClient & Disposable
let repository: Repository

beforeEach(() => {
  registry = new ScriptedRegistry()
  client = testClient()
  const endpoint = client.hosts.endpointFor(parseReference(`${registry.host}/app`))
  repository = new Repository(client, endpoint, { name: 'app' })
})
afterEach(() => {
  registry[Symbol.dispose]()
  client[Symbol.dispose]()
})

async function all(list: AsyncIterable<unknown>): Promise<unknown> {
  const found: unknown[] = []
  try {
    for await (const one of list) found.push(one)
  } catch (error) {
    if (isCairnError(error)) return `${error.code}: ${error.message}`
    throw error
  }
  return found
}

/** Answers to lists with a page and, in `Link`, the next. */
function pages(answer: (url: URL) => { readonly body: object; readonly next?: string; readonly type?: string }): void {
  registry.intercept = (_request, url) => {
    if (url.pathname === '/v2/') return undefined
    const { body, next, type = 'application/json' } = answer(url)
    const link: Record<string, string> = next === undefined ? {} : { Link: `<${next}>; rel="next"` }
    return Response.json(body, { headers: { 'Content-Type': type, ...link } })
  }
}

describe('lists of a registry', () => {
  test('are read to the end at the registry itself where it does not know its own name', async () => {
    pages((url) =>
      url.searchParams.has('last')
        ? { body: { tags: ['2'] } }
        : { body: { tags: ['1'] }, next: 'http://registry.internal:8080/v2/app/tags/list?last=1' },
    )
    expect(await all(repository.tags())).toEqual(['1', '2'])
  })

  test('end with an error where their pages go round in a circle', async () => {
    const turn = (url: URL): string => `?last=${url.searchParams.get('last') === '1' ? 2 : 1}`
    const circle = /^REGISTRY_INVALID: the .* does not end: its pages lead back to \/v2\//
    pages((url) => ({ body: { tags: ['1'] }, next: turn(url) }))
    expect(await all(repository.tags())).toMatch(circle)
    pages((url) => ({ body: { repositories: ['app'] }, next: turn(url) }))
    const connection = client.connection(client.hosts.hostEndpoint(registry.host))
    expect(await all(listRepositories(connection, registry.host))).toMatch(circle)
    const entry = { mediaType: mediaTypes.ociManifest, digest: digestOf(new Uint8Array(3)), size: 3 }
    const body = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [entry] }
    pages((url) => ({ body, type: mediaTypes.ociIndex, next: turn(url) }))
    expect(await all(repository.referrers(entry.digest))).toMatch(circle)
    expect(registry.seen.length).toBeLessThan(20)
  })

  test('hold nothing that is no name: it could drive the terminal', async () => {
    for (const tag of ['a\u001b[2J', '../x', 'one\ntwo', '']) {
      pages(() => ({ body: { tags: ['good', tag] } }))
      expect(await all(repository.tags())).toMatch(/^REGISTRY_INVALID: [\d.:]+ lists "[ -~]*", which is no tag$/)
    }
    pages(() => ({ body: { repositories: ['a\u001b[2J'] } }))
    const connection = client.connection(client.hosts.hostEndpoint(registry.host))
    expect(await all(listRepositories(connection, registry.host))).toContain('lists "a [2J", which is no repository')
  })
})

describe('Repository.describe()', () => {
  test('asks for the manifest where HEAD is refused, or does not say all', async () => {
    const { target } = registry.putImage('app', '1')
    const answers = [
      () => new Response(null, { status: 405 }),
      () => new Response(null, { status: 501 }),
      () => new Response(null),
      () => new Response(null, { headers: { 'Docker-Content-Digest': target.digest, 'Content-Length': '300' } }),
    ]
    for (const answer of answers) {
      registry.intercept = ({ method }) => (method === 'HEAD' ? answer() : undefined)
      expect(await repository.describe('1')).toEqual(target)
    }
  })

  test('says of a manifest that is wrong which one it is', async () => {
    registry.putDocument('app', '1', new TextEncoder().encode('{}'), mediaTypes.ociManifest)
    const asked = await repository.document('1').catch((error: unknown) => String(error))
    expect(asked).toContain('manifest for app:1: ')
  })
})
