import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openStore, type Store } from '../../content/store.ts'
import { type Digest, type DigestAlgorithm, digestOf } from '../../oci/digest.ts'
import { mediaTypes } from '../../oci/media-types.ts'
import { type AccessControl, openAccess } from '../access/access-control.ts'
import { localStorage } from '../storage/local-storage.ts'
import { ManifestCache } from './manifest-cache.ts'
import { type RegistryServer, startRegistryServer } from './registry-server.ts'
import { requestHandler } from './request-handler.ts'
import { CountedLimits } from './request-limits.ts'
import type { RequestRecord } from './request-record.ts'
import { defaultSettings, type RegistrySettings } from './settings.ts'

/** A registry on a store of its own, on a free port of the loopback interface. */
export interface TestRegistry extends AsyncDisposable {
  readonly store: Store
  readonly server: RegistryServer
  /** Sends a request; `path` begins with `/v2/`, or is a whole URL. */
  readonly fetch: (path: string, init?: RequestInit) => Promise<Response>
}

/** Starts a registry. A `root` that is given is kept when the registry ends. */
export function startTestRegistry(
  settings: Partial<RegistrySettings> = {},
  root?: string,
  access: AccessControl = openAccess,
  observe?: (record: RequestRecord) => void,
): TestRegistry {
  const store = openStore(root ?? mkdtempSync(join(tmpdir(), 'cairn-registry-')))
  const registry = {
    storage: localStorage(store),
    settings: { ...defaultSettings, ...settings },
    manifests: new ManifestCache(1024 * 1024),
  }
  const server = startRegistryServer({
    hostname: '127.0.0.1',
    port: 0,
    tls: undefined,
    isPortShared: false,
    idleTimeout: 10,
    handle: requestHandler(registry, {
      access,
      limits: new CountedLimits(registry.settings),
      ...(observe === undefined ? {} : { observe }),
    }),
  })
  return {
    store,
    server,
    fetch: (path, init) => fetch(new URL(path, server.url), { redirect: 'manual', ...init }),
    [Symbol.asyncDispose]: async () => {
      await server.stop(0)
      store.close()
      if (root === undefined) rmSync(store.root, { recursive: true, force: true })
    },
  }
}

/** Pushes a blob with one POST and gives its digest. */
export async function pushBlob(
  { fetch }: TestRegistry,
  name: string,
  content: string | Uint8Array<ArrayBuffer>,
  algorithm: DigestAlgorithm = 'sha256',
): Promise<Digest> {
  const digest = digestOf(content, algorithm)
  const response = await fetch(`/v2/${name}/blobs/uploads/?digest=${digest}`, { method: 'POST', body: content })
  if (response.status !== 201) throw new Error(`${response.status} ${await response.text()}`)
  return digest
}

/** The bytes of a manifest with the empty config, and its digest. */
export function imageManifest(
  fields: Readonly<Record<string, unknown>> = {},
  algorithm: DigestAlgorithm = 'sha256',
): { readonly text: string; readonly digest: Digest } {
  const text = JSON.stringify({
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: { mediaType: mediaTypes.ociEmpty, digest: digestOf('{}'), size: 2 },
    layers: [],
    ...fields,
  })
  return { text, digest: digestOf(text, algorithm) }
}

/** Sends a manifest. */
export function putManifest(
  { fetch }: TestRegistry,
  name: string,
  reference: string,
  text: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<Response> {
  return fetch(`/v2/${name}/manifests/${reference}`, {
    method: 'PUT',
    body: text,
    headers: { 'content-type': mediaTypes.ociManifest, ...headers },
  })
}

/** Begins an upload and gives its location. */
export async function beginUpload({ fetch }: TestRegistry, name: string, query = ''): Promise<string> {
  const response = await fetch(`/v2/${name}/blobs/uploads/${query}`, { method: 'POST' })
  if (response.status !== 202) throw new Error(`${response.status} ${await response.text()}`)
  return response.headers.get('location') ?? ''
}

/** Code and status of an answer that refuses. */
export async function refusal(response: Response): Promise<{ readonly status: number; readonly code: string }> {
  const { errors } = (await response.json()) as { errors: { code: string }[] }
  return { status: response.status, code: errors[0]?.code ?? '' }
}
