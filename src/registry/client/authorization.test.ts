import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { chmodSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isCairnError } from '../../errors/error.ts'
import { parseReference } from '../../oci/reference.ts'
import { eraseCredentials, storeCredentials } from './credential-file.ts'
import { CredentialStore, credentialKey } from './credentials.ts'
import { Repository } from './repository.ts'
import { failure, ScriptedRegistry, testClient } from './scripted-registry.ts'

type TestClient = ReturnType<typeof testClient>

let registry: ScriptedRegistry
let client: TestClient

beforeEach(() => {
  registry = new ScriptedRegistry()
  client = testClient()
})
afterEach(() => {
  registry[Symbol.dispose]()
  client[Symbol.dispose]()
})

const password = 'Basic ' + Buffer.from('me:secret').toString('base64')

/** Keeps credentials for hosts in docker's config.json. */
function know(...hosts: readonly string[]): void {
  const auths = Object.fromEntries(hosts.map((host) => [host, { auth: Buffer.from('me:secret').toString('base64') }]))
  writeFileSync(join(client.configDir, 'config.json'), JSON.stringify({ auths }))
}

function repository(name = 'app', from: TestClient = client): Repository {
  const reference = parseReference(`${registry.host}/${name}:1`)
  return new Repository(from, from.hosts.endpointFor(reference), { name: `${registry.host}/${name}` })
}

async function failureOf(work: Promise<unknown>): Promise<string> {
  try {
    await work
  } catch (error) {
    if (isCairnError(error)) return `${error.code}: ${error.message}`
    throw error
  }
  return 'none'
}

/** Demands a token of `realm`, for all but `/v2/` with `open`. */
function demandToken(realm: string, accepted = 'good'): void {
  registry.intercept = (request, url) => {
    if (url.pathname === '/token') {
      return Response.json({ token: accepted, expires_in: 300 })
    }
    if (request.headers.get('authorization') === `Bearer ${accepted}`) return undefined
    const challenge = `Bearer realm="${realm}",service="test",scope="repository:other/secret:pull,push,delete"`
    return failure(401, 'UNAUTHORIZED', { 'WWW-Authenticate': challenge })
  }
}

const realmOf = (): string => `${registry.url}/token`

describe('tokens', () => {
  test('are asked for with the rights the request needs, not those a challenge names, and used again', async () => {
    registry.putImage('app', '1')
    know(registry.host)
    demandToken(realmOf())
    await repository().document('1')
    await repository().document('1')
    const asked = registry.seen.filter(({ target }) => target.startsWith('/token'))
    expect(asked).toHaveLength(1)
    const query = new URL(asked[0]?.target ?? '', registry.url).searchParams
    expect(query.getAll('scope')).toEqual(['repository:app:pull'])
    expect([query.get('service'), query.get('account')]).toEqual(['test', 'me'])
    expect(asked[0]?.authorization).toBe(password)
    // The registry itself never sees the password.
    const own = registry.seen.filter(({ target }) => target.includes('/manifests/'))
    expect(own.map(({ authorization }) => authorization)).toEqual([null, 'Bearer good', 'Bearer good'])
  })

  test('are asked for anonymously without credentials', async () => {
    registry.putImage('app', '1')
    demandToken(realmOf())
    await repository().document('1')
    expect(registry.seen.find(({ target }) => target.startsWith('/token'))?.authorization).toBeNull()
  })

  test('come by OAuth 2 for an identity token, which no header ever holds', async () => {
    registry.putImage('app', '1')
    const config = { auths: { [registry.host]: { identitytoken: 'identity' } } }
    writeFileSync(join(client.configDir, 'config.json'), JSON.stringify(config))
    let form = ''
    demandToken(realmOf())
    const { intercept } = registry
    registry.intercept = async (request, url) => {
      if (url.pathname === '/token') form = await request.clone().text()
      return await intercept(request, url)
    }
    await repository().document('1')
    expect(Object.fromEntries(new URLSearchParams(form))).toEqual({
      grant_type: 'refresh_token',
      client_id: 'cairn',
      refresh_token: 'identity',
      service: 'test',
      scope: 'repository:app:pull',
    })
    expect(registry.seen.some(({ authorization }) => authorization?.includes('identity'))).toBe(false)
  })

  test('are renewed when the registry does not take one any more', async () => {
    registry.putImage('app', '1')
    demandToken(realmOf(), 'first')
    const one = repository()
    await one.document('1')
    demandToken(realmOf(), 'second')
    await one.document('1')
    expect(registry.seen.at(-1)?.authorization).toBe('Bearer second')
  })

  test('are waited for where the service has had too many requests', async () => {
    registry.putImage('app', '1')
    demandToken(realmOf())
    const { intercept } = registry
    let refusals = 2
    registry.intercept = (request, url) =>
      url.pathname === '/token' && refusals-- > 0
        ? failure(429, 'TOOMANYREQUESTS', { 'Retry-After': '1' })
        : intercept(request, url)
    const began = performance.now()
    await repository().document('1')
    expect(performance.now() - began).toBeGreaterThan(1900)
    refusals = Infinity
    registry.intercept = (request, url) =>
      url.pathname === '/token'
        ? failure(429, 'TOOMANYREQUESTS', { 'Retry-After': '600', 'RateLimit-Limit': '100;w=21600' })
        : intercept(request, url)
    using other = testClient()
    expect(await failureOf(repository('app', other).document('1'))).toBe(
      `TOOMANYREQUESTS: too many requests for ${registry.host}/app (100 in 6 h), to be tried again in 600 s: too many requests`,
    )
  })

  test.each([
    ['ftp://127.0.0.1/token', 'by HTTPS only'],
    ['http://auth.example.com/token', 'by HTTPS only'],
    ['https://169.254.169.254/latest/meta-data', 'a private address'],
    ['https://10.0.0.1/token', 'a private address'],
    ['https://[::1]/token', 'a private address'],
    ['https://[::ffff:10.0.0.1]/token', 'a private address'],
    ['https://user:pass@auth.example.com/token', 'may not hold credentials'],
    ['not a url', 'no URL'],
    ['', 'no URL'],
  ])('are not asked for from %p', async (realm, why) => {
    know(registry.host)
    demandToken(realm)
    const failed = await failureOf(repository().document('1'))
    expect(failed).toStartWith('REGISTRY_INVALID')
    expect(failed).toContain(why)
    expect(registry.seen.every(({ authorization }) => authorization === null)).toBe(true)
  })

  test('are not paid for with a password at another’s host, unless that is trusted', async () => {
    know(registry.host)
    demandToken('https://evil.example.com/token')
    expect(await failureOf(repository().document('1'))).toMatch(/^UNAUTHORIZED: .* wants its credentials sent to evil/)
    expect(registry.seen.every(({ authorization }) => authorization === null)).toBe(true)
  })

  test('are not followed to where the realm redirects', async () => {
    using other = new ScriptedRegistry()
    know(registry.host)
    demandToken(realmOf())
    const { intercept } = registry
    registry.intercept = (request, url) =>
      url.pathname === '/token' ? Response.redirect(`${other.url}/token`, 307) : intercept(request, url)
    expect(await failureOf(repository().document('1'))).not.toBe('none')
    expect(other.seen).toEqual([])
  })

  test.each([
    ['no JSON', () => new Response('<html>')],
    ['no token', () => Response.json({ expires_in: 3 })],
    ['a token with a line feed', () => Response.json({ token: 'a\r\nX-Evil: 1' })],
  ])('of %s are refused', async (_what, make) => {
    demandToken(realmOf())
    const { intercept } = registry
    registry.intercept = (request, url) => (url.pathname === '/token' ? make() : intercept(request, url))
    expect(await failureOf(repository().document('1'))).toBe(
      `REGISTRY_INVALID: ${registry.host} gave no token in its answer`,
    )
  })

  test('without an end are refused', async () => {
    demandToken(realmOf())
    const { intercept } = registry
    registry.intercept = (request, url) =>
      url.pathname === '/token'
        ? new Response(new ReadableStream({ pull: (c) => c.enqueue(new Uint8Array(65_536)) }))
        : intercept(request, url)
    expect(await failureOf(repository().document('1'))).toStartWith('LIMIT_EXCEEDED')
  })
})

describe('Basic credentials', () => {
  function demandBasic(): void {
    registry.intercept = (request) =>
      request.headers.get('authorization') === password
        ? undefined
        : failure(401, 'UNAUTHORIZED', { 'WWW-Authenticate': 'Basic realm="x"' })
  }

  test('go to a registry that asks for them, and not before', async () => {
    registry.putImage('app', '1')
    know(registry.host)
    demandBasic()
    await repository().document('1')
    const asked = registry.seen.filter(({ target }) => target.includes('/manifests/'))
    expect(asked.map(({ authorization }) => authorization)).toEqual([null, password])
  })

  test('of one registry do not go to another', async () => {
    know('other.example.com', '127.0.0.1', `${registry.host}0`)
    demandBasic()
    expect(await failureOf(repository().document('1'))).toStartWith('UNAUTHORIZED')
    expect(registry.seen.every(({ authorization }) => authorization === null)).toBe(true)
  })

  test('may be for a part of a registry: each repository gets its own', async () => {
    const auth = (user: string): { readonly auth: string } => ({ auth: Buffer.from(`${user}:x`).toString('base64') })
    const auths = { [`${registry.host}/a`]: auth('alice'), [`${registry.host}/b`]: auth('bob') }
    writeFileSync(join(client.configDir, 'config.json'), JSON.stringify({ auths }))
    registry.intercept = (request, url) =>
      request.headers.has('authorization') || url.pathname === '/v2/'
        ? undefined
        : failure(401, 'UNAUTHORIZED', { 'WWW-Authenticate': 'Basic realm="x"' })
    for (const name of ['a/x', 'b/x', 'c/x'])
      await repository(name)
        .describe('1')
        .catch(() => {})
    const users = registry.seen
      .filter(({ target, authorization }) => target.includes('/manifests/') && authorization !== null)
      .map(({ target, authorization }) => [target.split('/')[2], atob((authorization ?? '').slice(6)).split(':')[0]])
    expect(users).toEqual([
      ['a', 'alice'],
      ['b', 'bob'],
    ])
  })

  test('that are wrong end in one error that says what to do', async () => {
    know(registry.host)
    registry.intercept = () => failure(401, 'UNAUTHORIZED', { 'WWW-Authenticate': 'Basic realm="x"' })
    expect(await failureOf(repository().document('1'))).toBe(
      `UNAUTHORIZED: pull access denied for ${registry.host}/app: authentication required`,
    )
  })

  test('and headers of the user do not follow a redirection to another host, but to the registry itself', async () => {
    using storage = new ScriptedRegistry()
    const image = registry.putImage('app', '1')
    const { digest, size } = image.layers[0] ?? image.target
    const bytes = registry.blobs.get(`app ${digest}`) as Uint8Array<ArrayBuffer>
    storage.intercept = () => new Response(bytes)
    writeFileSync(
      join(client.configDir, 'config.json'),
      JSON.stringify({
        auths: { [registry.host]: { auth: Buffer.from('me:secret').toString('base64') } },
        HttpHeaders: { 'X-Meta-Team': 'blue', Cookie: 'session=1', 'X-Secret': 'x' },
      }),
    )
    let to = `${storage.url}/bucket?signature=1`
    registry.intercept = (request, url) => {
      if (request.headers.get('authorization') !== password)
        return failure(401, 'UNAUTHORIZED', { 'WWW-Authenticate': 'Basic realm="x"' })
      if (url.pathname === '/moved') return new Response(bytes)
      return url.pathname.includes('/blobs/') ? Response.redirect(to, 307) : undefined
    }
    for await (const _ of (await repository().openBlob({ digest, size })).body) continue
    expect(storage.seen[0]?.authorization).toBeNull()
    for (const name of ['x-meta-team', 'cookie', 'x-secret']) expect(storage.seen[0]?.headers.get(name)).toBeNull()
    to = '/moved'
    for await (const _ of (await repository().openBlob({ digest, size })).body) continue
    expect(registry.seen.at(-1)).toMatchObject({ target: '/moved', authorization: password })
    expect(registry.seen.at(-1)?.headers.get('x-meta-team')).toBe('blue')
    expect(registry.seen.at(-1)?.headers.get('cookie')).toBeNull()
  })

  test('a challenge of another host is not answered', async () => {
    using storage = new ScriptedRegistry()
    const image = registry.putImage('app', '1')
    know(registry.host, storage.host)
    storage.intercept = () =>
      failure(401, 'UNAUTHORIZED', { 'WWW-Authenticate': `Bearer realm="${storage.url}/token",service="x"` })
    registry.intercept = (_request, url) =>
      url.pathname.includes('/blobs/') ? Response.redirect(`${storage.url}/x`, 307) : undefined
    expect(await failureOf(repository().openBlob(image.layers[0] ?? image.target))).toStartWith('UNAUTHORIZED')
    expect(storage.seen.map(({ target, authorization }) => [target, authorization])).toEqual([['/x', null]])
  })

  test.each([
    ['file:///etc/passwd', 'REGISTRY_INVALID'],
    ['gopher://x/', 'REGISTRY_INVALID'],
    ['http://user:pass@127.0.0.1/x', 'REGISTRY_INVALID'],
    ['http://', 'REGISTRY_INVALID'],
  ])('redirections to %p are refused', async (to, code) => {
    registry.intercept = (_request, url) =>
      url.pathname === '/v2/' ? undefined : new Response(null, { status: 307, headers: { Location: to } })
    expect(await failureOf(repository().document('1'))).toStartWith(code)
  })

  test('redirections in a circle end', async () => {
    registry.intercept = (_request, url) =>
      url.pathname === '/v2/' ? undefined : new Response(null, { status: 302, headers: { Location: url.href } })
    expect(await failureOf(repository().document('1'))).toContain('redirection in a row')
  })

  test('an upload location at another host gets the bytes but no credentials', async () => {
    using storage = new ScriptedRegistry()
    know(registry.host)
    demandBasic()
    const { intercept } = registry
    registry.intercept = (request, url) =>
      request.method === 'POST' && request.headers.get('authorization') === password
        ? new Response(null, { status: 202, headers: { Location: `${storage.url}/up` } })
        : intercept(request, url)
    storage.intercept = () => new Response(null, { status: 201 })
    const one = repository()
    const session = await one.beginUpload()
    await one.finishUpload(session, registry.putBlob('app', new Uint8Array(3)), new Uint8Array(3))
    expect(storage.seen.map(({ method, authorization }) => [method, authorization])).toEqual([['PUT', null]])
  })
})

describe('login', () => {
  test('keeps the identity token that a registry gives for a password', async () => {
    demandToken(realmOf())
    const { intercept } = registry
    registry.intercept = (request, url) =>
      url.pathname === '/token' && url.searchParams.get('offline_token') === 'true'
        ? Response.json({ token: 'good', refresh_token: 'keep' })
        : intercept(request, url)
    const endpoint = client.hosts.endpointFor(parseReference(`${registry.host}/x`))
    const given = { kind: 'password', username: 'me', password: 'secret' } as const
    expect(await client.connection(endpoint).logIn(given)).toEqual({ kind: 'identity', token: 'keep' })
  })

  test('fails where the registry does not take the password', async () => {
    registry.intercept = () => failure(401, 'UNAUTHORIZED', { 'WWW-Authenticate': 'Basic realm="x"' })
    const endpoint = client.hosts.endpointFor(parseReference(`${registry.host}/x`))
    const given = { kind: 'password', username: 'me', password: 'wrong' } as const
    expect(await failureOf(client.connection(endpoint).logIn(given))).toBe(
      `UNAUTHORIZED: login attempt to ${registry.url}/v2/ failed with status: 401 Unauthorized`,
    )
  })
})

describe('CredentialStore', () => {
  const basic = { kind: 'password', username: 'me', password: 'secret' } as const
  const auth = Buffer.from('me:secret').toString('base64')
  const store = (env: Record<string, string> = {}): CredentialStore =>
    new CredentialStore({
      configDir: client.configDir,
      env: { HOME: client.configDir, PATH: `${client.configDir}:${process.env['PATH']}`, ...env },
    })
  const config = (value: unknown): void => writeFileSync(join(client.configDir, 'config.json'), JSON.stringify(value))

  test('finds Docker Hub under all its names', async () => {
    for (const key of ['https://index.docker.io/v1/', 'docker.io', 'index.docker.io', 'registry-1.docker.io']) {
      config({ auths: { [key]: { auth } } })
      expect(await store().for('registry-1.docker.io', 'library/x')).toEqual(basic)
    }
    expect(credentialKey('docker.io')).toBe('https://index.docker.io/v1/')
    expect(credentialKey('https://host:5000/v2/')).toBe('host:5000')
  })

  test('prefers the longest path, and $DOCKER_AUTH_CONFIG to files', async () => {
    const other = Buffer.from('team:other').toString('base64')
    config({ auths: { 'https://host': { auth }, 'host/team': { auth: other } } })
    expect(await store().for('host', 'team/app')).toMatchObject({ username: 'team' })
    expect(await store().for('host', 'teams/app')).toMatchObject({ username: 'me' })
    const inline = JSON.stringify({ auths: { host: { auth: Buffer.from('ci:token').toString('base64') } } })
    expect(await store({ DOCKER_AUTH_CONFIG: inline }).for('host', 'team/app')).toMatchObject({ username: 'ci' })
  })

  test('reads podman’s file after docker’s', async () => {
    const runtime = join(client.configDir, 'run')
    mkdirSync(join(runtime, 'containers'), { recursive: true })
    writeFileSync(join(runtime, 'containers/auth.json'), JSON.stringify({ auths: { 'host/ns': { auth } } }))
    expect(await store({ XDG_RUNTIME_DIR: runtime }).for('host', 'ns/app')).toEqual(basic)
    expect(await store({ XDG_RUNTIME_DIR: runtime }).for('host', 'other/app')).toBeUndefined()
  })

  /** A helper that keeps one secret in a file and writes down how it was called. */
  function helper(name: string): string {
    const path = join(client.configDir, `docker-credential-${name}`)
    const kept = join(client.configDir, 'kept')
    writeFileSync(
      path,
      `#!/bin/sh\necho "$@" >> ${client.configDir}/calls\ncase $1 in\nstore) cat > ${kept};;\nerase) cat > /dev/null; rm -f ${kept};;\n` +
        `get) read -r server; [ -f ${kept} ] && cat ${kept} || { echo "credentials not found in native keychain"; exit 1; };;\nesac\n`,
    )
    chmodSync(path, 0o755)
    return path
  }

  test('asks helpers by their protocol, both ways, never with a secret in argv', async () => {
    helper('test')
    config({ credHelpers: { host: 'test' }, other: { kept: true } })
    const places = {
      configDir: client.configDir,
      env: { HOME: client.configDir, PATH: `${client.configDir}:/usr/bin:/bin` },
    }
    expect(await store().for('host', '')).toBeUndefined()
    expect(await storeCredentials('host', basic, places)).toEqual({ plainFile: undefined })
    expect(await store().for('host', '')).toEqual(basic)
    expect(await eraseCredentials('host', places)).toBe(true)
    expect(await store().for('host', '')).toBeUndefined()
    expect(readFileSync(join(client.configDir, 'calls'), 'utf8')).not.toContain('secret')
    expect(readFileSync(join(client.configDir, 'config.json'), 'utf8')).not.toContain('secret')
  })

  test('runs no helper that is a path, and says which one is missing', async () => {
    config({ credsStore: '../../bin/sh' })
    expect(await failureOf(store().for('host', ''))).toContain('is not the name of a credential helper')
    config({ credsStore: 'absent' })
    expect(await failureOf(store().for('host', ''))).toContain('docker-credential-absent is not on the PATH')
  })

  test('quotes nothing of a file it cannot read', async () => {
    writeFileSync(join(client.configDir, 'config.json'), '{"auths": {"host": {"auth": "c2VjcmV0OnNlY3JldA==" ')
    const failed = await failureOf(store().for('host', ''))
    expect(failed).toStartWith('CREDENTIALS_INVALID')
    expect(failed).not.toContain('c2Vj')
  })

  test('storeCredentials() leaves all else in the file, replaces it as a whole and only for its owner', async () => {
    const real = join(client.configDir, 'real.json')
    writeFileSync(real, JSON.stringify({ auths: { a: { auth } }, proxies: { default: {} }, psFormat: 'x' }), {
      mode: 0o644,
    })
    symlinkSync('real.json', join(client.configDir, 'config.json'))
    const places = { configDir: client.configDir, env: { HOME: client.configDir } }
    expect(await storeCredentials('b:5000', basic, places)).toEqual({
      plainFile: join(client.configDir, 'config.json'),
    })
    expect(JSON.parse(readFileSync(real, 'utf8'))).toEqual({
      auths: { a: { auth }, 'b:5000': { auth } },
      proxies: { default: {} },
      psFormat: 'x',
    })
    expect(statSync(real).mode & 0o777).toBe(0o600)
    expect(await eraseCredentials('https://b:5000/v1/', places)).toBe(true)
    expect(await eraseCredentials('b:5000', places)).toBe(false)
    expect(Object.keys(JSON.parse(readFileSync(real, 'utf8')).auths as object)).toEqual(['a'])
  })
})
