import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Cairn } from '../../../test/fixtures/cli/cairn.ts'
import { tarOf } from '../../images/image-fixtures.ts'
import { digestOf } from '../../oci/digest.ts'
import { mediaTypes } from '../../oci/media-types.ts'
import { type RemoteImage, ScriptedRegistry } from '../../registry/client/scripted-registry.ts'
import { startTestRegistry, type TestRegistry } from '../../registry/server/registry-fixtures.ts'

// A machine that is busy otherwise is no reason to fail.
setDefaultTimeout(60_000)

let cairn: Cairn
let from: ScriptedRegistry
let own: TestRegistry
let host: string
let amd64: RemoteImage
let arm64: RemoteImage
beforeEach(() => {
  cairn = new Cairn()
  from = new ScriptedRegistry()
  own = startTestRegistry()
  host = new URL(own.server.url).host
  amd64 = from.putImage('app', 'amd64', [tarOf({ name: 'a' })], { architecture: 'amd64' })
  arm64 = from.putImage('app', 'arm64', [tarOf({ name: 'b' })], { architecture: 'arm64' })
})
afterEach(async () => {
  cairn[Symbol.dispose]()
  from[Symbol.dispose]()
  await own[Symbol.asyncDispose]()
})

const imagetools = (...args: readonly string[]): Promise<string> => cairn.ok(['buildx', 'imagetools', ...args])
const entry = ({ target }: RemoteImage, architecture: string): object => ({
  mediaType: target.mediaType,
  digest: target.digest,
  size: target.size,
  platform: { architecture, os: 'linux' },
})

describe('cairn buildx imagetools create', () => {
  test('makes the index that buildx makes of images that were pushed by digest, and copies them', async () => {
    const sources = [`${from.host}/app@${amd64.target.digest}`, `${from.host}/app@${arm64.target.digest}`]
    const manifests = [entry(amd64, 'amd64'), entry(arm64, 'arm64')]
    const wanted = JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests }, undefined, 2)
    expect(await imagetools('create', '--dry-run', ...sources)).toBe(`${wanted}\n`)
    const tags = ['-t', `${host}/app:1`, '-t', `${host}/app:latest`, '-t', `${host}/other`]
    expect(await imagetools('create', '--metadata-file', 'made.json', ...tags, ...sources)).toBe('')
    const digest = digestOf(wanted)
    expect(JSON.parse(readFileSync(join(cairn.directory, 'made.json'), 'utf8'))).toMatchObject({
      'containerimage.descriptor': { digest, mediaType: mediaTypes.ociIndex },
    })
    for (const name of ['app:1', 'app:latest', 'other:latest'])
      expect(await imagetools('inspect', '--format', '{{.Manifest.Digest}}', `${host}/${name}`)).toBe(digest)
    await cairn.ok(['pull', '-q', '--platform', 'linux/arm64', `${host}/other`])
  })

  test('takes digests and descriptors of the repository that is named', async () => {
    cairn.file('descriptor.json', JSON.stringify({ ...arm64.target, annotations: { by: 'me' } }))
    const args = ['-t', `${from.host}/app:1`, '-f', 'descriptor.json', amd64.target.digest]
    const { manifests } = JSON.parse(await imagetools('create', '--dry-run', ...args)) as { manifests: object[] }
    expect(manifests).toEqual([{ ...entry(arm64, 'arm64'), annotations: { by: 'me' } }, entry(amd64, 'amd64')])
    const { status, err } = await cairn.run(['buildx', 'imagetools', 'create', '-t', `${host}/x`, ...args])
    expect(status).toBe(1)
    expect(err).toStartWith('cairn: multiple repositories specified, cannot infer repository for ')
  })

  test('appends, filters platforms, annotates, and copies one image as it is', async () => {
    const name = `${from.host}/app:1`
    await imagetools('create', '-t', name, `${from.host}/app:amd64`)
    await imagetools('create', '-t', name, '--append', `${from.host}/app:arm64`)
    const read = async (...args: readonly string[]) =>
      JSON.parse(await imagetools('create', '--dry-run', ...args)) as object
    expect(await read(name)).toMatchObject({ manifests: [entry(amd64, 'amd64'), entry(arm64, 'arm64')] })
    expect(await read(name, `${from.host}/app:arm64`)).toEqual(await read(name))
    expect(await read('-p', 'linux/arm64', name)).toHaveProperty('manifests', [entry(arm64, 'arm64')])
    const annotations = ['--annotation', 'index:a=<b>', '--annotation', 'manifest-descriptor[linux/arm64]:c=d']
    expect(await read(...annotations, name)).toMatchObject({
      manifests: [entry(amd64, 'amd64'), { annotations: { c: 'd' } }],
      annotations: { a: '<b>' },
    })
    await imagetools('create', '--prefer-index=false', '-t', `${from.host}/app:one`, `${from.host}/app:arm64`)
    expect(await cairn.ok(['registry', 'digest', `${from.host}/app:one`])).toBe(`${arm64.target.digest}\n`)
  })

  test.each([
    [[], 'no sources specified'],
    [['app:1'], "can't push with no tags specified, please set --tag or --dry-run"],
    [['--dry-run', digestOf('')], 'no repositories specified, please set a reference in tag or source'],
    [['--dry-run', '--annotation', 'a=b', 'app:1'], '"manifest" annotations are not supported here'],
    [['--dry-run', '{"schemaVersion":2}'], 'expected an OCI content descriptor, got a manifest or index'],
    [['--dry-run', 'sha256:12'], '"sha256:12" is not a digest'],
    [['--dry-run', '-f', 'absent'], 'open absent: no such file or directory'],
  ])('refuses %j', async (args, message) => {
    const { status, err } = await cairn.run(['buildx', 'imagetools', 'create', ...args])
    expect({ status, err }).toEqual({ status: 1, err: expect.stringContaining(`cairn: ${message}\n`) })
  })
})

describe('cairn buildx imagetools inspect', () => {
  test('shows what the registry has as buildx does', async () => {
    const name = `${from.host}/app:1`
    await imagetools('create', '-t', name, `${from.host}/app:amd64`, `${from.host}/app:arm64`)
    const raw = await imagetools('inspect', '--raw', name)
    const digest = digestOf(raw)
    const shown = ({ target }: RemoteImage, platform: string): string =>
      `  Name:      ${name}@${target.digest}\n  MediaType: ${target.mediaType}\n  Platform:  ${platform}\n`
    expect(await imagetools('inspect', name)).toBe(
      `Name:      ${name}\nMediaType: ${mediaTypes.ociIndex}\nDigest:    ${digest}\n\nManifests:\n${shown(amd64, 'linux/amd64')}\n${shown(arm64, 'linux/arm64')}`,
    )
    const format = async (text: string, of = name): Promise<string> => imagetools('inspect', '--format', text, of)
    expect(JSON.parse(await format('{{json .Manifest}}'))).toEqual({ ...JSON.parse(raw), digest, size: raw.length })
    expect(await format('{{range .Manifest.Manifests}}{{.Platform.OS}}/{{.Platform.Architecture}} {{end}}')).toBe(
      'linux/amd64 linux/arm64 ',
    )
    expect(await format('{{(index .Image "linux/arm64").Architecture}} {{json .Manifest.Annotations}}')).toBe(
      'arm64 null',
    )
    expect(await format('{{.Image.OS}} {{len .Image.RootFS.DiffIDs}}', `${from.host}/app:arm64`)).toBe('linux 1')
    expect(JSON.parse(await format('{{json .}}', `${from.host}/app:arm64`))).toMatchObject({
      name: `${from.host}/app:arm64`,
      manifest: arm64.target,
      image: { architecture: 'arm64' },
    })
    expect((await cairn.run(['buildx', 'imagetools', 'inspect', `${from.host}/absent`])).status).toBe(1)
  })

  test('shows nothing of an index that could move the cursor', async () => {
    const manifests = [
      { ...amd64.target, annotations: { a: 'b\u001b[2J' } },
      { ...arm64.target, annotations: null },
    ]
    const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests }
    from.intercept = (_request, url) =>
      url.pathname.endsWith('/manifests/bad') || url.pathname.includes(digestOf(JSON.stringify(index)))
        ? Response.json(index, { headers: { 'Content-Type': mediaTypes.ociIndex } })
        : undefined
    expect(await imagetools('inspect', `${from.host}/app:bad`)).toContain('\n    a: b^[[2J\n')
  })

  test('shows provenance and packages that a build attached', async () => {
    cairn.file('Dockerfile', 'FROM scratch\nLABEL a=b\n')
    const name = `${host}/attested:1`
    await cairn.ok(['build', '-q', '--provenance=true', '--sbom=true', '-t', name, '--push', '.'])
    const format = async (text: string): Promise<string> => imagetools('inspect', '--format', text, name)
    expect(JSON.parse(await format('{{json .Provenance}}'))).toMatchObject({ SLSA: { buildDefinition: {} } })
    expect(await format('{{.SBOM.SPDX.spdxVersion}} {{json .SBOM.SPDX.absent}}')).toBe('SPDX-2.3 null')
    expect(await imagetools('inspect', name)).toContain('\n  Annotations:\n    vnd.docker.reference.digest: sha256:')
  })
})
