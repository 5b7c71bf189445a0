import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import type { AnalyzedImage } from '../../analysis/analysis.ts'
import {
  fixtureConfig,
  type FixtureMember,
  type FixtureStep,
  layerTar,
  noise,
} from '../../analysis/analysis-fixtures.ts'
import { toSarif } from '../../analysis/sarif.ts'
import { armoured, keyBody, randomText, tokenSamples } from '../../analysis/secrets/secret-samples.ts'
import { putLayerRecord } from '../../content/layer-records.ts'
import { acquireLease } from '../../content/leases.ts'
import type { Store } from '../../content/store.ts'
import { temporaryStore, type TemporaryStore } from '../../images/image-fixtures.ts'
import { putImage, putIndex } from '../../images/records/put-image.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import { digestOf } from '../../oci/digest.ts'
import { mediaTypes } from '../../oci/media-types.ts'
import { parsePlatform } from '../../oci/platform.ts'
import { parseReference } from '../../oci/reference.ts'
import { analyzeImages } from './analyze-image.ts'
import { copyImage } from './copy-image.ts'

const sample = (id: string): string => tokenSamples[id]?.() ?? ''
const password = randomText(20)
const passwordHash = `$y$j9T$${randomText(22)}$${randomText(43)}`
const npmToken = sample('npm-token')

const text = (path: string, content: string | Uint8Array, entry: FixtureMember['entry'] = {}): FixtureMember => ({
  path,
  content,
  entry,
})

/** Twelve secrets and one waste of each kind, among files that only look like them. */
const steps: readonly FixtureStep[] = [
  {
    createdBy: 'COPY rootfs / # buildkit',
    layer: [
      text('etc/passwd', 'root:x:0:0:root:/root:/bin/sh\n'),
      text('etc/shadow', 'root:*:19000:0:99999:7:::\ndaemon:!:19000:0:99999:7:::\n'),
      text('etc/ssl/certs/ca.pem', armoured('CERTIFICATE', keyBody(800))),
      text('usr/bin/openssl', Buffer.from('\x7fELF\0-----BEGIN PRIVATE KEY-----\0-----END PRIVATE KEY-----\0')),
      text(
        'usr/share/doc/aws/README',
        'export AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE\npostgres://user:password@localhost/db\n',
      ),
      text('app/.env.example', `API_KEY=${randomText(30)}\n`),
      text('app/server.js', noise(30_000, 1)),
      text('app/data.bin', noise(20_000, 2)),
      text('usr/bin/su', noise(500, 3), { mode: 0o4755 }),
    ],
  },
  {
    createdBy: 'COPY keys /root # buildkit',
    layer: [
      text('root/.ssh/id_rsa', armoured('RSA PRIVATE KEY', keyBody(1600)), { mode: 0o600 }),
      text(
        'root/.aws/credentials',
        `[default]\naws_access_key_id = ${sample('aws-access-key-id')}\n${sample('aws-secret-access-key')}\n`,
      ),
      text('root/.netrc', `machine git.internal login robot password ${password}1\n`),
      text(
        'root/.docker/config.json',
        JSON.stringify({ auths: { 'r.internal': { auth: btoa(`robot:${password}`) } } }),
      ),
      text(
        'srv/key.json',
        JSON.stringify({ type: 'service_account', private_key: armoured('PRIVATE KEY', keyBody(1590)) }),
      ),
      text('srv/server.bin', Buffer.concat([noise(70_001, 9), Buffer.from(sample('stripe-key')), noise(3_000_000, 8)])),
    ],
  },
  {
    createdBy: 'RUN /bin/sh -c rm -rf /root/.ssh /root/.aws # buildkit',
    layer: [text('root/.wh..ssh', ''), text('root/.wh..aws', '')],
  },
  {
    createdBy: `RUN |1 NPM_TOKEN=${npmToken} /bin/sh -c npm ci # buildkit`,
    layer: [text('root/.npm/_cacache/index', noise(9000, 5))],
  },
  {
    createdBy: 'RUN /bin/sh -c chmod 755 /app/server.js && make # buildkit',
    layer: [
      text('app/server.js', noise(30_000, 1), { mode: 0o755 }),
      text('app/data.bin', noise(21_000, 6)),
      text('app/.env', `DB_PASSWORD=${password}2\nPORT=80\n`),
      text('app/config.yml', `url: ${sample('database-url')}\n`),
      text('opt/copy.bin', noise(21_000, 6)),
      text('etc/shadow', `root:${passwordHash}:19000:0:99999:7:::\n`),
    ],
  },
]
const variables = { Env: ['PATH=/bin', `API_SECRET=${password}3`], Labels: { 'build.token': sample('gitlab-token') } }

const planted = [
  'config-secret config.Env API_SECRET',
  'database-url /app/config.yml:1',
  'docker-config /root/.docker/config.json:1',
  'env-file /app/.env:1',
  'gcp-service-account /srv/key.json:1',
  'gitlab-token config.Labels build.token',
  'netrc /root/.netrc:1',
  'npm-token history[3]',
  'private-key /root/.ssh/id_rsa:1',
  'shadow /etc/shadow:1',
  'stripe-key /srv/server.bin',
  'aws-secret-access-key /root/.aws/credentials:3',
].sort()

function secretsOf({ analysis }: AnalyzedImage): string[] {
  return analysis.secrets
    .map(({ rule, path, line, field, name }) =>
      [
        rule,
        path === undefined ? field : line === undefined ? path : `${path}:${line}`,
        path === undefined ? name : undefined,
      ]
        .filter((part) => part !== undefined)
        .join(' '),
    )
    .sort()
}

async function putSteps(
  store: Store,
  tag: string,
  compression: 'none' | 'gzip' | 'zstd',
  architecture = 'amd64',
): Promise<Descriptor> {
  using lease = acquireLease(store)
  const layers: Descriptor[] = []
  for (const { layer } of steps) {
    if (layer === undefined) continue
    const tar = new Uint8Array(layer instanceof Uint8Array ? layer : layerTar(layer))
    const bytes = compression === 'none' ? tar : compression === 'gzip' ? Bun.gzipSync(tar) : Bun.zstdCompressSync(tar)
    const blob = await lease.put(bytes)
    putLayerRecord(store, { diffId: digestOf(tar), ...blob, compression, unpackedSize: tar.length })
    layers.push({
      mediaType: { none: mediaTypes.ociLayerTar, gzip: mediaTypes.ociLayerGzip, zstd: mediaTypes.ociLayerZstd }[
        compression
      ],
      ...blob,
    })
  }
  const config = fixtureConfig(steps, { config: variables, architecture })
  const { target } = await putImage(store, { config, layers, tags: [parseReference(tag)], lease })
  return target
}

describe('analyzeImages()', () => {
  let temporary: TemporaryStore
  const analyze = async (name: string, platform?: Parameters<typeof analyzeImages>[2]): Promise<AnalyzedImage[]> => {
    const images: AnalyzedImage[] = []
    for await (const image of analyzeImages(temporary.store, name, platform)) images.push(image)
    return images
  }

  beforeAll(async () => {
    temporary = temporaryStore()
    for (const compression of ['none', 'gzip', 'zstd'] as const)
      await putSteps(temporary.store, compression, compression)
    for (const compression of ['none', 'gzip', 'zstd'])
      for (const place of ['oci', 'oci-archive', 'dir'])
        await copyImage(
          temporary.store,
          compression,
          `${place}:${temporary.directory}/${compression}-${place}${place === 'dir' ? '' : ':x'}`,
        )
    await copyImage(temporary.store, 'none', `docker-archive:${temporary.directory}/none-docker-archive:x:1`)
  })
  afterAll(() => temporary[Symbol.dispose]())

  test('finds all that was planted and nothing else, from every source and compression', async () => {
    const [plain] = await analyze('none')
    if (plain === undefined) throw new Error('nothing was analyzed')
    expect(secretsOf(plain)).toEqual(planted)
    expect(plain.analysis.samples).toEqual([])
    expect(plain.analysis.waste.map(({ kind, path, layer }) => `${kind} ${path} ${layer}`).sort()).toEqual([
      'cache /root/.npm/_cacache 4',
      'duplicate /opt/copy.bin 5',
      'metadata /app/server.js 5',
      'overwritten /app/data.bin 5',
      'overwritten /etc/shadow 5',
      'removed /root/.aws 3',
      'removed /root/.ssh 3',
    ])
    expect(plain.analysis.permissions.map(({ kind, path }) => `${kind} ${path}`)).toEqual(['setuid /usr/bin/su'])
    const { directory } = temporary
    const sources = ['gzip', 'zstd', `docker-archive:${directory}/none-docker-archive`]
    for (const compression of ['none', 'gzip', 'zstd'])
      for (const place of ['oci', 'oci-archive', 'dir']) sources.push(`${place}:${directory}/${compression}-${place}`)
    for (const source of sources) {
      const [image] = await analyze(source)
      const strip = ({ layers, ...rest }: AnalyzedImage['analysis']) => ({
        ...rest,
        layers: layers.map(({ digest: _digest, ...layer }) => layer),
      })
      expect({ source, analysis: image && strip(image.analysis) }).toEqual({ source, analysis: strip(plain.analysis) })
    }
  })

  test('says whether a later layer hides the file of a secret', async () => {
    const [image] = await analyze('none')
    const hidden = image?.analysis.secrets.filter(({ isVisible }) => !isVisible).map(({ path }) => path)
    expect(hidden).toEqual(['/root/.aws/credentials', '/root/.ssh/id_rsa'])
  })

  test('shows no secret anywhere: not in findings, not in instructions, not in SARIF', async () => {
    const images = await analyze('none')
    const everything = JSON.stringify(images) + JSON.stringify(toSarif(images, '1'))
    for (const secret of [
      password,
      npmToken,
      passwordHash,
      sample('stripe-key'),
      sample('gitlab-token'),
      keyBody(1600),
    ])
      expect(everything.includes(secret)).toBe(false)
    expect(images[0]?.analysis.layers[3]?.instruction).toBe('RUN npm ci')
  })

  test('analyzes one platform of several, or all of them', async () => {
    const { store } = temporary
    const manifests = [
      { ...(await putSteps(store, 'amd', 'none')), platform: parsePlatform('linux/amd64') },
      { ...(await putSteps(store, 'arm', 'gzip', 'arm64')), platform: parsePlatform('linux/arm64') },
    ]
    await putIndex(store, { manifests, tags: [parseReference('multi')] })
    expect((await analyze('multi', parsePlatform('linux/arm64'))).map(({ platform }) => platform)).toEqual([
      'linux/arm64',
    ])
    expect((await analyze('multi', 'all')).map(({ platform }) => platform)).toEqual(['linux/amd64', 'linux/arm64'])
    await expect(analyze('multi', parsePlatform('linux/s390x'))).rejects.toMatchObject({ code: 'IMAGE_PLATFORM' })
  })

  test('fails where a layer is not what its digest says, and where it is missing', async () => {
    const { directory } = temporary
    const layout = `${directory}/broken`
    await copyImage(temporary.store, 'none', `oci:${layout}:x`)
    const blobs = readdirSync(`${layout}/blobs/sha256`).map((name) => `${layout}/blobs/sha256/${name}`)
    const largest = blobs.sort((a, b) => readFileSync(b).length - readFileSync(a).length)[0] ?? ''
    const bytes = readFileSync(largest)
    bytes[bytes.length - 100_000] = (bytes[bytes.length - 100_000] ?? 0) ^ 1
    writeFileSync(largest, bytes)
    expect(createHash('sha256').update(bytes).digest('hex')).not.toBe(largest.slice(-64))
    await expect(analyze(`oci:${layout}`)).rejects.toMatchObject({ code: 'BLOB_CORRUPT' })
    const { unlinkSync } = await import('node:fs')
    unlinkSync(largest)
    expect(existsSync(largest)).toBe(false)
    await expect(analyze(`oci:${layout}`)).rejects.toMatchObject({ code: 'BLOB_UNKNOWN' })
  })
})
