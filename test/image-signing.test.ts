import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { statSync, writeFileSync } from 'node:fs'
import { startTestRegistry, type TestRegistry } from '../src/registry/server/registry-fixtures.ts'
import { BuildBench, type Ended } from './fixtures/build-bench.ts'

// A machine that is busy otherwise is no reason to fail.
setDefaultTimeout(120_000)

let bench: BuildBench
beforeEach(async () => {
  bench = await BuildBench.open()
  bench.file('Dockerfile', 'FROM busybox\nCOPY Dockerfile /a\n')
  bench.closeStore()
  await ok('image', 'generate-key-pair', '--output-key-prefix', at('own'))
  await ok('image', 'generate-key-pair', '--output-key-prefix', at('other'))
})
afterEach(() => bench[Symbol.dispose]())

const at = (path: string): string => `${bench.directory}/${path}`

async function cairn(...args: readonly string[]): Promise<Ended> {
  return await bench.cairn(args, { env: { COSIGN_PASSWORD: 'secret' } })
}

async function ok(...args: readonly string[]): Promise<Ended> {
  const ended = await cairn(...args)
  expect(ended).toMatchObject({ status: 0 })
  return ended
}

describe('image sign', () => {
  test('signs what image verify then finds right, with that key only', async () => {
    expect(statSync(at('own.key')).mode & 0o777).toBe(0o600)
    const none = await cairn('image', 'verify', '--key', at('own.pub'), 'busybox')
    expect(none).toMatchObject({ status: 1, out: '' })
    expect(none.err).toContain('has no signature')
    const { out: signed } = await ok('image', 'sign', '--key', at('own.key'), 'busybox')
    expect((await ok('image', 'verify', '--key', at('own.pub'), 'busybox')).out).toBe(signed)
    const wrong = await cairn('image', 'verify', '--key', at('other.pub'), 'busybox')
    expect(wrong.err).toContain('it was not made with this key, or was changed')
    expect(wrong.status).not.toBe(0)
    await ok('image', 'sign', '--key', at('other.key'), 'busybox')
    const both = await ok('image', 'verify', '--key', at('other.pub'), 'busybox')
    expect(both.out).toBe(signed)
    expect(both.err).toContain('WARNING: signature sha256:')
  })

  test('takes the password from stdin, without the end of its line, and only there if told so', async () => {
    const piped = async (stdin: string, ...args: readonly string[]): Promise<Ended> =>
      await bench.cairn(['image', ...args, '--password-stdin'], { env: { COSIGN_PASSWORD: 'another' }, stdin })
    expect(await piped('secret\n', 'sign', '--key', at('own.key'), 'busybox')).toMatchObject({ status: 0 })
    await ok('image', 'verify', '--key', at('own.pub'), 'busybox')
    expect((await piped('wrong\n', 'sign', '--key', at('own.key'), 'busybox')).err).toContain('the password is wrong')
    await piped('new', 'generate-key-pair', '--output-key-prefix', at('piped'))
    expect(await piped('new\n', 'sign', '--key', at('piped.key'), 'busybox')).toMatchObject({ status: 0 })
    const unset = { env: { COSIGN_PASSWORD: undefined }, stdin: 'secret' }
    const { err, status } = await bench.cairn(['image', 'sign', '--key', at('own.key'), 'busybox'], unset)
    expect(err).toContain('own.key is encrypted')
    expect(err).toContain('Give its password in COSIGN_PASSWORD, or by --password-stdin.')
    expect(status).toBe(1)
  })

  test('signs an index as a whole, and nothing of another image', async () => {
    await ok('build', '-t', 'app', '--provenance', bench.context)
    await ok('image', 'sign', '--key', at('own.key'), 'app')
    await ok('image', 'verify', '--key', at('own.pub'), 'app')
    await ok('build', '-t', 'app', '--provenance', '--label', 'new=1', bench.context)
    expect((await cairn('image', 'verify', '--key', at('own.pub'), 'app')).err).toContain('has no signature')
  })

  test('goes along with image copy --referrers from place to place, and nowhere without', async () => {
    await using registry = startTestRegistry({ missingContent: 'refuse' })
    const remote = (name: string): string => `docker://${registry.server.url.host}/${name}`
    const { out: digest } = await ok('image', 'sign', '--key', at('own.key'), 'busybox')
    const places = [
      'busybox',
      `oci:${at('layout')}:1`,
      remote('one:1'),
      remote('two:1'),
      `oci-archive:${at('a.tar')}:1`,
      'copied',
    ]
    for (const [index, place] of places.slice(1).entries()) {
      const { err } = await ok('image', 'copy', '--referrers', places[index] as string, place)
      expect(err).toContain(': 1 referrers, ')
      expect((await ok('image', 'verify', '--key', at('own.pub'), place)).out).toBe(digest)
    }
    for (const place of [`oci:${at('bare')}:1`, remote('bare:1')]) {
      await ok('image', 'copy', 'busybox', place)
      expect((await cairn('image', 'verify', '--key', at('own.pub'), place)).err).toContain('has no signature')
    }
    const nowhere = await cairn('image', 'copy', '--referrers', 'busybox', `docker-archive:${at('d.tar')}`)
    expect(nowhere.err).toContain('there is no place for what refers to an image')
    await ok('system', 'check')
  })

  test('keeps the signature as long as the image, also when it is pruned around', async () => {
    await ok('image', 'sign', '--key', at('own.key'), 'busybox')
    await ok('system', 'prune', '-f')
    await ok('system', 'check')
    await ok('image', 'verify', '--key', at('own.pub'), 'busybox')
  })

  test('of an image whose bytes were changed is told from a right one', async () => {
    await ok('build', '-t', 'app', bench.context)
    await ok('image', 'sign', '--key', at('own.key'), 'app')
    const { out } = await ok('image', 'inspect', '--format', '{{index .RootFS.Layers 1}}', 'app')
    const path = `${bench.root}/content/blobs/${out.trim().replace(':', '/')}`
    const { size } = statSync(path)
    writeFileSync(path, new Uint8Array(size))
    const changed = await cairn('image', 'verify', '--key', at('own.pub'), 'app')
    expect(changed.status).not.toBe(0)
    expect(changed.err).toContain(out.trim())
  })

  test('puts the signature of an image in a layout there, where the image is found as before', async () => {
    const layout = `oci:${at('layout')}`
    await ok('image', 'copy', 'busybox', `${layout}:1`)
    const { out: digest } = await ok('image', 'sign', '--key', at('own.key'), layout)
    expect((await ok('image', 'verify', '--key', at('own.pub'), `${layout}:1`)).out).toBe(digest)
    expect((await ok('image', 'cat', layout, '/etc/os-release')).out).toContain('busybox')
    expect((await cairn('image', 'verify', '--key', at('other.pub'), layout)).status).not.toBe(0)
    await ok('image', 'validate', layout)
    Bun.spawnSync(['tar', '-C', at('layout'), '-cf', at('signed.tar'), '.'])
    expect((await cairn('image', 'verify', '--key', at('own.pub'), 'busybox')).status).not.toBe(0)
    const images = (await ok('images', '-aq')).out
    await ok('load', '-i', at('signed.tar'))
    expect((await ok('images', '-aq')).out).toBe(images)
    await ok('image', 'verify', '--key', at('own.pub'), 'busybox')
  })

  test('names what is wrong with keys', async () => {
    const texts = async (...args: readonly string[]): Promise<string> => (await cairn('image', ...args)).err
    expect(await texts('sign', 'busybox')).toContain('--key is required')
    expect(await texts('sign', '--key', at('none.key'), 'busybox')).toContain('there is no key')
    expect(await texts('sign', '--key', at('own.pub'), 'busybox')).toContain('is no key in PEM form')
    expect(await texts('verify', '--key', at('own.key'), 'busybox')).toContain('is a private key')
    expect(await texts('sign', '--key', at('own.key'), 'dir:dir')).toContain('signed in the store, in a layout or')
    expect(await texts('generate-key-pair', '--output-key-prefix', at('own'))).toContain('is there already')
  })
})

/** The registry as one that has no list of referrers, such as docker's. */
function withoutReferrers(registry: TestRegistry): Bun.Server<undefined> {
  const server: Bun.Server<undefined> = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    async fetch(request) {
      const { pathname, search } = new URL(request.url)
      if (pathname.includes('/referrers/')) return new Response('', { status: 404 })
      const { method, headers } = request
      const body = method === 'GET' || method === 'HEAD' ? undefined : await request.arrayBuffer()
      const answer = await fetch(new URL(pathname + search, registry.server.url), {
        method,
        headers,
        ...(body === undefined ? {} : { body }),
        redirect: 'manual',
      })
      const own = new Headers(answer.headers)
      own.delete('oci-subject')
      const location = own.get('location')
      if (location !== null) own.set('location', location.replace(registry.server.url.host, server.url.host))
      return new Response(answer.body, { status: answer.status, headers: own })
    },
  })
  return server
}

describe('push', () => {
  test.each(['lists referrers', 'has no list of referrers'])(
    'takes signatures and attestations along, unchanged, to a registry that %s',
    async (kind) => {
      await using registry = startTestRegistry({ missingContent: 'refuse' })
      using proxy = kind === 'lists referrers' ? undefined : withoutReferrers(registry)
      const { host } = (proxy ?? registry.server).url
      const name = `${host}/team/app:1`
      await ok('build', '-t', name, '--attest', 'type=provenance,store=referrers', bench.context)
      const { out: digest } = await ok('image', 'sign', '--key', at('own.key'), name)
      const { out } = await ok('push', name)
      expect(out).toContain('its layers are pushed as they are stored')
      const remote = `docker://${name}`
      expect((await ok('image', 'verify', '--key', at('own.pub'), remote)).out).toBe(digest)
      expect((await ok('provenance', remote)).out).toContain('pkg:docker/busybox@latest')
      expect((await cairn('image', 'verify', '--key', at('other.pub'), remote)).status).not.toBe(0)
      await ok('image', 'sign', '--key', at('other.key'), remote)
      await ok('image', 'verify', '--key', at('other.pub'), remote)
      await ok('system', 'check')
    },
  )
})
