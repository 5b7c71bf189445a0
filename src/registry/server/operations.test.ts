import { afterEach, describe, expect, test } from 'bun:test'
import { mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type AccessControl, controlAccess, openAccess } from '../access/access-control.ts'
import type { Page, RegistryStorage } from '../storage/registry-storage.ts'
import { ManifestCache } from './manifest-cache.ts'
import { clientAddress, countedAddress, parseProxies } from './client-address.ts'
import { Metrics } from './metrics.ts'
import { RateLimit } from './rate-limit.ts'
import { parseRegistryConfig } from './registry-config.ts'
import { beginUpload, imageManifest, pushBlob, putManifest, refusal, startTestRegistry } from './registry-fixtures.ts'
import { requestHandler } from './request-handler.ts'
import { CountedLimits } from './request-limits.ts'
import { auditLog, requestLog } from './request-log.ts'
import { actionOf, type RequestRecord } from './request-record.ts'
import { defaultSettings } from './settings.ts'
import { Webhooks } from './webhooks.ts'

const cleanups: (() => void)[] = []
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup()
})

function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'cairn-operations-'))
  cleanups.push(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

describe('limits', () => {
  test('RateLimit lets a period through at once, then the rate', () => {
    const limit = new RateLimit({ count: 3, period: 1000 })
    expect([0, 0, 0, 0].map(() => limit.take('a', 0))).toEqual([0, 0, 0, 334])
    expect(limit.take('b', 0)).toBe(0)
    expect(limit.wait('a', 0)).toBe(334)
    expect(limit.wait('c', 0)).toBe(0)
    expect(limit.take('a', 334)).toBe(0)
    expect(limit.take('a', 334)).toBeGreaterThan(0)
  })

  test('too many requests are 429 and told when to come back', async () => {
    await using registry = startTestRegistry({ requests: { count: 2, period: 60_000 } })
    const told = ({ status, headers }: Response) =>
      [status, headers.get('ratelimit-limit'), headers.get('ratelimit-remaining')] as const
    expect(told(await registry.fetch('/v2/'))).toEqual([200, '2;w=60', '1;w=60'])
    expect(told(await registry.fetch('/v2/'))).toEqual([200, '2;w=60', '0;w=60'])
    const response = await registry.fetch('/v2/')
    expect(told(response)).toEqual([429, '2;w=60', '0;w=60'])
    expect(response.headers.get('retry-after')).toBe('30')
    expect(await refusal(response)).toEqual({ status: 429, code: 'TOOMANYREQUESTS' })
  })

  test('who guesses passwords is stopped, before they are hashed', async () => {
    const access = controlAccess({
      passwords: () => Promise.resolve(new Map()),
      apiTokens: () => Promise.resolve(new Map()),
      rules: () => Promise.resolve([]),
      scheme: 'token',
      service: 'x',
      realm: undefined,
      key: new Uint8Array(32),
      tokenLifetime: 60,
    })
    await using registry = startTestRegistry({ failedLogins: { count: 2, period: 60_000 } }, undefined, access)
    const guess = (path: string) => registry.fetch(path, { headers: { authorization: 'Bearer cairn_guess' } })
    expect((await guess('/token')).status).toBe(401)
    expect((await guess('/v2/')).status).toBe(401)
    expect((await guess('/v2/')).status).toBe(429)
    expect((await guess('/token')).status).toBe(429)
  })

  test('who guesses many passwords at the same moment is stopped as soon', async () => {
    const hash = await Bun.password.hash('secret', { algorithm: 'bcrypt', cost: 4 })
    const access = controlAccess({
      passwords: () => Promise.resolve(new Map([['ann', hash]])),
      apiTokens: () => Promise.resolve(new Map()),
      rules: () => Promise.resolve([]),
      scheme: 'token',
      service: 'x',
      realm: undefined,
      key: new Uint8Array(32),
      tokenLifetime: 60,
    })
    await using registry = startTestRegistry({ failedLogins: { count: 3, period: 60_000 } }, undefined, access)
    for (const path of ['/v2/', '/token']) {
      const guesses = Array.from({ length: 40 }, async (_, index) => {
        const headers = { authorization: `Basic ${btoa(`ann:${path} ${index}`)}` }
        return (await registry.fetch(path, { headers })).status
      })
      const statuses = await Promise.all(guesses)
      expect(statuses.filter((status) => status === 401).length).toBeLessThan(8)
      expect(new Set(statuses.filter((status) => status !== 401))).toEqual(new Set([429]))
    }
  })

  test('count all of an IPv6 network as one, and clients behind proxies that are trusted one by one', async () => {
    expect(countedAddress('2001:db8:1:2:aaaa::1')).toBe(countedAddress('2001:db8:1:2::2'))
    expect(countedAddress('2001:db8:1:3::2')).not.toBe(countedAddress('2001:db8:1:2::2'))
    expect(countedAddress('::ffff:192.0.2.1')).toBe(countedAddress('192.0.2.1'))
    const proxies = ['10.0.0.0/8', '127.0.0.1'].flatMap((text) => parseProxies(text) ?? [])
    const from = (peer: string, header: string | null) => clientAddress(peer, header, proxies)
    expect(from('192.0.2.1', '198.51.100.7')).toBe('192.0.2.1')
    expect(from('127.0.0.1', null)).toBe('127.0.0.1')
    expect(from('::ffff:127.0.0.1', '198.51.100.7')).toBe('198.51.100.7')
    expect(from('127.0.0.1', '203.0.113.9, 198.51.100.7, 10.1.2.3')).toBe('198.51.100.7')
    expect(from('127.0.0.1', '10.1.2.3')).toBe('10.1.2.3')
    expect(from('127.0.0.1', '198.51.100.7, unknown')).toBe('127.0.0.1')
    const registry = { storage: {} as RegistryStorage, settings: defaultSettings, manifests: new ManifestCache(0) }
    const limits = new CountedLimits({ ...defaultSettings, requests: { count: 1, period: 60_000 } })
    const handle = requestHandler(registry, { access: openAccess, limits, proxies })
    const ask = async (client: string) =>
      (await handle(new Request('http://x/v2/', { headers: { 'x-forwarded-for': client } }), '127.0.0.1')).status
    expect([await ask('198.51.100.7'), await ask('198.51.100.8'), await ask('198.51.100.7')]).toEqual([200, 200, 429])
  })

  test('a catalog of one after very many that the client may not see takes few questions', async () => {
    const names = Array.from({ length: 3000 }, (_, index) => `hidden/${String(index).padStart(4, '0')}`).concat('seen')
    let questions = 0
    const storage = {
      listRepositories: ({ after = '', limit }: Page) => {
        questions++
        return Promise.resolve(names.filter((name) => name > after).slice(0, limit))
      },
    } as Partial<RegistryStorage> as RegistryStorage
    const access: AccessControl = {
      tokenServer: undefined,
      judge: () => {
        const principal = {
          user: 'x',
          by: 'password',
          mayPull: (name: string) => name === 'seen',
          mayOverwrite: () => false,
        } as const
        return Promise.resolve({ outcome: 'allowed', principal })
      },
    }
    const registry = { storage, settings: defaultSettings, manifests: new ManifestCache(0) }
    const handle = requestHandler(registry, { access, limits: new CountedLimits(defaultSettings) })
    const response = await handle(new Request('http://x/v2/_catalog?n=1'), '127.0.0.1')
    expect(await response.json()).toEqual({ repositories: ['seen'] })
    expect(questions).toBeLessThan(6)
  })

  test('a quota bounds the blobs of a repository, mounted ones too', async () => {
    await using registry = startTestRegistry({ quota: 100 })
    await pushBlob(registry, 'full', 'x'.repeat(90))
    const more = { method: 'POST', body: 'y'.repeat(11) }
    const digest = new Bun.CryptoHasher('sha256').update(more.body).digest('hex')
    const path = `blobs/uploads/?digest=sha256:${digest}`
    expect(await refusal(await registry.fetch(`/v2/full/${path}`, more))).toEqual({ status: 403, code: 'DENIED' })
    expect((await registry.fetch(`/v2/other/${path}`, more)).status).toBe(201)
    const mount = await registry.fetch(`/v2/full/blobs/uploads/?mount=sha256:${digest}&from=other`, { method: 'POST' })
    expect(mount.status).toBe(403)
    const location = await beginUpload(registry, 'full')
    const body = new Blob(['z'.repeat(11)]).stream()
    expect((await registry.fetch(location, { method: 'PATCH', body })).status).toBe(403)
    await pushBlob(registry, 'full', 'x'.repeat(10))
  })
})

describe('a quota', () => {
  const sized = (size: number, index: number) => `${index}`.padEnd(size, 'x')

  test('is not got around by uploads that end, nor mounts that come, at the same moment', async () => {
    await using registry = startTestRegistry({ quota: 100 })
    const contents = Array.from({ length: 8 }, (_, index) => sized(60, index))
    const digests = contents.map((content) => `sha256:${new Bun.CryptoHasher('sha256').update(content).digest('hex')}`)
    const locations = await Promise.all(contents.map(() => beginUpload(registry, 'full')))
    for (const [index, location] of locations.entries())
      expect((await registry.fetch(location, { method: 'PATCH', body: contents[index] ?? '' })).status).toBe(202)
    const ends = await Promise.all(
      locations.map((location, index) =>
        registry.fetch(`${location}?digest=${digests[index] ?? ''}`, { method: 'PUT' }).then(({ status }) => status),
      ),
    )
    expect(ends.toSorted()).toEqual([201, ...Array.from({ length: 7 }, () => 403)])
    for (const [index, content] of contents.entries()) await pushBlob(registry, `other${index}`, content)
    const mounts = await Promise.all(
      digests.map((digest, index) =>
        registry
          .fetch(`/v2/empty/blobs/uploads/?mount=${digest}&from=other${index}`, { method: 'POST' })
          .then(({ status }) => status),
      ),
    )
    expect(mounts.toSorted()).toEqual([201, ...Array.from({ length: 7 }, () => 403)])
    // What is there already takes no more room.
    const there = digests[mounts.indexOf(201)] ?? ''
    const again = await registry.fetch(`/v2/empty/blobs/uploads/?mount=${there}`, { method: 'POST' })
    expect(again.status).toBe(201)
    const left = readdirSync(registry.store.path('registry', 'uploads'))
    expect(left).toEqual([])
  })
})

describe('records', () => {
  async function recorded(
    work: (fetch: Parameters<typeof putManifest>[0]) => Promise<unknown>,
  ): Promise<RequestRecord[]> {
    const records: RequestRecord[] = []
    await using registry = startTestRegistry({}, undefined, openAccess, (record) => records.push(record))
    await work(registry)
    return records
  }

  test('tell what was done with what', async () => {
    const { text, digest } = imageManifest()
    const records = await recorded(async (registry) => {
      const blob = await pushBlob(registry, 'a', 'blob')
      await registry.fetch(`/v2/b/blobs/uploads/?mount=${blob}&from=a`, { method: 'POST' })
      await putManifest(registry, 'a', 't', text)
      await registry.fetch('/v2/a/manifests/t')
      await registry.fetch('/v2/a/manifests/t', { method: 'HEAD' })
      await registry.fetch('/v2/a/manifests/t', { method: 'DELETE' })
      await registry.fetch('/v2/a/manifests/t')
      await registry.fetch(`/v2/a/blobs/${blob}`, { method: 'DELETE' })
      await registry.fetch('/v2/a/tags/list')
    })
    expect(records.map(actionOf)).toEqual([
      'push',
      'mount',
      'push',
      'pull',
      undefined,
      'delete',
      undefined,
      'delete',
      undefined,
    ])
    expect(records[2]).toMatchObject({
      method: 'PUT',
      path: '/v2/a/manifests/t',
      status: 201,
      user: undefined,
      address: '127.0.0.1',
      received: text.length,
      facts: { digest, tags: ['t'], size: text.length },
    })
    expect(records[1]?.facts.mountedFrom).toBe('a')
    expect(records[6]).toMatchObject({ status: 404, errorCode: 'MANIFEST_UNKNOWN' })
  })

  test('a connection that breaks off in a body is no failure of the server', async () => {
    const records: RequestRecord[] = []
    await using registry = startTestRegistry({}, undefined, openAccess, (record) => records.push(record))
    const cut = new AbortController()
    const body = new ReadableStream({
      async pull(controller) {
        controller.enqueue(new Uint8Array(100_000))
        await Bun.sleep(50)
        cut.abort()
      },
    })
    const request = registry.fetch('/v2/a/manifests/t', { method: 'PUT', body, signal: cut.signal })
    await expect(request).rejects.toThrow()
    const deadline = Date.now() + 5_000
    while (records.length === 0 && Date.now() < deadline) await Bun.sleep(10)
    expect(records).toMatchObject([{ status: 400, errorCode: 'SIZE_INVALID' }])
  })

  test('a log has a line for each change, refusal or failure, and no control characters', async () => {
    const records = await recorded(async (registry) => {
      await pushBlob(registry, 'a', 'blob')
      await registry.fetch('/v2/a/tags/list')
      await registry.fetch('/v2/a/manifests/x', { method: 'PUT', body: '{' })
      await registry.fetch('/v2/%1b%5b31m/tags/list')
    })
    const lines: string[] = []
    for (const record of records)
      requestLog({ format: 'text', requests: 'changes', audit: undefined }, (line) => lines.push(line))(record)
    expect(lines).toHaveLength(3)
    expect(lines[0]).toMatch(/^\d{4}-.*Z 127\.0\.0\.1 - POST \/v2\/a\/blobs\/uploads\/ 201 [\d.]+ms$/)
    expect(lines[1]).toEndWith('MANIFEST_INVALID')
    const all: string[] = []
    for (const record of records)
      requestLog({ format: 'json', requests: 'all', audit: undefined }, (line) => all.push(line))(record)
    expect(all.map((line) => (JSON.parse(line) as { status: number }).status)).toEqual([201, 200, 400, 400])
    for (const record of records)
      requestLog({ format: 'text', requests: 'none', audit: undefined }, () => expect.unreachable())(record)
    const [first] = records
    requestLog({ format: 'text', requests: 'none', audit: undefined }, (line) => lines.push(line))({
      ...(first as RequestRecord),
      path: '/v2/\u001b[31m',
      status: 500,
      cause: new Error('a bug'),
    })
    expect(lines[3]).toContain('/v2/?[31m 500')
    expect(lines[3]).toContain('a bug')
  })

  test('the audit log has changes and refusals, also after it was moved away', async () => {
    const path = join(temporaryDirectory(), 'audit.log')
    const audit = auditLog(path)
    const records = await recorded(async (registry) => {
      await pushBlob(registry, 'a', 'blob')
      await registry.fetch('/v2/a/tags/list')
    })
    for (const record of records) audit(record)
    const [pushed] = records
    renameSync(path, `${path}.1`)
    audit({ ...(pushed as RequestRecord), status: 401 })
    audit({ ...(pushed as RequestRecord), status: 401, hasCredentials: true })
    audit({ ...(pushed as RequestRecord), status: 403, user: 'eve' })
    const read = (name: string) =>
      readFileSync(name, 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>)
    expect(read(`${path}.1`)).toMatchObject([{ action: 'push', status: 201, address: '127.0.0.1' }])
    expect(read(path)).toMatchObject([
      { action: 'refused', status: 401 },
      { action: 'refused', user: 'eve', status: 403 },
    ])
  })

  test('an audit log that cannot be written is told at the start', () => {
    expect(() => auditLog('/nowhere/audit.log')).toThrow('/nowhere/audit.log')
  })

  test('metrics count by closed sets of labels', async () => {
    const metrics = new Metrics()
    const records = await recorded(async (registry) => {
      await pushBlob(registry, 'a', 'blob')
      await registry.fetch('/v2/a/tags/list')
      await registry.fetch('/v2/b/tags/list')
      await registry.fetch('/nowhere', { method: 'PROPFIND' })
    })
    for (const record of records) {
      metrics.begin()
      metrics.observe(record)
    }
    metrics.observeGarbage(1000)
    const lines = metrics.format().split('\n')
    for (const line of [
      'cairn_registry_requests_total{method="POST",route="uploads",code="201"} 1',
      'cairn_registry_requests_total{method="GET",route="tags",code="200"} 1',
      'cairn_registry_requests_total{method="GET",route="tags",code="404"} 1',
      'cairn_registry_requests_total{method="other",route="other",code="404"} 1',
      'cairn_registry_request_seconds_bucket{route="tags",le="+Inf"} 2',
      'cairn_registry_request_seconds_count{route="tags"} 2',
      'cairn_registry_requests_in_flight 0',
      'cairn_registry_received_bytes_total 4',
      'cairn_registry_gc_freed_bytes_total 1000',
    ])
      expect(lines).toContain(line)
    for (const line of lines) expect(line).toMatch(/^(# (HELP|TYPE) \w+ .+|\w+(\{[^}]*\})? [\d.e+-]+|)$/)
  })
})

describe('webhooks', () => {
  test('get events in order, signed, again until they are taken', async () => {
    const bodies: { body: string; signature: string | null }[] = []
    let failures = 1
    const target = Bun.serve({
      port: 0,
      hostname: '127.0.0.1',
      fetch: async (request) => {
        if (failures-- > 0) return new Response(null, { status: 503 })
        bodies.push({ body: await request.text(), signature: request.headers.get('x-cairn-signature') })
        return new Response(null)
      },
    })
    cleanups.push(() => void target.stop(true))
    const complaints: string[] = []
    const webhooks = new Webhooks(
      [{ url: `${target.url.origin}/?token=hidden`, events: ['push', 'delete'], secret: 'key' }],
      (message) => complaints.push(message),
    )
    await using registry = startTestRegistry({}, undefined, openAccess, (record) =>
      webhooks.observe(record, 'reg:5000'),
    )
    const { text, digest } = imageManifest()
    await putManifest(registry, 'a', `${digest}?tag=t&tag=u`, text)
    await registry.fetch('/v2/a/manifests/t')
    await registry.fetch(`/v2/a/manifests/${digest}`, { method: 'DELETE' })
    const deadline = Date.now() + 10_000
    const events = () =>
      bodies.flatMap(({ body }) => (JSON.parse(body) as { events: Record<string, unknown>[] }).events)
    while (events().length < 2 && Date.now() < deadline) await Bun.sleep(20)
    expect(events()).toMatchObject([
      {
        action: 'push',
        target: { repository: 'a', digest, tag: 't', tags: ['t', 'u'], size: text.length },
        request: { host: 'reg:5000', method: 'PUT' },
      },
      { action: 'delete', target: { repository: 'a', digest } },
    ])
    for (const { body, signature } of bodies)
      expect(signature).toBe(`sha256=${new Bun.CryptoHasher('sha256', 'key').update(body).digest('hex')}`)
    expect(complaints).toHaveLength(1)
    expect(complaints[0]).toContain('it answers 503')
    expect(complaints[0]).not.toContain('hidden')
  })

  test('that are dropped for a target that takes none are told of once', () => {
    const target = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: () => new Response(null, { status: 503 }) })
    cleanups.push(() => void target.stop(true))
    const complaints: string[] = []
    const webhooks = new Webhooks([{ url: target.url.href, events: ['push'], secret: undefined }], (message) =>
      complaints.push(message),
    )
    for (let count = 0; count < 10_100; count++) webhooks.observe(blobRecord('PUT', 201), 'reg:5000')
    expect(complaints).toHaveLength(1)
    expect(complaints[0]).toContain('its queue is full')
  })

  test('tell of a pull also where a redirect leads to the bytes', () => {
    expect(actionOf(blobRecord('GET', 307))).toBe('pull')
    expect(actionOf(blobRecord('GET', 304))).toBeUndefined()
    expect(actionOf(blobRecord('HEAD', 200))).toBeUndefined()
  })

  function blobRecord(method: string, status: number): RequestRecord {
    const { digest } = imageManifest()
    return {
      id: 'x',
      time: new Date(),
      method,
      path: `/v2/a/blobs/${digest}`,
      route: { kind: 'blob', name: 'a', digest },
      status,
      errorCode: undefined,
      cause: undefined,
      duration: 1,
      user: undefined,
      hasCredentials: false,
      address: '127.0.0.1',
      userAgent: undefined,
      received: 0,
      sent: 0,
      facts: { digest },
    }
  }
})

describe('parseRegistryConfig()', () => {
  test('gives defaults for what is not there', () => {
    expect(parseRegistryConfig('', 'r.toml')).toMatchObject({
      address: { hostname: '127.0.0.1', port: 5000 },
      settings: { isDeleteEnabled: true, isReadOnly: false, missingContent: 'accept' },
      auth: undefined,
      tls: undefined,
      gc: { interval: 3_600_000, untaggedGrace: undefined },
    })
  })

  test('reads every field', () => {
    const text = `
      storage = "s3"
      addr = "[::1]:443"
      trusted-proxies = ["10.0.0.0/8", "::1"]
      read-only = true
      delete = false
      missing-content = "refuse"
      drain = "5s"
      workers = 4
      idle-timeout = "1m"
      [tls]
      cert = "c"
      key = "k"
      client-ca = "ca"
      [limits]
      manifest = "1m"
      blob = "10g"
      repository = "1t"
      requests = "100/s"
      failed-logins = "5/m"
      [auth]
      htpasswd = "users"
      rules = "rules"
      api-tokens = "tokens"
      scheme = "token"
      service = "registry.example.com"
      realm = "https://registry.example.com/token"
      token-key = "key"
      token-lifetime = "2m"
      [gc]
      interval = "2h"
      blob-grace = "1d"
      upload-grace = "3h"
      untagged-grace = "7d"
      [log]
      format = "json"
      requests = "all"
      audit = "audit.log"
      [metrics]
      addr = ":9090"
      [[webhooks]]
      url = "https://example.com/hook"
      events = ["pull"]
      secret = "file"
      [s3]
      bucket = "images"
      endpoint = "http://storage.example.com:7480"
      prefix = "team/registry"
      credentials = "keys"
      redirect = false
      [[upstream]]
      prefix = "docker.io"
      url = "https://registry-1.docker.io"
      credentials = "hub"
      ttl = "30s"
      keep = "7d"`
    expect(parseRegistryConfig(text, 'r.toml')).toEqual({
      address: { hostname: '::1', port: 443 },
      settings: {
        isDeleteEnabled: false,
        isReadOnly: true,
        missingContent: 'refuse',
        largestManifest: 1024 ** 2,
        largestBlob: 10 * 1024 ** 3,
        quota: 1024 ** 4,
        requests: { count: 100, period: 1000 },
        failedLogins: { count: 5, period: 60_000 },
      },
      tls: { cert: 'c', key: 'k', clientCa: 'ca' },
      auth: {
        htpasswd: 'users',
        rules: 'rules',
        apiTokens: 'tokens',
        scheme: 'token',
        service: 'registry.example.com',
        realm: 'https://registry.example.com/token',
        tokenKey: 'key',
        tokenLifetime: 120_000,
      },
      gc: { interval: 7_200_000, blobGrace: 86_400_000, uploadGrace: 10_800_000, untaggedGrace: 604_800_000 },
      log: { format: 'json', requests: 'all', audit: 'audit.log' },
      metrics: { hostname: '0.0.0.0', port: 9090 },
      webhooks: [{ url: 'https://example.com/hook', events: ['pull'], secret: 'file' }],
      s3: {
        bucket: 'images',
        endpoint: new URL('http://storage.example.com:7480'),
        publicEndpoint: undefined,
        region: 'us-east-1',
        isPathStyle: true,
        prefix: 'team/registry/',
        credentials: 'keys',
        profile: 'default',
        isRedirecting: false,
      },
      upstreams: [
        {
          prefix: 'docker.io',
          url: new URL('https://registry-1.docker.io'),
          credentials: 'hub',
          ttl: 30_000,
          keep: 604_800_000,
        },
      ],
      drain: 5000,
      workers: 4,
      idleTimeout: 60,
      trustedProxies: ['10.0.0.0/8', '::1'],
    })
  })

  test.each([
    ['addr = 5000', 'r.toml: addr is not text'],
    ['workers = 0', 'r.toml: workers is not from 1 to 256'],
    ['addr = "x"', 'r.toml: addr is wrong: not HOST:PORT: "x"'],
    ['addr = "x:70000"', 'r.toml: addr is wrong'],
    ['port = 1', 'r.toml: port is unknown; there are addr, auth'],
    ['read-only = "yes"', 'r.toml: read-only is neither true nor false'],
    ['missing-content = "x"', 'r.toml: missing-content is "x"; there are accept, refuse'],
    ['tls = 1', 'r.toml: tls is not a table'],
    ['[[upstream]]\nprefix = "x"', 'r.toml: upstream[0].url is missing'],
    ['[[upstream]]\nurl = "https://x/y"', 'r.toml: upstream[0].url is wrong'],
    ['[[upstream]]\nurl = "https://x"\nprefix = "X"', 'r.toml: upstream[0].prefix is wrong'],
    ['[[upstream]]\nurl = "https://x"\n[[upstream]]\nurl = "https://y"', 'r.toml: upstream has two with the prefix ""'],
    ['storage = "s3"', 'r.toml: storage is "s3", but there is no table s3'],
    ['[s3]\nbucket = "images"', 'r.toml: s3 is there, but storage is not "s3"'],
    ['storage = "s3"\n[s3]\nregion = "x"', 'r.toml: s3.bucket is missing'],
    ['storage = "s3"\n[s3]\nbucket = "x"', 'r.toml: s3.bucket is wrong'],
    ['storage = "s3"\n[s3]\nbucket = "images"\nprefix = "a b"', 'r.toml: s3.prefix is wrong'],
    ['[tls]\ncert = "x"', 'r.toml: tls.key is missing'],
    [
      'trusted-proxies = ["10.0.0.1", "proxy"]',
      'r.toml: trusted-proxies has "proxy", which is no address and no network',
    ],
    ['[limits]\nblob = "10x"', 'r.toml: limits.blob is wrong: not a size as in 10g: "10x"'],
    ['[limits]\nmanifest = "8m"', 'r.toml: limits.manifest is wrong: no more than 4m is possible'],
    ['[limits]\nrequests = "0/s"', 'r.toml: limits.requests is wrong: not a rate as in 100/s'],
    ['[gc]\ninterval = "1"', 'r.toml: gc.interval is wrong: not a time as in 90s: "1"'],
    ['[auth]\nscheme = "ldap"', 'r.toml: auth.scheme is "ldap"; there are basic, token'],
    ['[auth]\nrealm = "ftp://x"', 'r.toml: auth.realm is wrong'],
    ['[auth]\nservice = "a b"', 'r.toml: auth.service is wrong'],
    ['[auth]\ntoken-lifetime = "5s"', 'r.toml: auth.token-lifetime is wrong: no less than 60s is possible'],
    ['[[webhooks]]\nevents = ["push"]', 'r.toml: webhooks[0].url is missing'],
    ['[[webhooks]]\nurl = "x"', 'r.toml: webhooks[0].url is wrong'],
    ['[[webhooks]]\nurl = "http://x"\nevents = ["x"]', 'r.toml: webhooks[0].events has "x"; there are push'],
    ['webhooks = {}', 'r.toml: webhooks is not a list of tables'],
    ['=', 'r.toml is not TOML'],
  ])('refuses %j', (text, message) => {
    expect(() => parseRegistryConfig(text, 'r.toml')).toThrow(message)
  })
})
