import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Server } from 'bun'
import { forgetFetchedFiles, listFetchedFiles } from '../content/fetched-files.ts'
import { collectGarbage } from '../content/gc.ts'
import { acquireLease, type Lease } from '../content/leases.ts'
import { openStore, type Store } from '../content/store.ts'
import { digestOf } from '../oci/digest.ts'
import { defaultLimits, type RemoteAccess, type RemoteLimits } from './access.ts'
import { fetchFile } from './http.ts'
import { fileNameOf } from './http-url.ts'

type Answer = (request: Request) => Response | Promise<Response>

let directory: string
let store: Store
let lease: Lease
let servers: Server<undefined>[]
let requests: { url: string; headers: Record<string, string> }[]

beforeEach(() => {
  directory = mkdtempSync('/tmp/cairn-http-')
  store = openStore(`${directory}/store`)
  lease = acquireLease(store)
  servers = []
  requests = []
})

afterEach(async () => {
  for (const server of servers) await server.stop(true)
  store.close()
  rmSync(directory, { recursive: true })
})

/** Address of a server on loopback that answers so. */
function serve(answer: Answer): string {
  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch: (request) => {
      requests.push({ url: new URL(request.url).pathname, headers: Object.fromEntries(request.headers) })
      return answer(request)
    },
  })
  servers.push(server)
  return `http://127.0.0.1:${server.port}`
}

interface Surroundings {
  readonly secrets?: Readonly<Record<string, string>>
  readonly limits?: Partial<RemoteLimits>
  readonly signal?: AbortSignal
  readonly env?: Readonly<Record<string, string>>
}

function access({ secrets = {}, limits = {}, signal, env = {} }: Surroundings = {}): RemoteAccess {
  return {
    store,
    lease,
    signal: signal ?? new AbortController().signal,
    env,
    secret: (id) => secrets[id],
    limits: { ...defaultLimits, ...limits },
  }
}

const content = (digest: string): string => readFileSync(store.blobs.path(digest as never), 'utf8')

/** A server that sends these bytes and then closes the connection. */
async function serveRaw(text: string): Promise<{ url: string; stop: () => void }> {
  const listener = Bun.listen({
    hostname: '127.0.0.1',
    port: 0,
    socket: {
      data(socket) {
        socket.write(text)
        socket.end()
      },
    },
  })
  return { url: `http://127.0.0.1:${listener.port}/file`, stop: () => listener.stop(true) }
}

describe('fetchFile()', () => {
  test('stores the bytes with name, size and time', async () => {
    const url = serve(() => new Response('hello', { headers: { 'Last-Modified': 'Sun, 06 Nov 1994 08:49:37 GMT' } }))
    const file = await fetchFile(`${url}/dir/the%20file?x=1`, access())
    expect(file).toEqual({
      digest: digestOf('hello'),
      size: 5,
      name: 'the file',
      lastModified: 784111777,
      isUnchanged: false,
    })
    expect(content(file.digest)).toBe('hello')
    expect(requests[0]?.headers['user-agent']).toBe('cairn')
  })

  test('asks again only whether the file changed when the server gave an ETag', async () => {
    let version = 'one'
    let sent = 0
    const url = serve((request) => {
      if (request.headers.get('if-none-match') === `"${version}"`) return new Response(null, { status: 304 })
      sent += 1
      return new Response(version, { headers: { ETag: `"${version}"` } })
    })
    expect(await fetchFile(`${url}/f`, access())).toMatchObject({ digest: digestOf('one'), isUnchanged: false })
    expect(await fetchFile(`${url}/f`, access())).toMatchObject({ digest: digestOf('one'), isUnchanged: true })
    version = 'two'
    expect(await fetchFile(`${url}/f`, access())).toMatchObject({ digest: digestOf('two'), isUnchanged: false })
    expect(sent).toBe(2)
  })

  test('takes the same ETag for the same file from a server that ignores conditions, without reading the body', async () => {
    const url = serve(() => new Response('x'.repeat(1 << 20), { headers: { ETag: '"same"' } }))
    await fetchFile(`${url}/f`, access())
    let read = 0
    const again = await fetchFile(`${url}/f`, access(), { onProgress: (current) => (read = current) })
    expect(again.isUnchanged).toBe(true)
    expect(read).toBe(0)
  })

  test('asks by date when there is no ETag, and only by a date that is old enough to be sure', async () => {
    const old = 'Sun, 06 Nov 1994 08:49:37 GMT'
    const url = serve((request) => {
      if (request.headers.get('if-modified-since') === old) return new Response(null, { status: 304 })
      const modified = request.url.endsWith('/old') ? old : new Date().toUTCString()
      return new Response('x', { headers: { 'Last-Modified': modified } })
    })
    for (const path of ['old', 'new']) await fetchFile(`${url}/${path}`, access())
    expect(await fetchFile(`${url}/old`, access())).toMatchObject({ isUnchanged: true, lastModified: 784111777 })
    expect((await fetchFile(`${url}/new`, access())).isUnchanged).toBe(false)
    expect(requests.at(-1)?.headers['if-modified-since']).toBeUndefined()
  })

  test('asks nobody when the URL gave the bytes of the checksum before', async () => {
    const url = serve(() => new Response('pinned', { headers: { 'Last-Modified': 'Sun, 06 Nov 1994 08:49:37 GMT' } }))
    const checksum = digestOf('pinned')
    await fetchFile(`${url}/f`, access(), { checksum })
    expect(requests).toHaveLength(1)
    const again = await fetchFile(`${url}/f`, access(), { checksum })
    expect(again).toMatchObject({ digest: checksum, lastModified: 784111777 })
    expect(requests).toHaveLength(1)
  })

  test('fails in the words of BuildKit when the bytes are not those of the checksum', async () => {
    const url = serve(() => new Response('other'))
    const checksum = digestOf('wanted')
    await expect(fetchFile(`${url}/f`, access(), { checksum })).rejects.toMatchObject({
      code: 'BLOB_CORRUPT',
      message: `digest mismatch for ${url}/f: ${digestOf('other')} (expected: ${checksum})`,
    })
  })

  test('fetches again when the blob was removed, and keeps it until it is forgotten', async () => {
    const url = serve((request) =>
      request.headers.has('if-none-match')
        ? new Response(null, { status: 304 })
        : new Response('kept', { headers: { ETag: '"k"' } }),
    )
    const { digest } = await fetchFile(`${url}/f`, access())
    lease.release()
    lease = acquireLease(store)
    await collectGarbage(store)
    expect(store.blobs.has(digest)).toBe(true)
    expect(listFetchedFiles(store)).toHaveLength(1)
    forgetFetchedFiles(store, listFetchedFiles(store))
    expect(listFetchedFiles(store)).toEqual([])
    await collectGarbage(store)
    expect(store.blobs.has(digest)).toBe(false)
    expect((await fetchFile(`${url}/f`, access())).digest).toBe(digest)
  })

  test('follows redirections, names the file after the first URL, and stops after ten', async () => {
    const url = serve((request) => {
      const { pathname } = new URL(request.url)
      if (pathname === '/there') return new Response('found')
      return Response.redirect(pathname === '/here' ? '/there' : '/loop', 302)
    })
    expect(await fetchFile(`${url}/here`, access())).toMatchObject({ name: 'here', digest: digestOf('found') })
    await expect(fetchFile(`${url}/loop`, access())).rejects.toThrow('stopped after 10 redirects')
  })

  test.each(['file:///etc/passwd', 'ftp://127.0.0.1/x', 'data:,x', 'http://['])(
    'does not follow a redirection to %s',
    async (location) => {
      const url = serve(() => new Response(null, { status: 302, headers: { Location: location } }))
      await expect(fetchFile(`${url}/f`, access())).rejects.toMatchObject({ code: 'NETWORK' })
    },
  )

  test('sends the secrets of a host, the header before the token, before those of the URL', async () => {
    const url = serve(() => new Response('x'))
    const secrets: Record<string, string> = {}
    const sent = async (address: string): Promise<string | undefined> => {
      await fetchFile(address, access({ secrets }))
      return requests.at(-1)?.headers['authorization']
    }
    const withUser = `${url.replace('//', '//me:p%40ss@')}/f`
    expect(await sent(`${url}/f`)).toBeUndefined()
    expect(await sent(withUser)).toBe(`Basic ${Buffer.from('me:p@ss').toString('base64')}`)
    secrets['HTTP_AUTH_TOKEN_127.0.0.1'] = 'abc\n'
    expect(await sent(withUser)).toBe('Bearer abc')
    secrets['HTTP_AUTH_HEADER_127.0.0.1'] = 'Digest xyz'
    expect(await sent(`${url}/f`)).toBe('Digest xyz')
  })

  test('keeps credentials from another origin, also when that leads back', async () => {
    const other = serve((request) => {
      if (new URL(request.url).pathname === '/back') return Response.redirect(`${first}/end`, 302)
      return new Response('x')
    })
    const first = serve((request) => {
      const { pathname } = new URL(request.url)
      if (pathname === '/same') return Response.redirect('/end', 302)
      if (pathname === '/end') return new Response('x')
      return Response.redirect(`${other}${pathname}`, 302)
    })
    const secrets = { 'HTTP_AUTH_TOKEN_127.0.0.1': 'secret' }
    const seen = (): [string, boolean][] => requests.map(({ url, headers }) => [url, 'authorization' in headers])
    await fetchFile(`${first}/away`, access({ secrets }))
    await fetchFile(`${first}/back`, access({ secrets }))
    await fetchFile(`${first}/same`, access({ secrets }))
    expect(seen()).toEqual([
      ['/away', true],
      ['/away', false],
      ['/back', true],
      ['/back', false],
      ['/end', false],
      ['/same', true],
      ['/end', true],
    ])
  })

  test('shows no credential in an error and keeps none in the store', async () => {
    const url = serve(() => new Response('gone', { status: 404 }))
    const address = `${url.replace('//', '//me:hunter2@')}/f?token=hunter3`
    const failure = await fetchFile(address, access()).catch((error: Error) => error)
    expect(failure).toMatchObject({
      code: 'NETWORK',
      message: `failed to fetch ${url}/f?token=xxxxx: invalid response status 404`,
    })
    const working = serve(() => new Response('x', { headers: { ETag: '"x"' } })).replace('//', '//me:hunter2@')
    await fetchFile(`${working}/f`, access())
    expect(JSON.stringify(store.database.all('SELECT * FROM fetched_files'))).not.toContain('hunter')
  })

  test('stores a file that the server compressed for the way as what it is', async () => {
    const packed = Bun.gzipSync(new TextEncoder().encode('plain text'))
    const url = serve(() => new Response(packed, { headers: { 'Content-Encoding': 'gzip' } }))
    expect(content((await fetchFile(`${url}/f`, access())).digest)).toBe('plain text')
  })

  test('limits what a server may send, whatever it announces', async () => {
    const endless = serve(
      () =>
        new Response(
          new ReadableStream({
            pull: (controller) => controller.enqueue(new Uint8Array(64 * 1024)),
          }),
        ),
    )
    const limits = { size: 1_000_000 }
    const message = 'is larger than the limit of 1000000 bytes'
    await expect(fetchFile(`${endless}/f`, access({ limits }))).rejects.toThrow(message)
    const honest = serve(() => new Response(new Uint8Array(1_000_001)))
    await expect(fetchFile(`${honest}/f`, access({ limits }))).rejects.toThrow(message)
    const bomb = Bun.gzipSync(new Uint8Array(50_000_000))
    const packed = serve(() => new Response(bomb, { headers: { 'Content-Encoding': 'gzip' } }))
    await expect(fetchFile(`${packed}/f`, access({ limits }))).rejects.toThrow(message)
  })

  test.each([
    ['a body that is too short', 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort'],
    ['a chunked body without an end', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n'],
    ['an answer that is no HTTP', 'SSH-2.0-OpenSSH_9.2\r\n'],
    ['no answer', ''],
  ])('fails at %s and keeps nothing', async (_, text) => {
    const { url, stop } = await serveRaw(text)
    try {
      await expect(fetchFile(url, access())).rejects.toMatchObject({ code: 'NETWORK' })
      await Bun.sleep(20)
      expect(store.database.all('SELECT * FROM fetched_files')).toEqual([])
    } finally {
      stop()
    }
  })

  test('fails at a host that nobody listens on', async () => {
    const url = serve(() => new Response(''))
    await servers[0]?.stop(true)
    await expect(fetchFile(`${url}/f`, access())).rejects.toMatchObject({
      code: 'NETWORK',
      message: `failed to fetch ${url}/f: connection refused`,
    })
  })

  test('gives up on a server that falls silent, before and within the body', async () => {
    const limits = { stall: 100 }
    const mute = serve(() => new Promise(() => undefined))
    await expect(fetchFile(`${mute}/f`, access({ limits }))).rejects.toThrow('the server sent nothing for 0.1 s')
    const slow = serve(() => new Response(new ReadableStream({ start: (controller) => controller.enqueue('begin') })))
    await expect(fetchFile(`${slow}/f`, access({ limits }))).rejects.toThrow('the server sent nothing for 0.1 s')
  })

  test('ends at once when it is canceled', async () => {
    const slow = serve(() => new Response(new ReadableStream({ start: (controller) => controller.enqueue('begin') })))
    const abort = new AbortController()
    const reason = new Error('enough')
    setTimeout(() => abort.abort(reason), 50)
    const started = Date.now()
    expect(await fetchFile(`${slow}/f`, access({ signal: abort.signal })).catch((error: unknown) => error)).toBe(reason)
    expect(Date.now() - started).toBeLessThan(2000)
    expect(await fetchFile(`${slow}/f`, access({ signal: abort.signal })).catch((error: unknown) => error)).toBe(reason)
  })

  test('trusts the authorities of SSL_CERT_FILE and no others', async () => {
    const key = join(directory, 'key.pem')
    const cert = join(directory, 'cert.pem')
    const subject = '-subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1'
    const command = `openssl req -x509 -newkey rsa:2048 -nodes -keyout ${key} -out ${cert} -days 2 ${subject}`
    const made = Bun.spawnSync(command.split(' '), { stderr: 'ignore' })
    expect(made.exitCode).toBe(0)
    const server = Bun.serve({
      port: 0,
      tls: { key: Bun.file(key), cert: Bun.file(cert) },
      fetch: () => new Response('safe'),
    })
    servers.push(server)
    const url = `https://localhost:${server.port}/f`
    await expect(fetchFile(url, access())).rejects.toMatchObject({ code: 'NETWORK' })
    expect(content((await fetchFile(url, access({ env: { SSL_CERT_FILE: cert } }))).digest)).toBe('safe')
    const empty = join(directory, 'none.pem')
    writeFileSync(empty, '')
    await expect(fetchFile(`${url}/2`, access({ env: { SSL_CERT_FILE: empty } }))).rejects.toMatchObject({
      code: 'NETWORK',
    })
  })
})

describe('fileNameOf()', () => {
  test.each([
    ['http://h/a/b.txt', 'b.txt'],
    ['http://h/a/b/', 'b'],
    ['http://h', '__unnamed__'],
    ['http://h/?file=x', '__unnamed__'],
    ['http://h/a%2Fb', 'b'],
    ['http://h/a%00b', 'download'],
    ['http://h/x%2F..', 'download'],
    ['http://h/%zz', '%zz'],
    ['http://h/a*[b', 'a*[b'],
  ])('of %s is %s', (url, name) => {
    expect(fileNameOf(url)).toBe(name)
  })
})
