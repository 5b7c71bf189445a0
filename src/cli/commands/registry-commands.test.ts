import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { Cairn } from '../../../test/fixtures/cli/cairn.ts'
import { file, layerOf } from '../../../test/fixtures/layers.ts'
import { tarOf } from '../../images/image-fixtures.ts'
import { failure, ScriptedRegistry } from '../../registry/client/scripted-registry.ts'

// A machine that is busy otherwise is no reason to fail.
setDefaultTimeout(60_000)

let cairn: Cairn
let registry: ScriptedRegistry
beforeEach(() => {
  cairn = new Cairn()
  registry = new ScriptedRegistry()
})
afterEach(() => {
  cairn[Symbol.dispose]()
  registry[Symbol.dispose]()
})

describe('cairn pull', () => {
  test('prints what docker prints, for a new image and for one that did not change', async () => {
    const image = registry.putImage('app', 'latest', [tarOf({ a: 'x' })])
    const layer = image.layers[0]?.digest.slice(7, 19)
    const name = `${registry.host}/app`
    expect(await cairn.ok(['pull', name])).toBe(
      `Using default tag: latest\nlatest: Pulling from app\n${layer}: Pulling fs layer\n${layer}: Download complete\n` +
        `${layer}: Pull complete\nDigest: ${image.target.digest}\nStatus: Downloaded newer image for ${name}:latest\n${name}:latest\n`,
    )
    expect(await cairn.ok(['pull', `${name}:latest`])).toBe(
      `latest: Pulling from app\nDigest: ${image.target.digest}\nStatus: Image is up to date for ${name}:latest\n${name}:latest\n`,
    )
    expect(await cairn.ok(['pull', '-q', name])).toBe(`${name}:latest\n`)
    expect(await cairn.ok(['images', '--digests', '--format', '{{.Tag}} {{.Digest}}'])).toBe(
      `latest ${image.target.digest}\n`,
    )
  })

  test('brings every tag with -a, and by a digest exactly that', async () => {
    const first = registry.putImage('app', '1', [tarOf({ a: '1' })])
    registry.putImage('app', '2', [tarOf({ a: '2' })])
    await cairn.ok(['pull', '-a', `${registry.host}/app`])
    expect((await cairn.ok(['images', '--format', '{{.Tag}}'])).trim().split('\n').sort()).toEqual(['1', '2'])
    expect(await cairn.ok(['pull', '-q', `${registry.host}/app@${first.target.digest}`])).toBe(
      `${registry.host}/app@${first.target.digest}\n`,
    )
  })

  test('fails with one line that says what is not there, and status 1', async () => {
    const { status, err } = await cairn.run(['pull', `${registry.host}/app:nope`])
    expect([status, err]).toEqual([
      1,
      `cairn: manifest for ${registry.host}/app:nope not found: manifest unknown to registry\n`,
    ])
    expect((await cairn.run(['pull', '-a', 'a:1'])).err).toStartWith("cairn: tag can't be used with --all-tags/-a\n")
  })
})

describe('cairn push', () => {
  test('prints what docker prints, and gives the image its digest', async () => {
    const name = `${registry.host}/app:1`
    await cairn.ok(['import', '-', name], { stdin: layerOf(file('a', 'x')) })
    const pushed = await cairn.ok(['push', name])
    expect(pushed).toMatch(
      new RegExp(
        `^The push refers to repository \\[${registry.host}/app\\]\\n[0-9a-f]{12}: Preparing\\n[0-9a-f]{12}: Pushed\\n1: digest: sha256:[0-9a-f]{64} size: \\d+\\n$`,
      ),
    )
    const digest = /sha256:[0-9a-f]{64}/.exec(pushed)?.[0]
    expect(await cairn.ok(['images', '--digests', '--format', '{{.Digest}}'])).toBe(`${digest}\n`)
    expect(await cairn.ok(['push', '-q', name])).toBe(`${name}\n`)
    expect((await cairn.run(['push', `${registry.host}/absent`])).err).toStartWith(
      `cairn: An image does not exist locally with the tag: ${registry.host}/absent\n`,
    )
  })
})

describe('cairn login and logout', () => {
  const accept = `Basic ${Buffer.from('me:secret').toString('base64')}`

  test('keep credentials that the registry takes, for their owner only, and forget them', async () => {
    registry.intercept = (request) =>
      request.headers.get('authorization') === accept
        ? undefined
        : failure(401, 'UNAUTHORIZED', { 'WWW-Authenticate': 'Basic realm="x"' })
    const config = join(cairn.directory, 'docker')
    const login = ['--config', config, 'login', '-u', 'me', '--password-stdin', registry.host]
    const { status, out, err } = await cairn.run(login, { stdin: Buffer.from('secret\n') })
    expect([status, out]).toEqual([0, 'Login Succeeded\n'])
    expect(err).toContain(`WARNING! Your credentials are stored unencrypted in '${config}/config.json'.`)
    expect(JSON.parse(readFileSync(`${config}/config.json`, 'utf8'))).toEqual({
      auths: { [registry.host]: { auth: accept.slice(6) } },
    })
    expect(statSync(`${config}/config.json`).mode & 0o777).toBe(0o600)
    registry.putImage('app', '1')
    await cairn.ok(['--config', config, 'pull', '-q', `${registry.host}/app:1`])
    expect(await cairn.ok(['--config', config, 'logout', registry.host])).toBe(
      `Removing login credentials for ${registry.host}\n`,
    )
    expect(await cairn.ok(['--config', config, 'logout', registry.host])).toBe(`Not logged in to ${registry.host}\n`)
    const refused = await cairn.run(['--config', config, 'pull', '-q', `${registry.host}/app:1`])
    expect(refused.err).toContain(`Log in with \`cairn login ${registry.host}\``)
  })

  test('take a password from stdin without the line ends and spaces around it, and no empty one', async () => {
    const config = join(cairn.directory, 'docker')
    const login = ['--config', config, 'login', '-u', 'me', '--password-stdin', registry.host]
    for (const text of ['secret', 'secret\n', 'secret\r\n', ' secret\n\n']) {
      expect((await cairn.run(login, { stdin: Buffer.from(text) })).status).toBe(0)
      const { auths } = JSON.parse(readFileSync(join(config, 'config.json'), 'utf8')) as { auths: object }
      expect(auths).toEqual({ [registry.host]: { auth: Buffer.from('me:secret').toString('base64') } })
    }
    for (const text of ['', '\r\n'])
      expect((await cairn.run(login, { stdin: Buffer.from(text) })).err).toStartWith('cairn: password is empty\n')
  })

  test('do not keep what the registry refuses, nor ask without a terminal', async () => {
    registry.intercept = () => failure(401, 'UNAUTHORIZED', { 'WWW-Authenticate': 'Basic realm="x"' })
    const config = join(cairn.directory, 'docker')
    const login = ['--config', config, 'login', '-u', 'me', '--password-stdin', registry.host]
    const { status, err } = await cairn.run(login, { stdin: Buffer.from('wrong') })
    expect([status, err.split('\n')[0]]).toEqual([
      1,
      `cairn: login attempt to ${registry.url}/v2/ failed with status: 401 Unauthorized`,
    ])
    const asked = await cairn.run(['--config', config, 'login', registry.host], { stdin: Buffer.from('') })
    expect(asked.err).toStartWith('cairn: Cannot perform an interactive login from a non TTY device\n')
    const both = await cairn.run(['login', '-p', 'x', '--password-stdin', registry.host], { stdin: Buffer.from('') })
    expect(both.err).toContain('conflicting options: cannot specify both --password and --password-stdin')
  })
})

describe('a proxy', () => {
  const ask = async (proxy: string): Promise<string> =>
    (await cairn.run(['registry', 'digest', 'registry.test/app:1'], { env: { HTTPS_PROXY: proxy } })).err

  test('that refuses, is not there or speaks something else is named, without its password', async () => {
    let asked = 0
    const listener = Bun.listen({
      hostname: '127.0.0.1',
      port: 0,
      socket: {
        data(socket) {
          asked++
          socket.end('HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n')
        },
      },
    })
    try {
      const address = `127.0.0.1:${listener.port}`
      const hint = `\n\nRequests go through the proxy http://${address}/ unless NO_PROXY names the host.\n`
      const refused = await ask(`http://me:secret@${address}`)
      expect(refused).toBe(
        `cairn: registry.test: Proxy refused to open a tunnel: 407 Proxy Authentication Required${hint}`,
      )
      expect(asked).toBe(1)
      listener.stop(true)
      expect(await ask(`http://me:secret@${address}`)).toBe(`cairn: registry.test: connection refused${hint}`)
      expect(await ask('socks5://127.0.0.1:1')).toStartWith(
        'cairn: registry.test: proxies are spoken to by HTTP and HTTPS only\n',
      )
    } finally {
      listener.stop(true)
    }
  })
})

describe('cairn build and run', () => {
  test('pull what they lack, and ask again with --pull', async () => {
    registry.putImage('base', '1', [tarOf({ 'etc/name': 'one' })])
    const base = `${registry.host}/base:1`
    const build = (...flags: string[]) =>
      cairn.run(['build', '--progress', 'plain', ...flags, '-t', 'app', '-'], {
        stdin: Buffer.from(`FROM ${base}\nENV A=b\n`),
      })
    expect((await build()).status).toBe(0)
    registry.seen.length = 0
    expect((await build()).status).toBe(0)
    expect(registry.seen).toEqual([])
    const moved = registry.putImage('base', '1', [tarOf({ 'etc/name': 'two' })])
    expect((await build('--pull')).status).toBe(0)
    expect(await cairn.ok(['image', 'cat', 'app', '/etc/name'])).toBe('two')
    expect(await cairn.ok(['images', '--digests', '--format', '{{.Digest}}', `${registry.host}/base`])).toContain(
      moved.target.digest,
    )
    const missing = await cairn.run(['build', '-'], { stdin: Buffer.from(`FROM ${registry.host}/absent\n`) })
    expect(missing.err).toContain(`failed to resolve source metadata for ${registry.host}/absent:latest`)
    const run = await cairn.run(['run', '--rm', `${registry.host}/absent`])
    expect(run.err).toStartWith(`Unable to find image '${registry.host}/absent:latest' locally\n`)
    expect(run.status).toBe(125)
  })

  test('ask the registry for an image that is here for another platform only, and leave its tag alone', async () => {
    const name = `${registry.host}/base:1`
    const wanted = registry.putImage('base', '1', [tarOf({ 'etc/name': 'arm' })], { architecture: 'arm64' })
    await cairn.ok(['import', '-', name], { stdin: layerOf(file('etc/name', 'amd')) })
    const ownId = await cairn.ok(['image', 'inspect', '--format', '{{.Id}}', name])
    const build = (platforms: readonly string[], from = name) =>
      cairn.run(['build', '--progress', 'plain', ...platforms, '-t', 'app', '-'], {
        stdin: Buffer.from(`FROM ${from}\nENV A=b\n`),
      })
    for (const [platforms, from] of [
      [['--platform', 'linux/arm64'], name],
      [[], `--platform=linux/arm64 ${name}`],
    ] as const) {
      const { status, err } = await build(platforms, from)
      expect([status, err.includes('InvalidBaseImagePlatform')]).toEqual([0, false])
      expect(await cairn.ok(['image', 'cat', 'app', '/etc/name'])).toBe('arm')
    }
    expect(await cairn.ok(['image', 'inspect', '--format', '{{.Id}}', name])).toBe(ownId)
    expect(await cairn.ok(['images', '-q', '--no-trunc', `${registry.host}/base@${wanted.target.digest}`])).not.toBe('')
    expect((await build([])).status).toBe(0)
    expect(await cairn.ok(['image', 'cat', 'app', '/etc/name'])).toBe('amd')
  })

  test('take what the registry has for one other platform, with a warning', async () => {
    registry.putImage('base', '1', [tarOf({ 'etc/name': 'riscv' })], { architecture: 'riscv64' })
    const name = `${registry.host}/base:1`
    for (const attempt of ['new', 'known']) {
      const { status, err } = await cairn.run(['build', '-'], { stdin: Buffer.from(`FROM ${name}\nENV a=b\n`) })
      expect([attempt, status]).toEqual([attempt, 0])
      expect(err).toContain(
        ` - InvalidBaseImagePlatform: Base image ${name} was pulled with platform "linux/riscv64", expected "linux/amd64" for current build (line 1)\n`,
      )
    }
  })

  test('fail where the image is here for another platform only and its registry does not answer', async () => {
    await cairn.ok(['import', '-', '127.0.0.1:1/base:1'], { stdin: layerOf(file('etc/name', 'amd')) })
    const from = (text: string) => ({ stdin: Buffer.from(`FROM ${text}\nENV a=b\n`) })
    const { status, err } = await cairn.run(['build', '-'], from('--platform=$BUILDPLATFORM 127.0.0.1:1/base:1'))
    expect([status, err.includes('error')]).toEqual([0, false])
    const failed = await cairn.run(['build', '--platform', 'linux/arm64', '-'], from('127.0.0.1:1/base:1'))
    expect(failed.status).toBe(1)
    expect(failed.err).toContain('127.0.0.1:1/base:1: failed to resolve source metadata for 127.0.0.1:1/base:1: ')
    expect(failed.err).toContain('The store has it, but not for linux/arm64.')
    const checked = await cairn.run(['build', '--platform', 'linux/arm64', '--check', '-'], from('127.0.0.1:1/base:1'))
    expect(checked.out).toContain('InvalidBaseImagePlatform')
    const run = await cairn.run(['run', '--rm', '--platform', 'linux/arm64', '127.0.0.1:1/base:1', 'true'])
    expect(run.status).toBe(125)
    expect(run.err).toStartWith("Unable to find image '127.0.0.1:1/base:1' locally\n")
    expect(run.err).toContain('connection refused')
  })
})
