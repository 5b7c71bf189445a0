import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'bun:test'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isCairnError } from '../../errors/error.ts'
import { parseReference } from '../../oci/reference.ts'
import { type Endpoint, RegistryHosts } from './hosts.ts'
import { Repository } from './repository.ts'
import { resolveRemote } from './resolve.ts'
import { ScriptedRegistry, testClient } from './scripted-registry.ts'

let root: string
/** A certificate of its own authority for localhost and 127.0.0.1, made once: it takes a second. */
let key: string
let cert: string

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'cairn-hosts-'))
  const made = Bun.spawnSync([
    'openssl',
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
    '-days',
    '2',
    '-keyout',
    join(root, 'key.pem'),
    '-out',
    join(root, 'cert.pem'),
    '-subj',
    '/CN=registry.test',
    '-addext',
    'subjectAltName=DNS:localhost,IP:127.0.0.1',
  ])
  expect(made.exitCode).toBe(0)
  key = readFileSync(join(root, 'key.pem'), 'utf8')
  cert = readFileSync(join(root, 'cert.pem'), 'utf8')
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

const hostsOf = (config: string): RegistryHosts => {
  const path = join(root, `registries-${crypto.randomUUID()}.conf`)
  writeFileSync(path, config)
  return new RegistryHosts({ CONTAINERS_REGISTRIES_CONF: path })
}
const shown = (endpoints: readonly Endpoint[]): string[] =>
  endpoints.map(
    ({ host, path, isInsecure, isMirror }) =>
      `${isMirror ? 'mirror ' : ''}${host}/${path}${isInsecure ? ' insecure' : ''}`,
  )

async function failureOf(work: Promise<unknown>): Promise<string> {
  try {
    await work
  } catch (error) {
    if (isCairnError(error)) return `${error.code}: ${error.message}`
    throw error
  }
  return 'none'
}

describe('RegistryHosts', () => {
  test('knows where Docker Hub is, and that this machine needs no TLS', () => {
    const hosts = hostsOf('')
    expect(shown(hosts.endpointsFor(parseReference('busybox')))).toEqual(['registry-1.docker.io/library/busybox'])
    for (const host of ['localhost', 'localhost:5000', '127.0.0.1:5000', '127.9.9.9', '[::1]:5000'])
      expect(hosts.endpointFor(parseReference(`${host}/x`)).isInsecure).toBe(true)
    for (const host of ['localhost.example.com', '128.0.0.1', '127.0.0.1.example.com:5000'])
      expect(hosts.endpointFor(parseReference(`${host}/x`)).isInsecure).toBe(false)
  })

  test('goes through mirrors in their order, then to the registry, which alone is pushed to', () => {
    const hosts = hostsOf(`
      [[registry]]
      prefix = "docker.io"
      location = "docker.io"
      [[registry.mirror]]
      location = "cache.example.com/hub"
      [[registry.mirror]]
      location = "10.0.0.1:5000"
      insecure = true
      [[registry]]
      location = "docker.io/team"
      insecure = true
    `)
    const reference = parseReference('busybox:1')
    expect(shown(hosts.endpointsFor(reference))).toEqual([
      'mirror cache.example.com/hub/library/busybox',
      'mirror 10.0.0.1:5000/library/busybox insecure',
      'registry-1.docker.io/library/busybox',
    ])
    expect(shown([hosts.endpointFor(reference)])).toEqual(['registry-1.docker.io/library/busybox'])
    // The longest prefix counts, and only at the end of a name's part.
    expect(shown(hosts.endpointsFor(parseReference('team/app')))).toEqual(['registry-1.docker.io/team/app insecure'])
    expect(shown(hosts.endpointsFor(parseReference('teams/app')))).toHaveLength(3)
  })

  test('rewrites locations, takes subdomains, and keeps mirrors for digests from tags', () => {
    const hosts = hostsOf(`
      [[registry]]
      prefix = "old.example.com/a"
      location = "new.example.com/b"
      [[registry]]
      prefix = "*.corp.example"
      location = "corp.example"
      [[registry]]
      location = "r.example"
      mirror-by-digest-only = true
      [[registry.mirror]]
      location = "m.example"
    `)
    const digest = `sha256:${'a'.repeat(64)}`
    expect(shown(hosts.endpointsFor(parseReference('old.example.com/a/x')))).toEqual(['new.example.com/b/x'])
    expect(shown(hosts.endpointsFor(parseReference('one.corp.example/x')))).toEqual(['corp.example/x'])
    expect(shown(hosts.endpointsFor(parseReference('r.example/x:1')))).toEqual(['r.example/x'])
    expect(shown(hosts.endpointsFor(parseReference(`r.example/x@${digest}`)))).toEqual([
      'mirror m.example/x',
      'r.example/x',
    ])
  })

  test('takes slashes at the end, and the form that was there before [[registry]]', () => {
    const hosts = hostsOf(`
      [registries.insecure]
      registries = ["old.example:5000"]
      [registries.block]
      registries = ["bad.example"]
      [[registry]]
      prefix = "a.example/"
      location = "b.example/c/"
    `)
    expect(shown(hosts.endpointsFor(parseReference('a.example/x')))).toEqual(['b.example/c/x'])
    expect(hosts.endpointFor(parseReference('old.example:5000/x')).isInsecure).toBe(true)
    expect(() => hosts.endpointsFor(parseReference('bad.example/x'))).toThrow('registry bad.example is blocked')
  })

  test('refuses blocked registries, and configuration that it cannot read', () => {
    const blocked = hostsOf('[[registry]]\nlocation = "bad.example"\nblocked = true\n')
    expect(() => blocked.endpointsFor(parseReference('bad.example/x'))).toThrow('registry bad.example is blocked')
    expect(() => blocked.hostEndpoint('bad.example')).toThrow('registry bad.example is blocked')
    for (const [text, why] of [
      ['[[registry]]\nlocation = "https://x"', 'location "https://x" is a URL'],
      ['[registries]\nblock = 1', 'registries.block is not a table with a list'],
      ['[[registry', 'it is not TOML'],
      ['registry = 1', 'registry is not a list'],
      ['[[registry]]\ninsecure = true', 'neither prefix nor location'],
      ['[[registry]]\nlocation = "x"\ninsecure = "yes"', 'insecure is not true or false'],
    ] as const)
      expect(() => hostsOf(text).endpointsFor(parseReference('x'))).toThrow(why)
  })
})

describe('a registry with TLS', () => {
  let registry: ScriptedRegistry
  beforeEach(() => void (registry = new ScriptedRegistry({ tls: { key, cert } })))
  afterEach(() => registry[Symbol.dispose]())

  test('on this machine is spoken to by TLS, whatever its certificate', async () => {
    using client = testClient()
    registry.putImage('app', '1')
    await resolveRemote(client, parseReference(`${registry.host}/app:1`))
    expect(registry.asked('HEAD')).toHaveLength(1)
  })

  test('is trusted by the certificate in certs.d, and by no other', async () => {
    using client = testClient()
    registry.putImage('app', '1')
    const directory = join(client.configDir, 'containers/certs.d', registry.host)
    mkdirSync(directory, { recursive: true })
    writeFileSync(join(directory, 'ca.crt'), cert)
    await resolveRemote(client, parseReference(`${registry.host}/app:1`))
    const other = Bun.spawnSync([
      'openssl',
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-nodes',
      '-days',
      '2',
      '-keyout',
      '/dev/null',
      '-out',
      join(directory, 'ca.crt'),
      '-subj',
      '/CN=other',
    ])
    expect(other.exitCode).toBe(0)
    using again = testClient({ XDG_CONFIG_HOME: client.configDir })
    expect(await failureOf(resolveRemote(again, parseReference(`${registry.host}/app:1`)))).toBe(
      `TLS_UNTRUSTED: ${registry.host}: its certificate is signed by an unknown authority`,
    )
  })

  test('lacks a half of the client certificate: that is said', async () => {
    using client = testClient()
    const directory = join(client.configDir, 'containers/certs.d', registry.host)
    mkdirSync(directory, { recursive: true })
    writeFileSync(join(directory, 'me.cert'), cert)
    expect(await failureOf(resolveRemote(client, parseReference(`${registry.host}/app:1`)))).toContain('lacks me.key')
    writeFileSync(join(directory, 'me.key'), 'no key')
    using again = testClient({ XDG_CONFIG_HOME: client.configDir })
    expect(await failureOf(resolveRemote(again, parseReference(`${registry.host}/app:1`)))).toBe(
      `CONFIG_INVALID: ${directory}/me.key holds no private key in PEM`,
    )
    writeFileSync(join(directory, 'ca.crt'), '')
    using third = testClient({ XDG_CONFIG_HOME: client.configDir })
    expect(await failureOf(resolveRemote(third, parseReference(`${registry.host}/app:1`)))).toBe(
      `CONFIG_INVALID: ${directory}/ca.crt holds no certificate in PEM`,
    )
  })

  test('does not lead to one without', async () => {
    using plain = new ScriptedRegistry()
    using client = testClient()
    registry.intercept = (_request, url) =>
      url.pathname === '/v2/' ? undefined : Response.redirect(`${plain.url}/x`, 307)
    expect(await failureOf(resolveRemote(client, parseReference(`${registry.host}/app:1`)))).toContain(
      'which is not HTTPS',
    )
    expect(plain.seen).toEqual([])
  })
})

describe('a registry that is not there', () => {
  /** As if the host were any other: not one of this machine. */
  function strict(host: string, client: ReturnType<typeof testClient>): Repository {
    return new Repository(client, { host, path: 'app', isInsecure: false, isMirror: false }, { name: `${host}/app` })
  }

  test.each([
    ['refuses connections', '127.0.0.1:1', 'CONNECTION_REFUSED: 127.0.0.1:1: connection refused'],
    ['has no address', 'no.such.invalid', 'HOST_UNKNOWN: no.such.invalid: no such host'],
  ])('%s: one error says so', async (_what, host, message) => {
    using client = testClient({})
    expect(await failureOf(strict(host, client).document('1'))).toBe(message)
  })

  test('speaks HTTP where HTTPS is due: it gets nothing', async () => {
    using plain = new ScriptedRegistry()
    using client = testClient()
    writeFileSync(
      join(client.configDir, 'config.json'),
      JSON.stringify({ auths: { [plain.host]: { auth: 'bWU6c2VjcmV0' } } }),
    )
    expect(await failureOf(strict(plain.host, client).document('1'))).toBe(
      `TLS_EXPECTED: ${plain.host}: the server gave HTTP response to HTTPS client`,
    )
    expect(plain.seen).toEqual([])
  })

  test('is no reason to fail where a mirror has the image, nor is a mirror that fails', async () => {
    using mirror = new ScriptedRegistry()
    mirror.putImage('hub/app', '1')
    const path = join(root, 'mirrored.conf')
    const rule = (...hosts: string[]): string =>
      `[[registry]]\nlocation = "127.0.0.1:1"\n${hosts.map((host) => `[[registry.mirror]]\nlocation = "${host}/hub"\n`).join('')}`
    writeFileSync(path, rule('127.0.0.1:2', mirror.host))
    using client = testClient({ CONTAINERS_REGISTRIES_CONF: path })
    const { repositories } = await resolveRemote(client, parseReference('127.0.0.1:1/app:1'))
    expect(repositories[0].endpoint.host).toBe(mirror.host)
    expect(await failureOf(resolveRemote(client, parseReference('127.0.0.1:1/app:2')))).toStartWith(
      'CONNECTION_REFUSED',
    )
  })

  test('warns as it wants to, each warning once', async () => {
    using registry = new ScriptedRegistry()
    const warnings: string[] = []
    using client = testClient({}, { onWarning: (text) => void warnings.push(text) })
    const headers = { Warning: '299 - "soon \\"gone\\"", 110 - "no", 299 - "soon \\"gone\\""' }
    registry.intercept = () => new Response(null, { status: 404, headers })
    await failureOf(resolveRemote(client, parseReference(`${registry.host}/app:1`)))
    expect(warnings).toEqual([`${registry.host}: soon "gone"`])
  })
})
