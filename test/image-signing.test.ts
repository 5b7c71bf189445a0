import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { statSync, writeFileSync } from 'node:fs'
import { BuildBench, type Ended } from './fixtures/build-bench.ts'

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

  test('signs an index as a whole, and nothing of another image', async () => {
    await ok('build', '-t', 'app', '--provenance', bench.context)
    await ok('image', 'sign', '--key', at('own.key'), 'app')
    await ok('image', 'verify', '--key', at('own.pub'), 'app')
    await ok('build', '-t', 'app', '--provenance', '--label', 'new=1', bench.context)
    expect((await cairn('image', 'verify', '--key', at('own.pub'), 'app')).err).toContain('has no signature')
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

  test('names what is wrong with keys', async () => {
    const texts = async (...args: readonly string[]): Promise<string> => (await cairn('image', ...args)).err
    expect(await texts('sign', 'busybox')).toContain('--key is required')
    expect(await texts('sign', '--key', at('none.key'), 'busybox')).toContain('there is no key')
    expect(await texts('sign', '--key', at('own.pub'), 'busybox')).toContain('is no key in PEM form')
    expect(await texts('verify', '--key', at('own.key'), 'busybox')).toContain('is a private key')
    expect(await texts('sign', '--key', at('own.key'), 'oci:dir')).toContain('signed in the store or in a registry')
    expect(await texts('generate-key-pair', '--output-key-prefix', at('own'))).toContain('is there already')
  })
})
