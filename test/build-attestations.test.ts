import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { BuildBench, type Ended } from './fixtures/build-bench.ts'

// A machine that is busy otherwise is no reason to fail.
setDefaultTimeout(120_000)

let bench: BuildBench
beforeEach(async () => {
  bench = await BuildBench.open()
  bench.file('status', 'Package: tool\nStatus: install ok installed\nVersion: 1.0\nArchitecture: all\n')
  bench.file('Dockerfile', dockerfile)
  bench.closeStore()
})
afterEach(() => bench[Symbol.dispose]())

const dockerfile = `FROM busybox
ARG VERSION=1
ARG API_TOKEN
RUN --mount=type=secret,id=npm,required=false echo $VERSION $API_TOKEN > /v
COPY status /var/lib/dpkg/status
`

async function ok(...args: readonly string[]): Promise<Ended> {
  const ended = await bench.cairn(args)
  expect(ended).toMatchObject({ status: 0 })
  return ended
}

async function build(...flags: readonly string[]): Promise<Ended> {
  return await ok('build', ...flags, bench.context)
}

interface Entry {
  readonly digest: string
  readonly mediaType: string
  readonly platform?: { readonly os: string }
  readonly annotations?: Record<string, string>
}

interface Document {
  readonly manifests: readonly Entry[]
  readonly layers: readonly Entry[]
  readonly config: Entry
  readonly artifactType?: string
  readonly subject?: Entry
}

interface Statement {
  readonly predicateType: string
  readonly subject: readonly { readonly name: string; readonly digest: Record<string, string> }[]
  readonly predicate: Record<string, never>
}

const at = (path: string): string => `${bench.directory}/${path}`

/** Reads blobs of the OCI layout that a build wrote to `out`. */
function layout(): { readonly index: Document; readonly blob: (entry: Entry) => Document & Statement } {
  const json = (path: string): never => JSON.parse(readFileSync(at(`out/${path}`), 'utf8')) as never
  const blob = ({ digest }: Entry): never => json(`blobs/${digest.replace(':', '/')}`)
  const [root] = (json('index.json') as Document).manifests
  return { index: blob(root as Entry), blob }
}

const toLayout = ['-o', 'type=oci,tar=false,dest=out', '-t', 'me/app:1'] as const

describe('build --provenance --sbom', () => {
  test('puts statements about the image beside it into an index, and leaves the image as it is', async () => {
    await build('--provenance', '--sbom', ...toLayout)
    const { index, blob } = layout()
    const [image, attestation, ...others] = index.manifests
    expect(others).toEqual([])
    expect(attestation).toMatchObject({
      platform: { os: 'unknown', architecture: 'unknown' },
      annotations: {
        'vnd.docker.reference.type': 'attestation-manifest',
        'vnd.docker.reference.digest': image?.digest,
      },
    })
    const manifest = blob(attestation as Entry)
    expect(manifest.layers.map(({ mediaType, annotations }) => [mediaType, annotations])).toEqual([
      ['application/vnd.in-toto+json', { 'in-toto.io/predicate-type': 'https://spdx.dev/Document' }],
      ['application/vnd.in-toto+json', { 'in-toto.io/predicate-type': 'https://slsa.dev/provenance/v1' }],
    ])
    const subject = [{ name: 'pkg:docker/me/app@1?platform=linux%2Famd64', digest: { sha256: image?.digest.slice(7) } }]
    for (const layer of manifest.layers) expect(blob(layer).subject).toEqual(subject as never)
    await build('-o', 'type=oci,tar=false,dest=plain', '-t', 'me/app:1')
    const [plain] = (JSON.parse(readFileSync(at('plain/index.json'), 'utf8')) as Document).manifests
    expect(plain?.digest).toBe(image?.digest as string)
  })

  test('gives the same index each time, and with --timestamps=real says when it was built', async () => {
    const digest = async (...flags: readonly string[]): Promise<string> => (await build('-q', '-t', 'a', ...flags)).out
    const first = await digest('--provenance', '--sbom')
    await ok('rmi', 'a')
    await ok('builder', 'prune', '-af')
    expect(await digest('--provenance', '--sbom')).toBe(first)
    await build('--provenance', '--timestamps=real', '-t', 'real')
    const { out } = await ok('provenance', '--format', '{{.runDetails.metadata.startedOn}}', 'real')
    expect(out).toMatch(/^\d{4}-\d\d-\d\dT.*Z\n$/)
  })

  test('tells in mode=max what was asked for, but no secret; in mode=min what it was made from', async () => {
    const args = ['--build-arg', 'VERSION=2', '--build-arg', 'API_TOKEN=hush-hush', '--label', 'l=1']
    await build('--provenance=mode=max,builder-id=https://ci.example', ...args, '-t', 'max')
    const { out: max } = await ok('provenance', 'max')
    expect(max).not.toContain('hush-hush')
    expect(JSON.parse(max)).toMatchObject({
      buildDefinition: {
        externalParameters: {
          configSource: { path: 'Dockerfile' },
          request: {
            frontend: 'dockerfile.v0',
            args: { 'build-arg:VERSION': '2', 'label:l': '1' },
            secrets: [{ id: 'npm', optional: true }],
            locals: [{ name: 'context' }, { name: 'dockerfile' }],
          },
        },
        internalParameters: {
          buildConfig: { llbDefinition: [{ id: 'step0' }, { id: 'step1', inputs: ['step0:0'] }, { id: 'step2' }] },
        },
        resolvedDependencies: [{ uri: 'pkg:docker/busybox@latest?platform=linux%2Famd64' }],
      },
      runDetails: {
        builder: { id: 'https://ci.example' },
        metadata: {
          buildkit_completeness: { request: false, resolvedDependencies: false },
          buildkit_metadata: {
            source: {
              infos: [{ filename: 'Dockerfile', data: Buffer.from(dockerfile).toString('base64') }],
              locations: { step1: { locations: [{ ranges: [{ start: { line: 4 }, end: { line: 4 } }] }] } },
            },
            layers: { 'step0:0': [[{}]], 'step1:0': [[{}]], 'step2:0': [[{}]] },
          },
        },
      },
    })
    await build('--provenance=mode=min', ...args, '-t', 'min')
    const { out: min } = await ok('provenance', 'min')
    for (const text of ['VERSION', 'label:l', 'npm', 'llbDefinition', 'infos']) expect(min).not.toContain(text)
    expect(min).toContain('pkg:docker/busybox@latest')
  })

  test('writes SLSA 0.2 and CycloneDX where that is asked for', async () => {
    await build('--provenance=version=v0.2,reproducible=true', '--sbom=format=cyclonedx', '-t', 'app')
    expect(JSON.parse((await ok('provenance', 'app')).out)).toMatchObject({
      buildType: 'https://mobyproject.org/buildkit@v1',
      materials: [{ uri: 'pkg:docker/busybox@latest?platform=linux%2Famd64' }],
      metadata: { reproducible: true },
    })
    const { components } = JSON.parse((await ok('sbom', '--attached', 'app')).out) as { components: { name: string }[] }
    expect(components.map(({ name }) => name)).toEqual(['busybox', 'tool'])
    expect(await bench.cairn(['sbom', '--attached', '--format', 'spdx', 'app'])).toMatchObject({ status: 1 })
  })

  test('makes artifacts that refer to the image with oci-artifact=true', async () => {
    await build('--provenance', '-t', 'app', '-o', 'type=oci,tar=false,dest=out,oci-artifact=true')
    const { index, blob } = layout()
    const [image, attestation] = index.manifests
    const manifest = blob(attestation as Entry)
    expect(manifest).toMatchObject({
      artifactType: 'application/vnd.docker.attestation.manifest.v1+json',
      config: { mediaType: 'application/vnd.oci.empty.v1+json' },
      subject: { digest: image?.digest },
    })
    expect(blob(manifest.config)).toEqual({} as never)
  })

  test('keeps attestations apart from the image with store=referrers, as long as that is there', async () => {
    const { out: plain } = await build('-q', '-t', 'app')
    const { out } = await build('-q', '-t', 'app', '--attest', 'type=sbom,store=referrers')
    expect(out).toBe(plain)
    expect((await ok('sbom', '--attached', 'app')).out).toContain('pkg:deb/busybox/tool@1.0')
    await ok('system', 'check')
    await ok('system', 'prune', '-f')
    await ok('sbom', '--attached', 'app')
    const archive = await bench.cairn([
      'build',
      '--attest',
      'type=sbom,store=referrers',
      '-o',
      'type=oci,dest=x.tar',
      bench.context,
    ])
    expect(archive.err).toContain('attestations with store=referrers are not written to archives')
  })

  test('writes files beside files, about each of them', async () => {
    await build('--provenance', '--sbom', '-o', 'type=local,dest=out,attestation-prefix=x-')
    expect(
      readdirSync(at('out'))
        .filter((name) => name.endsWith('.json'))
        .sort(),
    ).toEqual(['x-provenance.json', 'x-sbom.spdx.json'])
    expect(statSync(at('out/x-provenance.json')).mode & 0o777).toBe(0o600)
    const { subject } = JSON.parse(readFileSync(at('out/x-provenance.json'), 'utf8')) as Statement
    const sha256 = new Bun.CryptoHasher('sha256').update(readFileSync(at('out/v'))).digest('hex')
    expect(subject).toContainEqual({ name: 'v', digest: { sha256 } })
    await build('--provenance=inline-only=true', '-o', 'type=local,dest=none')
    expect(readdirSync(at('none'))).not.toContain('provenance.json')
  })

  test('attests each platform by itself, with what the platforms share', async () => {
    bench.file(
      'Dockerfile',
      'FROM --platform=$BUILDPLATFORM busybox AS b\nRUN echo 1 > /x\nFROM scratch\nCOPY --from=b /x /x\n',
    )
    const platforms = ['--platform', 'linux/amd64,linux/arm64'] as const
    await build(...platforms, '--provenance', ...toLayout)
    const { index, blob } = layout()
    const [amd64, arm64, ...attestations] = index.manifests
    expect(attestations.map(({ annotations }) => annotations?.['vnd.docker.reference.digest'])).toEqual([
      amd64?.digest,
      arm64?.digest,
    ])
    for (const [place, attestation] of attestations.entries()) {
      const [layer] = blob(attestation).layers
      const statement = blob(layer as Entry)
      const platform = ['amd64', 'arm64'][place]
      expect(statement.subject[0]?.name).toBe(`pkg:docker/me/app@1?platform=linux%2F${platform}`)
      expect(JSON.stringify(statement.predicate)).toContain('pkg:docker/busybox@latest')
    }
    await build(...platforms, '--sbom', '-o', 'type=local,dest=files,platform-split=false')
    expect(readdirSync(at('files')).sort()).toEqual(['sbom.spdx.linux_amd64.json', 'sbom.spdx.linux_arm64.json', 'x'])
  })

  test('are not made for media types of docker, nor where nobody asked', async () => {
    const refused = await bench.cairn(['build', '--sbom', '-o', 'type=image,oci-mediatypes=false', bench.context])
    expect(refused.err).toContain('cannot export attestations with "oci-mediatypes=false"')
    await build('-t', 'app')
    const none = await bench.cairn(['provenance', 'app'])
    expect(none).toMatchObject({ status: 1 })
    expect(none.err).toContain('app has no provenance attached')
  })
})
