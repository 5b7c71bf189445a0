import { afterEach, expect, test } from 'bun:test'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { cairnProgram } from '../../../test/fixtures/suite.ts'
import { digestOf } from '../../oci/digest.ts'

const cleanups: (() => Promise<void> | void)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'cairn-serve-'))
  cleanups.push(() => rmSync(directory, { recursive: true, force: true }))
  return directory
}

interface Served {
  readonly process: Bun.Subprocess<'ignore', 'pipe', 'pipe'>
  readonly url: string
}

function cairn(root: string, ...args: string[]): Bun.Subprocess<'ignore', 'pipe', 'pipe'> {
  return Bun.spawn([...cairnProgram, ...args], {
    env: { ...process.env, CAIRN_ROOT: root },
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
  })
}

/** Starts `cairn registry serve` on a free port and waits until it listens. */
async function serve(root: string, ...args: string[]): Promise<Served> {
  const child = cairn(root, 'registry', 'serve', '--addr', '127.0.0.1:0', ...args)
  cleanups.push(async () => {
    child.kill('SIGKILL')
    await child.exited
  })
  let text = ''
  for await (const chunk of child.stderr) {
    text += new TextDecoder().decode(chunk)
    const url = /Registry at (\S+)/.exec(text)?.[1]
    if (url !== undefined) return { process: child, url }
  }
  throw new Error(`the server ended: ${text}`)
}

async function run(root: string, ...args: string[]): Promise<{ status: number; stdout: string; stderr: string }> {
  const child = cairn(root, ...args)
  const [stdout, stderr, status] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  return { status, stdout, stderr }
}

async function begin(url: string, name: string): Promise<string> {
  const response = await fetch(`${url}/v2/${name}/blobs/uploads/`, { method: 'POST' })
  return url + (response.headers.get('location') ?? '')
}

test('registry serve survives kill -9 in the middle of pushes: what was confirmed is there, uploads go on', async () => {
  const root = temporaryDirectory()
  const bytes = new Uint8Array(8_000_000).map((_, index) => (index * 7) % 253)
  const first = await serve(root)
  const confirmed = digestOf('confirmed')
  const pushed = await fetch(`${first.url}/v2/r/blobs/uploads/?digest=${confirmed}`, {
    method: 'POST',
    body: 'confirmed',
  })
  expect(pushed.status).toBe(201)
  const location = await begin(first.url, 'r')
  let sent = 0
  const body = new ReadableStream({
    async pull(controller) {
      if (sent >= 4_000_000) first.process.kill('SIGKILL')
      controller.enqueue(bytes.subarray(sent, sent + 500_000))
      sent += 500_000
      await Bun.sleep(5)
    },
  })
  await expect(fetch(location, { method: 'PATCH', body })).rejects.toThrow()
  await first.process.exited

  const second = await serve(root)
  expect(await (await fetch(`${second.url}/v2/r/blobs/${confirmed}`)).text()).toBe('confirmed')
  const moved = location.replace(first.url, second.url)
  const status = await fetch(moved)
  expect(status.status).toBe(204)
  const offset = Number(status.headers.get('range')?.slice(2)) + 1
  expect(offset).toBeGreaterThan(1)
  const rest = bytes.subarray(offset)
  const headers = { 'content-range': `${offset}-${bytes.length - 1}` }
  const digest = digestOf(bytes)
  const put = await fetch(`${moved}?digest=${digest}`, { method: 'PUT', body: rest, headers })
  expect(put.status).toBe(201)
  expect(digestOf(await (await fetch(`${second.url}/v2/r/blobs/${digest}`)).bytes())).toBe(digest)
}, 30_000)

test('registry serve ends on SIGTERM with status 0, after the requests under way', async () => {
  const { process: child, url } = await serve(temporaryDirectory())
  const location = await begin(url, 'r')
  const body = new ReadableStream({
    async start(controller) {
      controller.enqueue(new TextEncoder().encode('slow '))
      await Bun.sleep(200)
      child.kill('SIGTERM')
      await Bun.sleep(300)
      controller.enqueue(new TextEncoder().encode('push'))
      controller.close()
    },
  })
  const response = await fetch(`${location}?digest=${digestOf('slow push')}`, { method: 'PUT', body })
  expect(response.status).toBe(201)
  expect(await child.exited).toBe(0)
}, 30_000)

test('several servers of one store see the same at once', async () => {
  const root = temporaryDirectory()
  const [one, two] = await Promise.all([serve(root), serve(root)])
  const location = await begin(one.url, 'r')
  expect((await fetch(location, { method: 'PATCH', body: 'first ' })).status).toBe(202)
  const elsewhere = location.replace(one.url, two.url)
  expect((await fetch(elsewhere, { method: 'PATCH', body: 'second' })).status).toBe(202)
  const digest = digestOf('first second')
  expect((await fetch(`${location}?digest=${digest}`, { method: 'PUT' })).status).toBe(201)
  expect(await (await fetch(`${two.url}/v2/r/blobs/${digest}`)).text()).toBe('first second')
  expect((await fetch(`${two.url}/v2/r/blobs/${digest}`, { method: 'DELETE' })).status).toBe(202)
  expect((await fetch(`${one.url}/v2/r/blobs/${digest}`)).status).toBe(404)
}, 30_000)

test('registry serve takes a new certificate without being started again, nor ending what is under way', async () => {
  const directory = temporaryDirectory()
  const { cert, key, pem: old } = certificate(directory, 'old')
  const config = join(directory, 'registry.toml')
  writeFileSync(config, 'drain = "200ms"\n')
  const { url } = await serve(join(directory, 'root'), '--config', config, '--tls-cert', cert, '--tls-key', key)
  const status = async (ca: string) => {
    const response = await fetch(`${url}/v2/`, { tls: { ca }, keepalive: false }).catch(() => undefined)
    return response?.status
  }
  expect(url).toStartWith('https://')
  expect(await status(old)).toBe(200)
  const digest = digestOf('begun and ended')
  const mayEnd = Promise.withResolvers<void>()
  const upload = fetch(`${url}/v2/r/blobs/uploads/?digest=${digest}`, {
    method: 'POST',
    tls: { ca: old },
    body: new ReadableStream({
      async start(controller) {
        controller.enqueue(new TextEncoder().encode('begun '))
        await mayEnd.promise
        controller.enqueue(new TextEncoder().encode('and ended'))
        controller.close()
      },
    }),
  })
  const { pem: fresh } = certificate(directory, 'new')
  const deadline = Date.now() + 15_000
  while ((await status(fresh)) !== 200 && Date.now() < deadline) await Bun.sleep(200)
  expect(await status(fresh)).toBe(200)
  expect(await status(old)).toBeUndefined()
  await Bun.sleep(500)
  mayEnd.resolve()
  expect((await upload).status).toBe(201)
}, 40_000)

test('registry serve with --htpasswd and a token of registry token', async () => {
  const directory = temporaryDirectory()
  const root = join(directory, 'root')
  const path = (name: string) => join(directory, name)
  const hash = await Bun.password.hash('secret', { algorithm: 'bcrypt', cost: 4 })
  writeFileSync(path('users'), `ann:${hash}\n`)
  writeFileSync(path('rules'), '[[rules]]\nrepositories = ["**"]\nusers = ["ann", "ci"]\nallow = ["pull", "push"]\n')
  writeFileSync(path('config.toml'), `[auth]\napi-tokens = "${path('tokens')}"\n`)
  const made = await run(root, 'registry', 'token', '--file', path('tokens'), '--allow', 'pull', 'ci')
  expect(made.stdout).toMatch(/^cairn_[\w-]{43}\n$/)
  const args = ['--config', path('config.toml'), '--htpasswd', path('users'), '--rules', path('rules')]
  const { url } = await serve(root, ...args)
  const status = async (user: string, password: string, method: string, target: string) => {
    const headers = { authorization: `Basic ${btoa(`${user}:${password}`)}` }
    return (await fetch(url + target, { method, headers })).status
  }
  expect((await fetch(`${url}/v2/`)).status).toBe(401)
  expect(await status('ann', 'secret', 'POST', '/v2/a/blobs/uploads/')).toBe(202)
  expect(await status('ci', made.stdout.trim(), 'GET', '/v2/')).toBe(200)
  expect(await status('ci', made.stdout.trim(), 'POST', '/v2/a/blobs/uploads/')).toBe(403)
}, 30_000)

test('registry gc removes what no manifest names, beside a server', async () => {
  const root = temporaryDirectory()
  const { url } = await serve(root)
  const digest = digestOf('loose')
  await fetch(`${url}/v2/r/blobs/uploads/?digest=${digest}`, { method: 'POST', body: 'loose' })
  const kept = await run(root, 'registry', 'gc')
  expect(kept.stdout).toBe('Total reclaimed space: 0B\n')
  const told = await run(root, 'registry', 'gc', '--grace', '0s', '--dry-run')
  expect(told.stdout).toBe(`blob\tr\t${digest}\t5B\nTotal reclaimable space: 5B\n`)
  expect((await fetch(`${url}/v2/r/blobs/${digest}`)).status).toBe(200)
  const done = await run(root, 'registry', 'gc', '--grace', '0s')
  expect(done.stdout).toBe(`blob\tr\t${digest}\t5B\nTotal reclaimed space: 5B\n`)
  expect((await fetch(`${url}/v2/r/blobs/${digest}`)).status).toBe(404)
}, 30_000)

test.each([
  [['--addr', 'nonsense'], 'not HOST:PORT: "nonsense"'],
  [['--tls-cert', 'x'], '--tls-cert and --tls-key are needed together'],
  [['--config', '/nowhere/x.toml'], '/nowhere/x.toml cannot be read: no such file or directory'],
  [['--htpasswd', '/nowhere/users'], '/nowhere/users cannot be read: no such file or directory'],
])('registry serve %j is refused', async (args, message) => {
  const { status, stderr } = await run(temporaryDirectory(), 'registry', 'serve', '--addr', '127.0.0.1:0', ...args)
  expect(stderr).toContain(message)
  expect(status).not.toBe(0)
})

test('registry serve on an address that is taken says so, also by another one with TLS', async () => {
  const directory = temporaryDirectory()
  const files = certificate(directory, 'one')
  for (const args of [[], ['--tls-cert', files.cert, '--tls-key', files.key], ['--workers', '2']]) {
    const { url } = await serve(join(directory, 'first'), ...args)
    const { port } = new URL(url)
    const { status, stderr } = await run(
      join(directory, 'second'),
      'registry',
      'serve',
      '--addr',
      `127.0.0.1:${port}`,
      ...args,
    )
    expect(stderr).toContain('in use')
    expect(stderr).toContain('Choose another address with --addr.')
    expect(status).toBe(1)
  }
}, 30_000)

/** Process IDs of the workers of a server. */
function workersOf(server: Bun.Subprocess): number[] {
  const children = readFileSync(`/proc/${server.pid}/task/${server.pid}/children`, 'utf8')
  return children.split(' ').filter(Boolean).map(Number)
}

function isRunning(pid: number): boolean {
  try {
    return !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z ')
  } catch {
    return false
  }
}

/** Waits until something is so. */
async function until(what: () => boolean | Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 20_000; !(await what()); await Bun.sleep(20))
    if (Date.now() > deadline) throw new Error('it does not become so')
}

test('registry serve --workers answers by several processes that count, limit and tell as one', async () => {
  const directory = temporaryDirectory()
  const events: string[] = []
  using hook = Bun.serve({
    port: 0,
    fetch: async (request) => {
      const { events: all } = (await request.json()) as { events: { action: string }[] }
      events.push(...all.map(({ action }) => action))
      return new Response()
    },
  })
  const config = join(directory, 'registry.toml')
  writeFileSync(
    config,
    `workers = 4
    [limits]
    requests = "60/h"
    [log]
    requests = "none"
    [metrics]
    addr = "127.0.0.1:0"
    [[webhooks]]
    url = "${hook.url.href}"
    events = ["push"]`,
  )
  const { process: server, url } = await serve(join(directory, 'root'), '--config', config)
  expect(workersOf(server)).toHaveLength(3)
  const alone = { keepalive: false, headers: { connection: 'close' } }
  // Each by a connection of its own.
  const digest = digestOf('x')
  const pushes = Array.from({ length: 20 }, (_, index) =>
    fetch(`${url}/v2/r${index}/blobs/uploads/?digest=${digest}`, { ...alone, method: 'POST', body: 'x' }),
  )
  for (const push of pushes) expect((await push).status).toBe(201)
  const statuses: number[] = []
  for (let count = 0; count < 50; count++) statuses.push((await fetch(`${url}/v2/`, alone)).status)
  expect(statuses.filter((status) => status === 200)).toHaveLength(40)
  expect(statuses.filter((status) => status === 429)).toHaveLength(10)
  await until(() => events.length >= 20)
  expect(events).toEqual(Array.from({ length: 20 }, () => 'push'))
}, 40_000)

test('registry serve --workers puts a worker in the place of one that died, and ends with all of them', async () => {
  const root = temporaryDirectory()
  const { process: server, url } = await serve(root, '--workers', '3')
  const first = workersOf(server)
  expect(first).toHaveLength(2)
  process.kill(first[0] as number, 'SIGKILL')
  await until(() => workersOf(server).length === 2 && !workersOf(server).includes(first[0] as number))
  await until(async () => (await fetch(`${url}/healthz`, { keepalive: false })).status === 200)
  const second = workersOf(server)
  server.kill('SIGTERM')
  expect(await server.exited).toBe(0)
  expect(second.filter(isRunning)).toEqual([])
  const { process: killed } = await serve(root, '--workers', '3')
  const left = workersOf(killed)
  killed.kill('SIGKILL')
  await until(() => !left.some(isRunning))
}, 60_000)

/** Makes a certificate of 127.0.0.1 that is its own authority. */
function certificate(
  directory: string,
  name: string,
): { readonly cert: string; readonly key: string; readonly pem: string } {
  const [cert, key] = [join(directory, 'cert.pem'), join(directory, 'key.pem')]
  const subject = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1']
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2']
  const made = Bun.spawnSync(['openssl', 'req', '-x509', ...kind, ...subject, '-keyout', key, '-out', cert])
  if (made.exitCode !== 0) throw new Error(made.stderr.toString())
  return { cert, key, pem: readFileSync(cert, 'utf8') }
}
