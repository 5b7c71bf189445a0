import { afterAll, afterEach, beforeAll, describe, expect, test } from 'bun:test'
import { type AccessSources, controlAccess } from '../access/access-control.ts'
import { formatApiToken, parseApiTokens } from '../access/api-tokens.ts'
import type { Passwords } from '../access/htpasswd.ts'
import type { Rule } from '../access/rules.ts'
import { imageManifest, pushBlob, refusal, startTestRegistry, type TestRegistry } from './registry-fixtures.ts'

const all = ['pull', 'push', 'overwrite', 'delete'] as const
const rules: readonly Rule[] = [
  { repositories: ['public/**'], users: [], isAnonymous: true, allow: ['pull'] },
  { repositories: ['**'], users: ['admin'], isAnonymous: false, allow: all },
  { repositories: ['team/**'], users: ['ann'], isAnonymous: false, allow: ['pull', 'push'] },
  { repositories: ['team/**', 'other/**'], users: ['bob'], isAnonymous: false, allow: ['pull'] },
]
const apiToken = 'cairn_0123456789'
const apiTokens = parseApiTokens(formatApiToken(apiToken, 'admin', ['team/**'], ['pull'], undefined), 'tokens')
let passwords: Passwords
beforeAll(async () => {
  const entries = ['admin', 'ann', 'bob', 'eve'].map(
    async (name) => [name, await Bun.password.hash(`${name}s`, { algorithm: 'bcrypt', cost: 4 })] as const,
  )
  passwords = new Map(await Promise.all(entries))
})

function start(scheme: 'basic' | 'token', changes: Partial<AccessSources> = {}): TestRegistry {
  const access = controlAccess({
    passwords: () => Promise.resolve(passwords),
    apiTokens: () => Promise.resolve(apiTokens),
    rules: () => Promise.resolve(rules),
    scheme,
    service: 'test',
    realm: undefined,
    key: new Uint8Array(32).fill(1),
    tokenLifetime: 300,
    ...changes,
  })
  return startTestRegistry({}, undefined, access)
}

const basic = (name: string, password = `${name}s`) => ({ authorization: `Basic ${btoa(`${name}:${password}`)}` })
const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
const { text: manifest, digest } = imageManifest()

describe('rights by verb', () => {
  let registry: TestRegistry
  beforeAll(async () => {
    registry = start('basic')
    for (const name of ['public/a', 'team/a', 'other/a', 'secret/a'])
      await registry.fetch(`/v2/${name}/manifests/t`, {
        method: 'PUT',
        body: new Blob([manifest]),
        headers: basic('admin'),
      })
  })
  afterAll(() => registry[Symbol.asyncDispose]())

  const statusOf = async (user: string | undefined, method: string, path: string) => {
    const headers = user === undefined ? {} : basic(user)
    const body = method === 'PUT' ? { body: new Blob([manifest]) } : {}
    return (await registry.fetch(path, { method, headers, ...body })).status
  }

  // [path, method, nobody, eve (no rights), bob (pull), ann (pull and push), admin]
  const pull = (name: string) => [
    ['GET', `/v2/${name}/manifests/t`],
    ['HEAD', `/v2/${name}/manifests/t`],
    ['GET', `/v2/${name}/manifests/${digest}`],
    ['GET', `/v2/${name}/tags/list`],
    ['GET', `/v2/${name}/referrers/${digest}`],
  ]
  test.each([
    ['public/a', 200, 200, 200, 200],
    ['team/a', 401, 403, 200, 200],
    ['other/a', 401, 403, 200, 403],
    ['secret/a', 401, 403, 403, 403],
    ['never/was', 401, 403, 403, 403],
  ])('pull from %s', async (name, nobody, eve, bob, ann) => {
    for (const [method = '', path = ''] of pull(name)) {
      expect(await statusOf(undefined, method, path)).toBe(nobody)
      expect(await statusOf('eve', method, path)).toBe(eve)
      expect(await statusOf('bob', method, path)).toBe(bob)
      expect(await statusOf('ann', method, path)).toBe(ann)
    }
  })

  test.each([
    ['PUT', 'manifests/new', 201],
    ['PUT', 'manifests/t', 201],
    ['PUT', `manifests/${digest}?tag=t`, 201],
    ['POST', 'blobs/uploads/', 202],
    ['POST', `blobs/uploads/?mount=${digest}&from=secret/a`, 202],
    ['GET', 'blobs/uploads/some-id', 404],
    ['PATCH', 'blobs/uploads/some-id', 404],
    ['PUT', `blobs/uploads/some-id?digest=${digest}`, 404],
    ['DELETE', 'blobs/uploads/some-id', 404],
  ])('%s %s is a push', async (method, path, allowed) => {
    for (const [user, status] of [
      [undefined, 401],
      ['eve', 403],
      ['bob', 403],
      ['ann', allowed],
    ] as const)
      expect(await statusOf(user, method, `/v2/team/a/${path}`)).toBe(status)
    expect(await statusOf('ann', method, `/v2/public/a/${path}`)).toBe(403)
  })

  test('a tag is moved by who may overwrite, under whatever name it is pushed', async () => {
    const other = imageManifest({ annotations: { other: 'yes' } })
    const put = (user: string, reference: string, text: string) =>
      registry.fetch(`/v2/team/moved/manifests/${reference}`, {
        method: 'PUT',
        body: new Blob([text]),
        headers: basic(user),
      })
    for (const reference of ['latest', 'v1']) expect((await put('ann', reference, manifest)).status).toBe(201)
    expect((await put('ann', 'latest', manifest)).status).toBe(201)
    for (const reference of ['latest', 'v1', `${other.digest}?tag=new&tag=v1`]) {
      const refused = await put('ann', reference, other.text)
      expect(await refusal(refused)).toEqual({ status: 403, code: 'DENIED' })
    }
    const tags = await registry.fetch('/v2/team/moved/tags/list', { headers: basic('ann') })
    expect(await tags.json()).toEqual({ name: 'team/moved', tags: ['latest', 'v1'] })
    expect((await put('ann', 'v2', other.text)).status).toBe(201)
    expect((await put('admin', 'latest', other.text)).status).toBe(201)
  })

  test('DELETE needs its own right', async () => {
    for (const path of ['manifests/new', `manifests/${digest}`, `blobs/${digest}`])
      for (const [user, status] of [
        [undefined, 401],
        ['bob', 403],
        ['ann', 403],
      ] as const)
        expect(await statusOf(user, 'DELETE', `/v2/team/a/${path}`)).toBe(status)
    expect(await statusOf('admin', 'DELETE', `/v2/team/a/manifests/${digest}`)).toBe(202)
  })

  test('the catalog shows each what they may pull', async () => {
    const list = async (user: string) => {
      const response = await registry.fetch('/v2/_catalog?n=2', { headers: basic(user) })
      return ((await response.json()) as { repositories: string[] }).repositories
    }
    expect(await list('admin')).toEqual(['other/a', 'public/a'])
    expect(await list('ann')).toEqual(['public/a', 'team/a'])
    expect(await list('eve')).toEqual(['public/a'])
    expect((await registry.fetch('/v2/_catalog')).status).toBe(401)
  })

  test('a mount needs the right to pull from where it comes', async () => {
    const path = '/v2/secret/a/blobs/uploads/'
    const blob = await registry.fetch(`${path}?digest=${digest}`, {
      method: 'POST',
      body: new Blob([manifest]),
      headers: basic('admin'),
    })
    expect(blob.status).toBe(201)
    const mount = async (user: string, query: string) => {
      const init = { method: 'POST', headers: basic(user) }
      return (await registry.fetch(`/v2/team/${user}/blobs/uploads/?mount=${digest}${query}`, init)).status
    }
    expect(await mount('ann', '&from=secret/a')).toBe(202)
    expect(await mount('ann', '')).toBe(202)
    expect(await mount('admin', '&from=secret/a')).toBe(201)
    expect(await mount('ann', '&from=team/admin')).toBe(201)
  })

  test('an upload is known to who began it only', async () => {
    const begun = await registry.fetch('/v2/team/a/blobs/uploads/', { method: 'POST', headers: basic('ann') })
    const location = begun.headers.get('location') ?? ''
    for (const method of ['GET', 'PATCH', 'PUT', 'DELETE']) {
      const path = method === 'PUT' ? `${location}?digest=${digest}` : location
      expect((await registry.fetch(path, { method, headers: basic('admin') })).status).toBe(404)
    }
    expect((await registry.fetch(location, { headers: basic('ann') })).status).toBe(204)
  })

  test('the base wants to know who asks, and names how', async () => {
    const response = await registry.fetch('/v2/')
    expect(response.headers.get('www-authenticate')).toBe('Basic realm="test"')
    expect(await refusal(response)).toEqual({ status: 401, code: 'UNAUTHORIZED' })
    expect((await registry.fetch('/v2/', { headers: basic('eve') })).status).toBe(200)
    expect((await registry.fetch('/healthz')).status).toBe(200)
    expect((await registry.fetch('/token')).status).toBe(404)
  })

  test.each([
    'Basic',
    'Basic !!!',
    `Basic ${btoa('nocolon')}`,
    `Basic ${btoa('ann:wrong')}`,
    `Basic ${btoa('nobody:nobodys')}`,
    'Bearer x.y.z',
    'Bearer cairn_unknown',
    'Digest x',
  ])('%s is refused', async (authorization) => {
    expect((await registry.fetch('/v2/public/a/manifests/t', { headers: { authorization } })).status).toBe(401)
  })

  test('an API token does what it is for, as a password or a bearer token', async () => {
    for (const headers of [basic('anything', apiToken), bearer(apiToken)]) {
      expect((await registry.fetch('/v2/team/a/tags/list', { headers })).status).toBe(200)
      expect((await registry.fetch('/v2/secret/a/tags/list', { headers })).status).toBe(403)
      expect((await registry.fetch('/v2/team/a/blobs/uploads/', { method: 'POST', headers })).status).toBe(403)
    }
  })
})

describe('the token server', () => {
  let registry: TestRegistry
  afterEach(() => registry[Symbol.asyncDispose]())

  const tokenFor = async (headers: Record<string, string>, scopes: readonly string[]) => {
    const query = ['service=test', ...scopes.map((scope) => `scope=${encodeURIComponent(scope)}`)].join('&')
    const response = await registry.fetch(`/token?${query}`, { headers })
    expect(response.status).toBe(200)
    expect(response.headers.get('cache-control')).toBe('no-store')
    const reply = (await response.json()) as { token: string; access_token: string; expires_in: number }
    expect(reply.access_token).toBe(reply.token)
    expect(reply.expires_in).toBe(300)
    return reply.token
  }
  const accessOf = (token: string) =>
    (JSON.parse(atob((token.split('.')[1] ?? '').replaceAll('-', '+').replaceAll('_', '/'))) as { access: unknown })
      .access

  test('is named in the challenge, with the scope that is needed', async () => {
    registry = start('token')
    const { origin } = registry.server.url
    const challenge = async (method: string, path: string) =>
      (await registry.fetch(path, { method })).headers.get('www-authenticate')
    expect(await challenge('GET', '/v2/')).toBe(`Bearer realm="${origin}/token",service="test"`)
    expect(await challenge('GET', '/v2/team/a/tags/list')).toBe(
      `Bearer realm="${origin}/token",service="test",scope="repository:team/a:pull"`,
    )
    expect(await challenge('POST', '/v2/team/a/blobs/uploads/')).toContain('scope="repository:team/a:pull,push"')
    expect(await challenge('DELETE', '/v2/team/a/manifests/t')).toContain('scope="repository:team/a:delete"')
    expect(await challenge('GET', '/v2/_catalog')).toContain('scope="registry:catalog:*"')
  })

  test('gives the part of what is asked for that is allowed', async () => {
    registry = start('token')
    expect(
      accessOf(await tokenFor(basic('ann'), ['repository:team/a:pull,push,delete', 'repository:other/a:pull'])),
    ).toEqual([{ type: 'repository', name: 'team/a', actions: ['pull', 'push'] }])
    expect(accessOf(await tokenFor({}, ['repository:public/a:*', 'repository:team/a:pull', 'nonsense']))).toEqual([
      { type: 'repository', name: 'public/a', actions: ['pull'] },
    ])
    for (const headers of [basic('ann', 'wrong'), bearer('x')])
      expect((await registry.fetch('/token', { headers })).status).toBe(401)
  })

  test('takes a form with a password', async () => {
    registry = start('token')
    const post = (fields: Record<string, string>) =>
      registry.fetch('/token', {
        method: 'POST',
        body: new URLSearchParams({ scope: 'repository:team/a:push', ...fields }),
      })
    const right = await post({ grant_type: 'password', username: 'ann', password: 'anns' })
    const { access_token: token } = (await right.json()) as { access_token: string }
    expect(accessOf(token)).toEqual([{ type: 'repository', name: 'team/a', actions: ['push'] }])
    expect((await post({ grant_type: 'password', username: 'ann', password: 'x' })).status).toBe(401)
    expect((await post({ grant_type: 'refresh_token', refresh_token: 'x' })).status).toBe(400)
  })

  test('a token is good for what it names; asking for more leads to another', async () => {
    registry = start('token')
    const token = bearer(await tokenFor(basic('ann'), ['repository:team/a:pull']))
    await registry.fetch('/v2/team/a/manifests/t', { method: 'PUT', body: new Blob([manifest]), headers: basic('ann') })
    expect((await registry.fetch('/v2/', { headers: token })).status).toBe(200)
    expect((await registry.fetch('/v2/team/a/tags/list', { headers: token })).status).toBe(200)
    const push = await registry.fetch('/v2/team/a/blobs/uploads/', { method: 'POST', headers: token })
    expect(push.status).toBe(401)
    expect(push.headers.get('www-authenticate')).toContain('error="insufficient_scope"')
    expect((await registry.fetch('/v2/team/b/tags/list', { headers: token })).status).toBe(401)
    expect((await registry.fetch('/v2/secret/a/tags/list', { headers: token })).status).toBe(403)
    expect((await registry.fetch('/v2/_catalog', { headers: token })).status).toBe(401)
    expect((await registry.fetch('/token', { headers: token })).status).toBe(401)
    const catalog = await registry.fetch('/v2/_catalog', {
      headers: bearer(await tokenFor(basic('ann'), ['registry:catalog:*'])),
    })
    expect(await catalog.json()).toEqual({ repositories: ['team/a'] })
  })

  test('a token without a name can pull what anybody can, and is asked to log in for the rest', async () => {
    registry = start('token')
    await registry.fetch('/v2/public/a/manifests/t', {
      method: 'PUT',
      body: new Blob([manifest]),
      headers: basic('admin'),
    })
    expect((await registry.fetch('/v2/public/a/tags/list')).status).toBe(200)
    const token = bearer(await tokenFor({}, ['repository:public/a:pull', 'repository:team/a:pull']))
    expect((await registry.fetch('/v2/public/a/tags/list', { headers: token })).status).toBe(200)
    expect((await registry.fetch('/v2/team/a/tags/list', { headers: token })).status).toBe(401)
  })

  test('rights, users and API tokens that are taken away are gone at once', async () => {
    let now = { rules, passwords, apiTokens }
    registry = start('token', {
      rules: () => Promise.resolve(now.rules),
      passwords: () => Promise.resolve(now.passwords),
      apiTokens: () => Promise.resolve(now.apiTokens),
    })
    const ann = bearer(await tokenFor(basic('ann'), ['repository:team/a:push']))
    const robot = bearer(await tokenFor(basic('x', apiToken), ['repository:team/a:pull']))
    const status = async (headers: Record<string, string>, method: string, path: string) =>
      (await registry.fetch(path, { method, headers })).status
    const uploads = '/v2/team/a/blobs/uploads/'
    expect(await status(ann, 'POST', uploads)).toBe(202)
    expect(await status(robot, 'GET', '/v2/team/a/tags/list')).toBe(404)
    expect(await status(robot, 'GET', '/v2/secret/a/tags/list')).toBe(403)
    now = { ...now, rules: [] }
    expect(await status(ann, 'POST', uploads)).toBe(403)
    now = { ...now, rules, passwords: new Map() }
    expect(await status(ann, 'POST', uploads)).toBe(401)
    expect(await status(robot, 'GET', '/v2/team/a/tags/list')).toBe(404)
    now = { ...now, apiTokens: new Map() }
    expect(await status(robot, 'GET', '/v2/team/a/tags/list')).toBe(401)
  })

  test('a token of another server is refused', async () => {
    registry = start('token', { key: new Uint8Array(32).fill(2) })
    const token = await tokenFor(basic('ann'), ['repository:team/a:push'])
    await registry[Symbol.asyncDispose]()
    registry = start('token')
    expect((await registry.fetch('/v2/', { headers: bearer(token) })).status).toBe(401)
  })
})

describe('without rights', () => {
  test('a blob of a repository is not told of to who may not pull from it', async () => {
    await using registry = start('basic')
    const asAdmin: TestRegistry = {
      ...registry,
      fetch: (path, init) => registry.fetch(path, { ...init, headers: basic('admin') }),
    }
    const blob = await pushBlob(asAdmin, 'secret/a', 'a secret')
    const body = new Blob([manifest])
    expect((await asAdmin.fetch('/v2/secret/a/manifests/t', { method: 'PUT', body })).status).toBe(201)
    for (const path of [`/v2/secret/a/blobs/${blob}`, '/v2/secret/a/manifests/t', '/v2/secret/never/manifests/t']) {
      const response = await registry.fetch(path, { headers: basic('ann') })
      expect(await response.text()).toBe(
        '{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}',
      )
    }
  })
})
