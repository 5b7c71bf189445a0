import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Cairn } from '../../../test/fixtures/cli/cairn.ts'
import { tarOf } from '../../images/image-fixtures.ts'
import { digestOf } from '../../oci/digest.ts'
import { mediaTypes } from '../../oci/media-types.ts'
import { failure, ScriptedRegistry } from '../../registry/client/scripted-registry.ts'
import { startTestRegistry, type TestRegistry } from '../../registry/server/registry-fixtures.ts'

// A machine that is busy otherwise is no reason to fail.
setDefaultTimeout(60_000)

let cairn: Cairn
/** A registry that lists no referrers and deletes nothing. */
let plain: ScriptedRegistry
/** Cairn's own. */
let own: TestRegistry
let host: string
beforeEach(() => {
  cairn = new Cairn()
  plain = new ScriptedRegistry()
  own = startTestRegistry()
  host = new URL(own.server.url).host
})
afterEach(async () => {
  cairn[Symbol.dispose]()
  plain[Symbol.dispose]()
  await own[Symbol.asyncDispose]()
})

/** Puts an image with these tags into Cairn's registry; gives its digest. */
async function fill(repository: string, ...tags: readonly string[]): Promise<string> {
  const image = plain.putImage('fill', 'x', [tarOf({ name: repository })])
  for (const tag of tags)
    await cairn.ok(['registry', 'copy', '-q', `${plain.host}/fill:x`, `${host}/${repository}:${tag}`])
  return image.target.digest
}

async function lines(args: readonly string[]): Promise<readonly string[]> {
  const text = await cairn.ok(args)
  return text === '' ? [] : text.trimEnd().split('\n')
}

describe('cairn registry ls', () => {
  test('lists the repositories of a catalog that fit, as many as wanted', async () => {
    await fill('team/a', '1')
    await fill('team/b', '1')
    await fill('other', '1')
    expect(await lines(['registry', 'ls', host])).toEqual(['other', 'team/a', 'team/b'])
    expect(await lines(['registry', 'ls', '-f', 'team/*', '--exclude', '/b$/', host])).toEqual(['team/a'])
    expect(await cairn.ok(['registry', 'ls', '--limit', '1', '--format', 'json', host])).toBe(
      '{"Repository":"other"}\n',
    )
  })

  test('asks for no more pages than it needs', async () => {
    plain.intercept = (_request, url) => {
      if (url.pathname !== '/v2/_catalog') return undefined
      const from = Number(url.searchParams.get('last') ?? 0)
      const repositories = Array.from({ length: 10 }, (_, index) => `r${from + index}`)
      return Response.json({ repositories }, { headers: { Link: `</v2/_catalog?last=${from + 10}>; rel="next"` } })
    }
    expect(await lines(['registry', 'ls', '--limit', '25', plain.host])).toHaveLength(25)
    expect(plain.asked('GET').filter((target) => target.startsWith('/v2/_catalog'))).toHaveLength(3)
  })

  test('says that a registry has no catalog', async () => {
    plain.intercept = (_request, url) => (url.pathname === '/v2/_catalog' ? failure(404, 'UNSUPPORTED') : undefined)
    expect((await cairn.run(['registry', 'ls', plain.host])).err).toContain('has no catalog of its repositories')
  })
})

describe('cairn registry tags', () => {
  test('filters by pattern and range, and orders versions as such', async () => {
    await fill('app', '1.2.0', '1.10.1', 'v2.0', 'latest', '1.10.1-rc.1')
    const name = `${host}/app`
    expect(await lines(['registry', 'tags', '--sort', '-version', name])).toEqual([
      'v2.0',
      '1.10.1',
      '1.10.1-rc.1',
      '1.2.0',
      'latest',
    ])
    expect(await lines(['registry', 'tags', '--version', '>=1.5 <2', name])).toEqual(['1.10.1'])
    expect(await lines(['registry', 'tags', '-f', '1.*', '--exclude', '*rc*', '--sort', 'name', name])).toEqual([
      '1.10.1',
      '1.2.0',
    ])
    expect((await cairn.run(['registry', 'tags', '-f', '/(/', name])).err).toStartWith('cairn: "/(/" is no pattern')
    expect((await cairn.run(['registry', 'tags', `${host}/absent`])).err).toContain(
      `repository ${host}/absent not found`,
    )
  })
})

describe('cairn registry digest and cat', () => {
  test('give digests, and bytes as the registry has them', async () => {
    const { raw, target, config, layers } = plain.putImage('app', '1')
    const name = `${plain.host}/app:1`
    expect(await cairn.ok(['registry', 'digest', name])).toBe(`${target.digest}\n`)
    expect(await cairn.ok(['registry', 'digest', '--full', name])).toBe(`${plain.host}/app@${target.digest}\n`)
    expect(plain.asked('GET')).toEqual([])
    expect(await cairn.ok(['registry', 'cat', name])).toBe(Buffer.from(raw).toString())
    expect(digestOf(await cairn.ok(['registry', 'cat', '--type', 'config', name]))).toBe(config)
    const layer = layers[0]?.digest ?? ''
    const { status } = await cairn.run(['registry', 'cat', '--type', 'blob', `${plain.host}/app@${layer}`])
    expect(status).toBe(0)
  })

  test('fail where a blob is not what its digest says', async () => {
    const { layers } = plain.putImage('app', '1')
    const layer = layers[0]?.digest ?? ''
    plain.blobs.set(`app ${layer}`, new Uint8Array(layers[0]?.size ?? 0))
    const { status, err } = await cairn.run(['registry', 'cat', '--type', 'blob', `${plain.host}/app@${layer}`])
    expect(status).not.toBe(0)
    expect(err).toContain(`blob ${layer}`)
  })
})

describe('cairn registry attach and referrers', () => {
  test('attach files, and show them as a tree', async () => {
    await fill('app', '1')
    const path = join(cairn.directory, 'sbom.json')
    writeFileSync(path, '{}')
    const args = ['registry', 'attach', '--artifact-type', 'application/spdx+json', '-a', 'by=me', `${host}/app:1`]
    const sbom = (await cairn.ok([...args, `${path}:application/spdx+json`])).trim()
    expect((await cairn.ok([...args, `${path}:application/spdx+json`])).trim()).toBe(sbom)
    const note = ['registry', 'attach', '--artifact-type', 'example/note', '-a', 'x=y', `${host}/app@${sbom}`]
    const second = (await cairn.ok(note)).trim()
    const format = ['--format', '{{.Depth}} {{.Digest}} {{.ArtifactType}}']
    expect(await lines(['registry', 'referrers', '--tree', ...format, `${host}/app:1`])).toEqual([
      `0 ${sbom} application/spdx+json`,
      `1 ${second} example/note`,
    ])
    expect(
      await lines(['registry', 'referrers', '--artifact-type', 'example/note', ...format, `${host}/app:1`]),
    ).toEqual([])
  })

  test('shows nothing of an artifact that could move the cursor', async () => {
    const { target } = plain.putImage('app', '1')
    const entry = { ...target, artifactType: 'a\u001b[2Jb' }
    const index = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [entry] }
    plain.intercept = (_request, url) =>
      url.pathname.includes('/referrers/')
        ? Response.json(index, { headers: { 'Content-Type': mediaTypes.ociIndex } })
        : undefined
    const again = ['registry', 'referrers', `${plain.host}/app:1`]
    plain.putImage('app', '1', [tarOf({ other: 'x' })])
    expect(await cairn.ok(again)).toContain('a^[[2Jb')
  })

  test('keep the tag of referrers where a registry has no list of them', async () => {
    const { target } = plain.putImage('app', '1')
    const tag = target.digest.replace(':', '-')
    const attach = async (value: string): Promise<string> => {
      const args = ['--artifact-type', 'example/note', '-a', `x=${value}`, `${plain.host}/app:1`]
      return (await cairn.ok(['registry', 'attach', ...args])).trim()
    }
    const both = [await attach('1'), await attach('2')]
    expect(plain.documents.has(`app ${tag}`)).toBe(true)
    expect(await lines(['registry', 'referrers', '--format', '{{.Digest}}', `${plain.host}/app:1`])).toEqual(both)
  })
})

describe('cairn registry copy', () => {
  test('takes referrers and the tags of signatures along, and moves no bytes within a registry', async () => {
    const digest = await fill('app', '1')
    await fill('app', `${digest.replace(':', '-')}.sig`, 'unrelated')
    const note = ['registry', 'attach', '--artifact-type', 'example/note', '-a', 'x=y', `${host}/app:1`]
    const attached = (await cairn.ok(note)).trim()
    const { err } = await cairn.run(['registry', 'copy', `${host}/app:1`, `${host}/new:2`])
    expect(err).toBe(`Copied ${host}/app:1 to ${host}/new:2 with 2 referrers: 0 blobs, 0B moved\n`)
    expect(await lines(['registry', 'referrers', '--format', '{{.Digest}}', `${host}/new:2`])).toEqual([attached])
    expect(await lines(['registry', 'tags', `${host}/new`])).toEqual(['2', `${digest.replace(':', '-')}.sig`])
  })
})

describe('cairn registry delete', () => {
  test('deletes one tag and no other of the same image, or with a digest all', async () => {
    const digest = await fill('app', '1', '2', '3')
    expect(await cairn.ok(['registry', 'delete', '--dry-run', `${host}/app:1`])).toBe(
      `Would delete: ${host}/app:1 (${digest})\n`,
    )
    expect(await lines(['registry', 'tags', `${host}/app`])).toEqual(['1', '2', '3'])
    expect(await cairn.ok(['registry', 'delete', `${host}/app:1`])).toBe(`Deleted: ${host}/app:1 (${digest})\n`)
    expect(await lines(['registry', 'tags', `${host}/app`])).toEqual(['2', '3'])
    const note = ['registry', 'attach', '--artifact-type', 'example/note', '-a', 'x=y', `${host}/app:2`]
    const attached = (await cairn.ok(note)).trim()
    expect(await lines(['registry', 'delete', '--referrers', `${host}/app@${digest}`])).toEqual([
      `Deleted: ${host}/app@${attached}`,
      `Deleted: ${host}/app@${digest}`,
    ])
    const { status, err } = await cairn.run(['registry', 'delete', `${host}/app:2`])
    expect([status, err]).toEqual([1, `cairn: manifest for ${host}/app:2 not found\n`])
  })

  test('moves a tag to a manifest of its own where a registry cannot delete tags', async () => {
    const { target } = plain.putImage('app', '1')
    const deleted: string[] = []
    plain.intercept = (request, url) => {
      if (request.method !== 'DELETE') return undefined
      const reference = url.pathname.slice(url.pathname.lastIndexOf('/') + 1)
      if (!reference.startsWith('sha256:')) return failure(405, 'UNSUPPORTED')
      deleted.push(reference)
      return new Response(null, { status: 202 })
    }
    await cairn.ok(['registry', 'delete', `${plain.host}/app:1`])
    expect(deleted).toHaveLength(1)
    expect(deleted).not.toContain(target.digest)
    plain.intercept = (request) => (request.method === 'DELETE' ? failure(405, 'UNSUPPORTED') : undefined)
    expect((await cairn.run(['registry', 'delete', `${plain.host}/app@${target.digest}`])).err).toContain(
      'does not allow to delete manifests',
    )
  })
})

describe('cairn search', () => {
  test('takes a limit from 1 to 100, and 0 for the default, as docker does', async () => {
    plain.intercept = (_request, url) => (url.pathname === '/v1/search' ? Response.json({ results: [] }) : undefined)
    await cairn.ok(['search', '--limit', '0', `${plain.host}/x`])
    expect(plain.asked('GET')).toEqual(['/v1/search?q=x&n=25'])
    expect((await cairn.run(['search', '--limit', '101', `${plain.host}/x`])).err).toStartWith(
      'cairn: Limit 101 is outside the range of [1, 100]\n',
    )
  })
})

describe('cairn registry sync', () => {
  test('copies what fits, then nothing any more, by HEAD alone', async () => {
    for (const tag of ['1.0', '1.1', '2.0', 'dev']) plain.putImage('app', tag, [tarOf({ version: tag })])
    const args = ['registry', 'sync', '--version', '1.x', `docker://${plain.host}/app`, `docker://${host}/mirror`]
    const dry = await cairn.run([...args, '--dry-run'])
    expect(dry.err).toBe('2 to be copied, 0 up to date, 0 failed; 0B moved\n')
    expect((await cairn.run(args)).err).toMatch(/^2 copied, 0 up to date, 0 failed; /)
    expect(await lines(['registry', 'tags', `${host}/mirror`])).toEqual(['1.0', '1.1'])
    plain.seen.length = 0
    expect((await cairn.run(args)).err).toBe('0 copied, 2 up to date, 0 failed; 0B moved\n')
    expect(plain.asked('GET')).toEqual(['/v2/app/tags/list?n=1000'])
    expect((await cairn.run(['registry', 'sync', '--newest', '1', ...args.slice(4)])).out).toContain('/app:2.0 -> ')
  })

  test.each(['oci', 'dir'])('brings a registry to %s: and back', async (kind) => {
    const digest = await fill('team/app', '1', '2')
    await fill('other', '1')
    const path = join(cairn.directory, 'mirror')
    const out = ['registry', 'sync', '--repository', 'team/*', `docker://${host}`, `${kind}:${path}`]
    expect((await cairn.run(out)).err).toMatch(/^2 copied, 0 up to date, 0 failed; /)
    expect((await cairn.run(out)).err).toMatch(/^0 copied, 2 up to date, 0 failed; /)
    expect(readdirSync(path)).toEqual(['team'])
    await cairn.ok(['registry', 'sync', `${kind}:${path}`, `docker://${plain.host}/back`])
    expect(await cairn.ok(['registry', 'digest', `${plain.host}/back/team/app:2`])).toBe(`${digest}\n`)
  })

  test('asks for nothing twice: two HEADs, a GET and a PUT for an image of which all blobs are there', async () => {
    const layers = [tarOf({ same: 'x' })]
    const { raw } = plain.putImage('app', '0', layers)
    for (const tag of ['1', '2', '3']) {
      const manifest = new TextEncoder().encode(
        new TextDecoder().decode(raw).replace('{', '{' + ' '.repeat(Number(tag))),
      )
      plain.putDocument('app', tag, manifest, mediaTypes.ociManifest)
    }
    using other = new ScriptedRegistry()
    const args = ['registry', 'sync', `docker://${plain.host}/app`, `docker://${other.host}/mirror`]
    expect((await cairn.run(args)).err).toMatch(/^4 copied, 0 up to date, 0 failed; /)
    const asked = (registry: ScriptedRegistry, method: string, part: string): number =>
      registry.asked(method).filter((path) => path.includes(part)).length
    expect([asked(plain, 'HEAD', '/manifests/'), asked(plain, 'GET', '/manifests/')]).toEqual([4, 4])
    expect([asked(other, 'HEAD', '/manifests/'), asked(other, 'PUT', '/manifests/')]).toEqual([4, 4])
    expect(asked(other, 'HEAD', '/blobs/')).toBe(2)
  })

  test('takes referrers into layouts and back', async () => {
    await fill('app', '1')
    const path = join(cairn.directory, 'note.txt')
    writeFileSync(path, 'note')
    const note = (
      await cairn.ok(['registry', 'attach', '--artifact-type', 'example/note', `${host}/app:1`, path])
    ).trim()
    const layout = `oci:${join(cairn.directory, 'mirror')}`
    await cairn.ok(['registry', 'sync', '--referrers', `docker://${host}/app`, layout])
    await cairn.ok(['registry', 'sync', '--referrers', layout, `docker://${host}/back`])
    const found = await lines(['registry', 'referrers', '--format', '{{.Digest}}', `${host}/back:1`])
    expect(found).toEqual([note])
    const flat = await cairn.run(['registry', 'sync', '--referrers', layout, `dir:${join(cairn.directory, 'flat')}`])
    expect([flat.status, flat.err]).toEqual([1, expect.stringContaining('no place for what refers to an image')])
  })

  test('does what a file says, and tells of what failed', async () => {
    await fill('app', '1')
    const path = join(cairn.directory, 'sync.yaml')
    const job = (source: string, target: string): string =>
      `  - source: docker://${host}/${source}\n    target: docker://${plain.host}/${target}\n`
    writeFileSync(path, `sync:\n${job('absent', 'x')}${job('app', 'y')}    tags: ["1"]\n`)
    const first = await cairn.run(['registry', 'sync', '--file', path])
    expect([first.status, first.out]).toEqual([1, ''])
    const { status, out, err } = await cairn.run(['registry', 'sync', '-k', '--file', path])
    expect([status, out]).toEqual([
      1,
      expect.stringContaining(`Copied: docker://${host}/app:1 -> docker://${plain.host}/y:1`),
    ])
    expect(err).toContain(`repository ${host}/absent not found`)
    writeFileSync(path, 'sync:\n  - source: docker://a.b/c\n    target: docker://d.e/f\n    tag: 1\n')
    expect((await cairn.run(['registry', 'sync', '--file', path])).err).toStartWith(
      `cairn: ${path}: sync[0].tag is not known`,
    )
  })
})
