import { afterAll, describe, expect, test } from 'bun:test'
import { type ActionsCacheServer, startActionsCache } from '../../test/fixtures/actions-cache-server.ts'
import { isCairnError } from '../errors/error.ts'
import { ActionsCache } from './actions-cache.ts'

const double = startActionsCache()
afterAll(() => double.stop())

function cacheAt(server: ActionsCacheServer, version: 1 | 2): ActionsCache {
  const service = { url: new URL(server.url), token: server.token, version }
  return new ActionsCache(service, { timeout: 3000, signal: new AbortController().signal })
}

async function failure(attempt: () => Promise<unknown>): Promise<string> {
  try {
    await attempt()
  } catch (error) {
    if (isCairnError(error)) return `${error.code}: ${error.message}`
    throw error
  }
  return 'nothing'
}

describe.each([1, 2] as const)('ActionsCache, version %d of the API', (version) => {
  const cache = cacheAt(double, version)

  test('keeps an entry of many blocks, and gives it from anywhere on', async () => {
    const bytes = new Uint8Array(40 * 1024 * 1024).fill(7)
    bytes[35_000_000] = 9
    const key = `long-${version}`
    expect(await cache.add(key, new Blob([bytes]))).toBe(true)
    const entry = await cache.find(key)
    expect(entry?.key).toBe(key)
    if (entry === undefined) return
    const whole = await new Response(await cache.open(entry, 0)).bytes()
    expect(Bun.hash(whole)).toBe(Bun.hash(bytes))
    const tail = await new Response(await cache.open(entry, 35_000_000)).bytes()
    expect([tail[0], tail.length]).toEqual([9, bytes.length - 35_000_000])
  })

  test('adds no entry twice, and finds the newest by the beginning of its key', async () => {
    const data = new Blob(['data'])
    for (const number of [1, 2, 3]) expect(await cache.add(`index-${version}#${number}`, data)).toBe(true)
    expect(await cache.add(`index-${version}#3`, data)).toBe(false)
    expect((await cache.find(`index-${version}#`))?.key).toBe(`index-${version}#3`)
    expect(await cache.find(`none-${version}`)).toBeUndefined()
  })
})

test.each([
  [401, 'UNAUTHORIZED: the cache service at HOST answers 401: no ***'],
  [403, 'DENIED: the cache service at HOST answers 403: no ***'],
  [302, 'NETWORK: the cache service at HOST answers 302: no ***'],
])('find() tells of status %d without the token', async (status, message) => {
  const server = startActionsCache()
  try {
    server.intercept = () => Response.json({ msg: `no ${server.token}` }, { status, headers: { location: double.url } })
    const told = await failure(() => cacheAt(server, 2).find('key'))
    expect(told.replace(new URL(server.url).host, 'HOST')).toBe(message)
    expect(double.requests.some(({ hasToken, name }) => !hasToken && !name.includes('/blob/'))).toBe(false)
  } finally {
    server.stop()
  }
})

test('add() leaves the signed address out of its error', async () => {
  const server = startActionsCache()
  try {
    server.intercept = (_, { pathname }) =>
      pathname.startsWith('/blob/') ? new Response(null, { status: 403 }) : undefined
    const told = await failure(() => cacheAt(server, 2).add('key', new Blob(['data'])))
    expect(told.replace(new URL(server.url).host, 'HOST')).toBe(
      'NETWORK: the storage of the cache service at HOST answers 403',
    )
  } finally {
    server.stop()
  }
})

test.each([
  ['nonsense', 'CREDENTIALS_INVALID: token of the gha cache: it is no JWT'],
  [`a.${btoa('{}')}.c`, 'CREDENTIALS_INVALID: token of the gha cache: it has no expiry or no access controls'],
  [
    `a.${btoa('{"exp":9e9,"ac":"["}')}.c`,
    'CREDENTIALS_INVALID: token of the gha cache: its access controls are not JSON',
  ],
])('a token %s is refused', async (token, message) => {
  const open = () =>
    Promise.resolve(
      new ActionsCache(
        { url: new URL(double.url), version: 2, token },
        { timeout: 1, signal: new AbortController().signal },
      ),
    )
  expect(await failure(open)).toBe(message)
})
