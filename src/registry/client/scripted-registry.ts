import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { configOf, tarOf } from '../../images/image-fixtures.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import { type Digest, digestOf } from '../../oci/digest.ts'
import { serializeConfig } from '../../oci/config.ts'
import { serializeManifest } from '../../oci/manifest.ts'
import { mediaTypes } from '../../oci/media-types.ts'
import { RegistryClient } from './connection.ts'

/** What a registry was asked. */
export interface SeenRequest {
  readonly method: string
  /** Path and query. */
  readonly target: string
  readonly authorization: string | null
  readonly headers: Headers
}

/** Answers in place of the registry; undefined leaves it to that. */
export type Intercept = (request: Request, url: URL) => Response | undefined | Promise<Response | undefined>

interface StoredDocument {
  readonly raw: Uint8Array<ArrayBuffer>
  readonly mediaType: string
}

/** A registry in memory, for tests, that does what a script tells it to. */
export class ScriptedRegistry implements Disposable {
  readonly seen: SeenRequest[] = []
  readonly blobs = new Map<string, Uint8Array<ArrayBuffer>>()
  readonly documents = new Map<string, StoredDocument>()
  readonly uploads = new Map<string, Uint8Array<ArrayBuffer>[]>()
  intercept: Intercept = () => undefined
  /** Repositories that mounting from is granted for. */
  mountable = new Set<string>()
  readonly #server: Bun.Server<undefined>
  readonly #secure: boolean

  constructor(
    options: { readonly hostname?: string; readonly tls?: { readonly key: string; readonly cert: string } } = {},
  ) {
    this.#secure = options.tls !== undefined
    this.#server = Bun.serve({
      hostname: options.hostname ?? '127.0.0.1',
      port: 0,
      idleTimeout: 0,
      maxRequestBodySize: 1e12,
      ...(options.tls === undefined ? {} : { tls: options.tls }),
      fetch: (request) => this.#answer(request),
      error: () => new Response(null, { status: 500 }),
    })
  }

  get host(): string {
    return `${this.#server.hostname}:${this.#server.port}`
  }

  get url(): string {
    return `${this.#secure ? 'https' : 'http'}://${this.host}`
  }

  /** Requests of one kind, without those for `/v2/` itself. */
  asked(method: string): readonly string[] {
    return this.seen.filter((one) => one.method === method && one.target !== '/v2/').map(({ target }) => target)
  }

  putBlob(repository: string, bytes: Uint8Array<ArrayBuffer>): Digest {
    const digest = digestOf(bytes)
    this.blobs.set(`${repository} ${digest}`, bytes)
    return digest
  }

  putDocument(repository: string, reference: string, raw: Uint8Array<ArrayBuffer>, mediaType: string): Digest {
    const digest = digestOf(raw)
    for (const one of [reference, digest]) this.documents.set(`${repository} ${one}`, { raw, mediaType })
    return digest
  }

  /** Puts an image with these layers under a tag. */
  putImage(
    repository: string,
    tag: string,
    layers: readonly Uint8Array<ArrayBuffer>[] = [tarOf({ 'etc/name': 'fixture' })],
    more: { readonly architecture?: string; readonly packed?: readonly PackedLayer[] } = {},
  ): RemoteImage {
    const config = serializeConfig(
      configOf(
        layers.map((layer) => digestOf(layer)),
        more.architecture === undefined ? {} : { architecture: more.architecture },
      ),
    )
    const blobs = more.packed ?? layers.map((layer) => ({ blob: Bun.gzipSync(layer), format: 'gzip' as const }))
    const descriptors = blobs.map(({ blob, format, annotations }: PackedLayer): Descriptor => ({
      mediaType: format === 'gzip' ? mediaTypes.ociLayerGzip : mediaTypes.ociLayerZstd,
      digest: this.putBlob(repository, blob),
      size: blob.length,
      ...(annotations === undefined ? {} : { annotations }),
    }))
    const manifest = serializeManifest({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: { mediaType: mediaTypes.ociConfig, digest: this.putBlob(repository, config), size: config.length },
      layers: descriptors,
    })
    const digest = this.putDocument(repository, tag, manifest, mediaTypes.ociManifest)
    return {
      target: { mediaType: mediaTypes.ociManifest, digest, size: manifest.length },
      layers: descriptors,
      config: digestOf(config),
      raw: manifest,
    }
  }

  [Symbol.dispose](): void {
    void this.#server.stop(true)
  }

  async #answer(request: Request): Promise<Response> {
    const url = new URL(request.url)
    const { method, headers } = request
    this.seen.push({
      method,
      target: `${url.pathname}${url.search}`,
      authorization: headers.get('authorization'),
      headers,
    })
    const scripted = await this.intercept(request, url)
    if (scripted !== undefined) return scripted
    if (url.pathname === '/v2/') return new Response('{}')
    const match = /^\/v2\/(.+)\/(manifests|blobs|tags)\/(.+)$/.exec(url.pathname)
    const [, name = '', kind, rest = ''] = match ?? []
    if (kind === 'manifests') return await this.#document(request, name, rest)
    if (kind === 'blobs' && rest.startsWith('uploads/')) return await this.#upload(request, url, name, rest.slice(8))
    if (kind === 'blobs') return this.#blob(request, name, rest)
    if (kind === 'tags') return this.#tags(name)
    if (url.pathname.endsWith('/blobs/uploads/')) {
      const repository = url.pathname.slice('/v2/'.length, -'/blobs/uploads/'.length)
      return await this.#upload(request, url, repository, '')
    }
    return failure(404, 'NAME_UNKNOWN')
  }

  async #document(request: Request, name: string, reference: string): Promise<Response> {
    if (request.method === 'PUT') {
      const raw = new Uint8Array(await request.arrayBuffer())
      const digest = this.putDocument(name, reference, raw, request.headers.get('content-type') ?? '')
      return new Response(null, { status: 201, headers: { 'Docker-Content-Digest': digest } })
    }
    const found = this.documents.get(`${name} ${reference}`)
    if (found === undefined) return failure(404, 'MANIFEST_UNKNOWN')
    const headers = {
      'Content-Type': found.mediaType,
      'Docker-Content-Digest': digestOf(found.raw),
      'Content-Length': String(found.raw.length),
    }
    return new Response(request.method === 'HEAD' ? null : found.raw, { headers })
  }

  #blob(request: Request, name: string, digest: string): Response {
    const found = this.blobs.get(`${name} ${digest}`)
    if (found === undefined) return failure(404, 'BLOB_UNKNOWN')
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.get('range') ?? '')
    if (request.method === 'HEAD') return new Response(null, { headers: { 'Content-Length': String(found.length) } })
    if (range === null) return new Response(found)
    const start = Number(range[1])
    const end = range[2] === '' ? found.length : Math.min(found.length, Number(range[2]) + 1)
    const headers = { 'Content-Range': `bytes ${start}-${end - 1}/${found.length}` }
    return new Response(found.subarray(start, end), { status: 206, headers })
  }

  #tags(name: string): Response {
    const tags = [...this.documents.keys()].flatMap((key) =>
      key.startsWith(`${name} `) && !key.includes('sha256:') ? [key.slice(name.length + 1)] : [],
    )
    return Response.json({ name, tags })
  }

  async #upload(request: Request, url: URL, name: string, id: string): Promise<Response> {
    const from = url.searchParams.get('from')
    const digest = url.searchParams.get('mount')
    if (request.method === 'POST') {
      const mounted = from !== null && this.mountable.has(from) ? this.blobs.get(`${from} ${digest}`) : undefined
      if (mounted !== undefined) {
        this.putBlob(name, mounted)
        return new Response(null, { status: 201, headers: { Location: `/v2/${name}/blobs/${digest}` } })
      }
      const fresh = crypto.randomUUID()
      this.uploads.set(fresh, [])
      return this.#standing(name, fresh, 202)
    }
    const parts = this.uploads.get(id)
    if (parts === undefined) return failure(404, 'BLOB_UPLOAD_UNKNOWN')
    if (request.method === 'GET') return this.#standing(name, id, 204)
    // What arrived before the connection broke stays.
    if (request.body !== null) {
      const body = request.body as unknown as AsyncIterable<Uint8Array>
      for await (const bytes of body) parts.push(new Uint8Array(bytes))
    }
    if (request.method === 'PATCH') return this.#standing(name, id, 202)
    const whole = new Uint8Array(Buffer.concat(parts))
    this.uploads.delete(id)
    if (digestOf(whole) !== url.searchParams.get('digest')) return failure(400, 'DIGEST_INVALID')
    const location = `/v2/${name}/blobs/${this.putBlob(name, whole)}`
    return new Response(null, { status: 201, headers: { Location: location } })
  }

  #standing(name: string, id: string, status: number): Response {
    const size = (this.uploads.get(id) ?? []).reduce((sum, { length }) => sum + length, 0)
    return new Response(null, {
      status,
      headers: { Location: `/v2/${name}/blobs/uploads/${id}`, Range: `0-${Math.max(0, size - 1)}` },
    })
  }
}

/** A layer as it is sent. */
export interface PackedLayer {
  readonly blob: Uint8Array<ArrayBuffer>
  readonly format: 'gzip' | 'zstd'
  readonly annotations?: Readonly<Record<string, string>>
}

/** An image that a scripted registry has. */
export interface RemoteImage {
  readonly target: Descriptor
  readonly layers: readonly Descriptor[]
  readonly config: Digest
  readonly raw: Uint8Array<ArrayBuffer>
}

/** A refusal in the form of the specification. */
export function failure(
  status: number,
  code: string,
  headers: Record<string, string> = {},
  message?: string,
): Response {
  return Response.json({ errors: [{ code, ...(message === undefined ? {} : { message }) }] }, { status, headers })
}

/** Passes bytes on to a server and cuts connections when a script says so. */
export class CuttingProxy implements Disposable {
  /** Bytes that a connection lives for, in both directions; undefined for ever. Asked for each connection. */
  lifetime: () => number | undefined = () => undefined
  cuts = 0
  /** Bytes that clients got. */
  delivered = 0
  readonly #listener: Bun.TCPSocketListener<Link>

  constructor(target: string) {
    const [hostname = '', port = ''] = target.split(':')
    this.#listener = Bun.listen<Link>({
      hostname: '127.0.0.1',
      port: 0,
      socket: {
        open: (client) => {
          client.data = { pending: [], left: this.lifetime(), server: undefined, toClient: [] }
          void Bun.connect<Link>({
            hostname,
            port: Number(port),
            socket: {
              open: (server) => {
                server.data = client.data
                client.data.server = server
                for (const bytes of client.data.pending.splice(0)) server.write(bytes)
              },
              data: (_server, bytes) => this.#toClient(client, bytes),
              close: () => void client.end(),
              error: () => void client.end(),
            },
          })
        },
        data: (client, bytes) => {
          if (this.#isCut(client, bytes.length)) return
          const { server, pending } = client.data
          const copy = new Uint8Array(bytes)
          if (server === undefined) pending.push(copy)
          else server.write(copy)
        },
        drain: (client) => this.#drain(client),
        close: (client) => void client.data.server?.end(),
        error: () => {},
      },
    })
  }

  get host(): string {
    return `127.0.0.1:${this.#listener.port}`
  }

  [Symbol.dispose](): void {
    this.#listener.stop(true)
  }

  #toClient(client: Bun.Socket<Link>, bytes: Uint8Array): void {
    if (this.#isCut(client, bytes.length)) return
    client.data.toClient.push(new Uint8Array(bytes))
    this.#drain(client)
  }

  #drain(client: Bun.Socket<Link>): void {
    const queue = client.data.toClient
    for (let first = queue[0]; first !== undefined; first = queue[0]) {
      const written = client.write(first)
      this.delivered += Math.max(0, written)
      if (written < first.length) {
        queue[0] = first.subarray(Math.max(0, written))
        return
      }
      queue.shift()
    }
  }

  #isCut(client: Bun.Socket<Link>, bytes: number): boolean {
    const { data } = client
    if (data.left === undefined) return false
    data.left -= bytes
    if (data.left > 0) return false
    this.cuts++
    data.server?.terminate()
    client.end()
    return true
  }
}

interface Link {
  readonly pending: Uint8Array[]
  readonly toClient: Uint8Array[]
  left: number | undefined
  server: Bun.Socket<Link> | undefined
}

/** A client whose configuration is a directory of its own. To be disposed of. */
export function testClient(
  env: Readonly<Record<string, string>> = {},
  more: { readonly signal?: AbortSignal; readonly stall?: number; readonly onWarning?: (text: string) => void } = {},
): RegistryClient & Disposable & { readonly configDir: string } {
  const configDir = mkdtempSync(join(tmpdir(), 'cairn-client-'))
  const client = new RegistryClient({
    configDir,
    env: { HOME: configDir, XDG_CONFIG_HOME: configDir, PATH: process.env['PATH'] ?? '', ...env },
    signal: more.signal ?? new AbortController().signal,
    firstPause: 5,
    stall: more.stall ?? 5_000,
    ...(more.onWarning === undefined ? {} : { onWarning: more.onWarning }),
  })
  return Object.assign(client, {
    configDir,
    [Symbol.dispose]: () => rmSync(configDir, { recursive: true, force: true }),
  })
}
