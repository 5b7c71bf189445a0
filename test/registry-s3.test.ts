import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Digest, digestOf } from '../src/oci/digest.ts'
import { mediaTypes } from '../src/oci/media-types.ts'
import { createBucket } from '../src/object-storage/s3-fixtures.ts'
import { Children } from './fixtures/children.ts'
import { cairnProgram } from './fixtures/suite.ts'
import { type S3Server, startS3Server } from './fixtures/s3-server.ts'

// A machine that is busy otherwise is no reason to fail.
setDefaultTimeout(120_000)

interface Server {
  readonly url: string
  readonly process: Bun.Subprocess
}

let directory: string
let storage: S3Server
let config: string
const servers: Server[] = []
const children = new Children()

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'cairn-s3-'))
  storage = startS3Server()
  const { bucket } = await createBucket(storage)
  config = join(directory, 'registry.toml')
  const keys = join(directory, 'keys')
  writeFileSync(
    keys,
    `[default]\naws_access_key_id = ${storage.accessKey}\naws_secret_access_key = ${storage.secretKey}\n`,
  )
  writeFileSync(
    config,
    `storage = "s3"\n[s3]\nbucket = "${bucket}"\nendpoint = "${storage.endpoint.origin}"\ncredentials = "${keys}"\n`,
  )
  servers.push(await startServer('one'), await startServer('two'))
})

afterAll(() => {
  children[Symbol.dispose]()
  storage.stop()
  rmSync(directory, { recursive: true, force: true })
})

/** Starts `cairn registry serve` with a store of its own. */
async function startServer(name: string): Promise<Server> {
  const command = [...cairnProgram, 'registry', 'serve', '--config', config, '--addr', '127.0.0.1:0']
  const env = { ...process.env, CAIRN_ROOT: join(directory, name) }
  const child = children.add(Bun.spawn(command, { env, stderr: 'pipe', stdout: 'ignore' }))
  let said = ''
  const decoder = new TextDecoder()
  for await (const piece of child.stderr as unknown as AsyncIterable<Uint8Array>) {
    said += decoder.decode(piece)
    const [, url] = /Registry at (\S+)/.exec(said) ?? []
    if (url !== undefined) return { url, process: child }
  }
  throw new Error(said)
}

function serverAt(index: number): Server {
  const found = servers[index]
  if (found === undefined) throw new Error(`no server ${index}`)
  return found
}

async function pushBlob({ url }: Server, name: string, content: string | Uint8Array<ArrayBuffer>): Promise<Digest> {
  const digest = digestOf(content)
  const response = await fetch(`${url}/v2/${name}/blobs/uploads/?digest=${digest}`, { method: 'POST', body: content })
  expect(response.status).toBe(201)
  return digest
}

test('blobs are read by a redirect to a signed URL', async () => {
  const content = new Uint8Array(20 * 1024 * 1024).map((_, index) => index % 251)
  const digest = await pushBlob(serverAt(0), 'big', content)
  const answer = await fetch(`${serverAt(1).url}/v2/big/blobs/${digest}`, { redirect: 'manual' })
  expect(answer.status).toBe(307)
  const target = answer.headers.get('location') ?? ''
  expect(target).toStartWith(storage.endpoint.origin)
  expect(digestOf(await (await fetch(target)).bytes())).toBe(digest)
  const part = await fetch(target, { headers: { range: 'bytes=1000-1009' } })
  expect(await part.bytes()).toEqual(content.slice(1000, 1010))
  expect((await fetch(target.replace(/.$/, (last) => (last === '0' ? '1' : '0')))).status).toBe(403)
})

test('of pushes of one tag over two servers one wins, whole, and both tell the same', async () => {
  const config = await pushBlob(serverAt(0), 'race', '{}')
  const manifests = Array.from({ length: 20 }, (_, index) =>
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: { mediaType: mediaTypes.ociEmpty, digest: config, size: 2 },
      layers: [],
      annotations: { index: String(index) },
    }),
  )
  const put = (index: number, condition: Record<string, string>) =>
    fetch(`${serverAt(index % 2).url}/v2/race/manifests/${'if-none-match' in condition ? 'once' : 'any'}`, {
      method: 'PUT',
      body: manifests[index] ?? '',
      headers: { 'content-type': mediaTypes.ociManifest, ...condition },
    })
  const answers = await Promise.all(manifests.map((_, index) => put(index, {})))
  expect(answers.map(({ status }) => status)).toEqual(manifests.map(() => 201))
  const conditional = await Promise.all(manifests.map((_, index) => put(index, { 'if-none-match': '*' })))
  expect(conditional.filter(({ status }) => status === 201)).toHaveLength(1)
  expect(conditional.filter(({ status }) => status === 412)).toHaveLength(19)
  for (const tag of ['any', 'once']) {
    const read = await Promise.all(
      servers.map(async ({ url }) => (await fetch(`${url}/v2/race/manifests/${tag}`)).text()),
    )
    expect(manifests).toContain(read[0] as string)
    expect(read[1]).toBe(read[0] as string)
  }
})

test('an upload goes on at another server when its own was killed in the middle of it', async () => {
  const content = new Uint8Array(30 * 1024 * 1024).map((_, index) => (index * 7) % 253)
  const victim = await startServer('victim')
  servers.push(victim)
  const begun = await fetch(`${victim.url}/v2/killed/blobs/uploads/`, { method: 'POST' })
  const path = begun.headers.get('location') ?? ''
  const first = await fetch(victim.url + path, { method: 'PATCH', body: content.slice(0, 1_000_000) })
  expect(first.status).toBe(202)
  const sending = fetch(victim.url + path, {
    method: 'PATCH',
    body: (async function* () {
      for (let at = 1_000_000; at < 20_000_000; at += 1_000_000) yield content.slice(at, at + 1_000_000)
      await Bun.sleep(60_000)
    })(),
  } as unknown as RequestInit).catch(() => undefined)
  // Until the victim has said how far it is.
  await Bun.sleep(4_500)
  victim.process.kill('SIGKILL')
  await victim.process.exited
  await sending
  const survivor = serverAt(0)
  const status = await fetch(survivor.url + path)
  expect(status.status).toBe(204)
  const offset = Number(status.headers.get('range')?.split('-')[1]) + 1
  expect(offset).toBeGreaterThanOrEqual(1_000_000)
  const rest = await fetch(survivor.url + path, {
    method: 'PATCH',
    body: content.slice(offset),
    headers: { 'content-range': `${offset}-${content.length - 1}` },
  })
  expect(rest.status).toBe(202)
  const digest = digestOf(content)
  const done = await fetch(`${serverAt(1).url}${path}?digest=${digest}`, { method: 'PUT' })
  expect(done.status).toBe(201)
  expect(digestOf(await (await fetch(`${survivor.url}/v2/killed/blobs/${digest}`)).bytes())).toBe(digest)
})

test('a storage that fails is told of as 503, without its keys, and one that is back is used', async () => {
  storage.intercept = () => new Response(`<Error><Code>Odd</Code><Message>no</Message></Error>`, { status: 403 })
  const refused = await fetch(`${serverAt(0).url}/v2/race/tags/list`)
  expect(refused.status).toBe(503)
  expect(await refused.text()).not.toContain(storage.accessKey)
  let failures = 2
  storage.intercept = () => (failures-- > 0 ? new Response(null, { status: 503 }) : undefined)
  expect((await fetch(`${serverAt(0).url}/v2/race/tags/list`)).status).toBe(200)
  storage.intercept = undefined
})
