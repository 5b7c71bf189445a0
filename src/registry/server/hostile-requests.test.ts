import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { connect } from 'node:net'
import { digestOf } from '../../oci/digest.ts'
import { mediaTypes } from '../../oci/media-types.ts'
import { controlAccess } from '../access/access-control.ts'
import {
  imageManifest,
  pushBlob,
  putManifest,
  refusal,
  startTestRegistry,
  type TestRegistry,
} from './registry-fixtures.ts'

let registry: TestRegistry
beforeAll(() => {
  registry = startTestRegistry()
})
afterAll(() => registry[Symbol.asyncDispose]())

describe('hostile requests', () => {
  test.each([
    '/v2/../../etc/passwd/manifests/x',
    '/v2/%2e%2e%2f%2e%2e%2fetc/manifests/x',
    '/v2/a//b/manifests/x',
    '/v2/A/manifests/x',
    '/v2/a_/manifests/x',
    `/v2/${'a'.repeat(256)}/manifests/x`,
    '/v2//manifests/x',
    '/v2/a%00b/manifests/x',
    '/v2/%ff/manifests/x',
    '/v2/a/blobs/uploads%2F..%2F..%2Fx',
    '/v2/a/blobs/sha256:..%2f..%2fcairn.db',
    '/v2/a/nothing/x',
    '/nowhere',
    '/v2/a',
  ])('%s is refused', async (path) => {
    for (const method of ['GET', 'PUT', 'DELETE', 'POST', 'PATCH']) {
      const response = await rawRequest(`${method} ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
      expect(Number(/^HTTP\/1\.1 (\d+)/.exec(response)?.[1])).toBeOneOf([400, 404, 405])
    }
  })

  test('no mixture of paths, parameters, headers and bodies makes the server fail', async () => {
    const word = fc.constantFrom(
      'a',
      'b/c',
      'manifests',
      'blobs',
      'uploads',
      'tags',
      'list',
      'referrers',
      '_catalog',
      'latest',
      '..',
      '',
      '%00',
      '%2f',
      '%',
      'A',
      '-',
      'é',
      '__proto__',
      'toString',
      'sha256:x',
      digestOf('{}'),
      digestOf('{}', 'sha512'),
    )
    const value = fc.oneof(word, fc.constantFrom('0', '-1', '1e9', '9'.repeat(30), '*', '"', '\u0000', 'sha512', '{}'))
    const parameter = fc.constantFrom('n', 'last', 'digest', 'mount', 'from', 'tag', 'artifactType', 'digest-algorithm')
    const header = fc.constantFrom(
      'range',
      'content-range',
      'content-type',
      'if-none-match',
      'if-match',
      'authorization',
    )
    const headerValue = fc.constantFrom(
      'bytes=0-1',
      'bytes=-',
      '0-1',
      '5-1',
      'bytes 0-1/*',
      '*',
      '"x"',
      'W/"x"',
      ',,,',
      ';',
      'Basic eA==',
      'Bearer x',
      mediaTypes.ociManifest,
      mediaTypes.ociIndex,
    )
    const body = fc.oneof(
      fc.constantFrom('', '{', '[]', 'null', '{"schemaVersion":2,"manifests":[{}]}', imageManifest().text),
      fc
        .record({ subject: fc.json(), layers: fc.json(), annotations: fc.json() })
        .map(({ subject, layers, annotations }) => {
          const fields = {
            subject: JSON.parse(subject),
            layers: JSON.parse(layers),
            annotations: JSON.parse(annotations),
          }
          return imageManifest(fields).text
        }),
    )
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom('GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'),
        fc.array(word, { minLength: 1, maxLength: 5 }),
        fc.array(fc.tuple(parameter, value), { maxLength: 3 }),
        fc.dictionary(header, headerValue, { maxKeys: 2 }),
        body,
        async (method, words, parameters, headers, content) => {
          const query = parameters.map(([name, one]) => `${name}=${encodeURIComponent(one)}`).join('&')
          const payload = method === 'GET' || method === 'HEAD' ? {} : { body: content }
          const response = await registry.fetch(`/v2/${words.join('/')}?${query}`, { method, headers, ...payload })
          expect(response.status).toBeLessThan(500)
          if (response.status >= 400 && method !== 'HEAD') expect((await refusal(response)).code).toMatch(/^[A-Z_]+$/)
        },
      ),
      { numRuns: 500 },
    )
  })

  test.each(['A', 'AA=', 'AB==', '=', 'e30', 'e30=\n', 'e3-=', 5, null])('inline data %j is refused', async (data) => {
    const config = { mediaType: mediaTypes.ociEmpty, digest: digestOf('{}'), size: 2, data }
    const response = await putManifest(registry, 'data', 't', imageManifest({ config }).text)
    expect(await refusal(response)).toEqual({ status: 400, code: 'MANIFEST_INVALID' })
  })

  test('clients that name no host, or none that can be one, are answered', async () => {
    expect(await rawRequest('GET /healthz HTTP/1.0\r\n\r\n')).toStartWith('HTTP/1.1 200')
    for (const host of ['', 'a"b', 'a b', '[', 'a:99999', '%', 'a/b'])
      expect(await rawRequest(`GET /v2/ HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)).toMatch(
        /^HTTP\/1\.1 200/,
      )
  })

  test('names may have components that look like endpoints', async () => {
    const { text } = imageManifest()
    for (const name of ['blobs', 'a/blobs/uploads', 'tags/list', 'manifests/x/referrers', 'v2']) {
      expect((await putManifest(registry, name, 't', text)).status).toBe(201)
      expect(await (await registry.fetch(`/v2/${name}/manifests/t`)).text()).toBe(text)
      expect((await registry.fetch(`/v2/${name}/tags/list`)).status).toBe(200)
      const digest = await pushBlob(registry, name, name)
      expect(await (await registry.fetch(`/v2/${name}/blobs/${digest}`)).text()).toBe(name)
    }
  })

  test('methods that an endpoint does not have are 405 with those it has', async () => {
    for (const [method, path, allowed] of [
      ['POST', '/v2/', 'GET, HEAD'],
      ['PUT', '/v2/a/tags/list', 'GET, HEAD'],
      ['GET', '/v2/a/blobs/uploads/', 'POST'],
      ['POST', '/v2/a/manifests/x', 'GET, HEAD, PUT, DELETE'],
    ] as const) {
      const response = await registry.fetch(path, { method })
      expect(response.headers.get('allow')).toBe(allowed)
      expect(await refusal(response)).toEqual({ status: 405, code: 'UNSUPPORTED' })
    }
  })

  test('requests that are no HTTP, lie about chunks or have huge headers harm nobody', async () => {
    const lies = [
      'PUT /v2/a/manifests/t HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nZZ\r\n\r\n',
      'PUT /v2/a/manifests/t HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      'PUT /v2/a/manifests/t HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\nhello',
      `GET /v2/ HTTP/1.1\r\nHost: x\r\nX-Large: ${'a'.repeat(1_000_000)}\r\n\r\n`,
      `GET /v2/${'a/'.repeat(100_000)} HTTP/1.1\r\nHost: x\r\n\r\n`,
      '\x16\x03\x01\x02\x00 this is TLS',
    ]
    for (const lie of lies) expect(await rawRequest(lie)).not.toMatch(/^HTTP\/1\.1 (2|5)/)
    expect((await registry.fetch('/v2/')).status).toBe(200)
  })
})

test('a challenge to a client whose host cannot be one is an answer', async () => {
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
  await using guarded = startTestRegistry({}, undefined, access)
  for (const host of ['[', 'a:99999', '%', 'a"b', ''])
    expect(await rawRequest(`GET /v2/ HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`, guarded)).toMatch(
      /^HTTP\/1\.1 401/,
    )
  const deleted = await guarded.fetch('/token', { method: 'DELETE' })
  expect(await refusal(deleted)).toEqual({ status: 405, code: 'UNSUPPORTED' })
})

/** Sends bytes as they are and gives what comes back until the server closes, or has nothing to say for a while. */
function rawRequest(text: string, { server } = registry): Promise<string> {
  return new Promise((resolve) => {
    let answer = ''
    const socket = connect(Number(server.url.port), '127.0.0.1')
    const end = () => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(500, end)
    socket.on('data', (data) => (answer += data.toString('latin1')))
    socket.on('close', end)
    socket.on('error', end)
    socket.write(Buffer.from(text, 'latin1'))
  })
}
