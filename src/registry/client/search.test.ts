import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { isCairnError } from '../../errors/error.ts'
import { failure, ScriptedRegistry, testClient } from './scripted-registry.ts'
import { searchRegistry } from './search.ts'

let registry: ScriptedRegistry
let client: ReturnType<typeof testClient>
beforeEach(() => {
  registry = new ScriptedRegistry()
  client = testClient()
})
afterEach(() => {
  registry[Symbol.dispose]()
  client[Symbol.dispose]()
})

describe('searchRegistry()', () => {
  test('asks docker’s search, and prints nothing that could move the cursor', async () => {
    registry.intercept = (_request, url) =>
      url.pathname === '/v1/search'
        ? Response.json({
            results: [
              { name: 'nginx', description: 'a \u001b[2Jserver', star_count: 7, is_official: true },
              { name: 'me/nginx' },
              { noname: 1 },
            ],
          })
        : undefined
    expect(await searchRegistry(client, registry.host, 'nginx', 5)).toEqual([
      { name: 'nginx', description: 'a  [2Jserver', stars: 7, isOfficial: true },
      { name: 'me/nginx', description: '', stars: 0, isOfficial: false },
    ])
    expect(registry.asked('GET')).toEqual(['/v1/search?q=nginx&n=5'])
  })

  test('looks through the catalog, page by page, where there is no search, and never at another host', async () => {
    registry.intercept = (_request, url) => {
      if (url.pathname !== '/v2/_catalog') return url.pathname === '/v2/' ? undefined : failure(404, 'UNSUPPORTED')
      if (url.searchParams.get('last') === 'end') return Response.json({ repositories: [] })
      if (url.searchParams.has('last'))
        return Response.json(
          { repositories: ['team/app-2'] },
          { headers: { Link: '<http://evil.example/v2/_catalog?last=end>; rel="next"' } },
        )
      return Response.json(
        { repositories: ['app', 'other'] },
        { headers: { Link: '</v2/_catalog?last=other>; rel="next"' } },
      )
    }
    const found = await searchRegistry(client, registry.host, 'app', 10)
    expect(found.map(({ name }) => name)).toEqual([`${registry.host}/app`, `${registry.host}/team/app-2`])
  })

  test('says that a registry cannot be searched', async () => {
    registry.intercept = (_request, url) => (url.pathname === '/v2/' ? undefined : failure(404, 'UNSUPPORTED'))
    const searched = searchRegistry(client, registry.host, 'app', 10)
    expect(await searched.catch((error: unknown) => isCairnError(error, 'NOT_SUPPORTED'))).toBe(true)
  })
})
