import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Cairn } from '../../../test/fixtures/cli/cairn.ts'
import { cairnProgram } from '../../../test/fixtures/suite.ts'
import { directory, file, hardlink, layerOf, symlink } from '../../../test/fixtures/layers.ts'

const rootfs = layerOf(directory('etc'), file('etc/hostname', 'box\n'), symlink('bin', 'usr/bin'))

/** What is in the store beside its own files: blobs, and what was left in `tmp`. */
function contents(cairn: Cairn): { readonly blobs: number; readonly temporary: readonly string[] } {
  const list = (path: string): string[] =>
    existsSync(join(cairn.root, path)) ? readdirSync(join(cairn.root, path)) : []
  return { blobs: list('content/blobs/sha256').length, temporary: list('tmp') }
}

describe('cairn import', () => {
  let cairn: Cairn
  beforeEach(() => {
    cairn = new Cairn()
  })
  afterEach(() => {
    cairn[Symbol.dispose]()
  })

  test('makes an image of one layer, with the config docker makes', async () => {
    cairn.file('rootfs.tar', rootfs)
    const env = { SOURCE_DATE_EPOCH: '1700000000' }
    const id = (
      await cairn.ok(['import', '-c', 'CMD ["sh"]', '--change', 'ENV A=1', 'rootfs.tar', 'base:1'], { env })
    ).trim()
    const [image] = JSON.parse(await cairn.ok(['inspect', 'base:1']))
    expect(image).toMatchObject({
      Id: id,
      RepoTags: ['base:1'],
      Comment: 'Imported from -',
      Created: '2023-11-14T22:13:20Z',
      Config: { Cmd: ['sh'], Env: ['A=1'], Entrypoint: null, Labels: null, User: '', WorkingDir: '' },
      Os: 'linux',
      RootFS: { Type: 'layers', Layers: [`sha256:${new Bun.CryptoHasher('sha256').update(rootfs).digest('hex')}`] },
      Size: rootfs.length,
    })
    // Layer, config, manifest.
    expect(contents(cairn)).toEqual({ blobs: 3, temporary: [] })
  })

  test('makes an image for the platform of DOCKER_DEFAULT_PLATFORM where --platform is not given; run takes no other then', async () => {
    cairn.file('rootfs.tar', rootfs)
    const env = { DOCKER_DEFAULT_PLATFORM: 'linux/arm64' }
    await cairn.ok(['import', 'rootfs.tar', 'other'], { env })
    await cairn.ok(['import', '--platform', '', 'rootfs.tar', 'own'], { env })
    const architectures = await cairn.ok(['inspect', '-f', '{{.Architecture}}', 'other', 'own'])
    expect(architectures).toMatch(/^arm64\n(?!arm64)/)
    const created = await cairn.run(['create', '--pull', 'never', 'own', 'true'], { env })
    expect([created.status, created.err]).toEqual([1, expect.stringContaining('(linux/arm64)')])
  })

  test('gives the same image for the same archive, however it is compressed and comes', async () => {
    const env = { SOURCE_DATE_EPOCH: '1700000000' }
    const ids = new Set<string>()
    const compressed: Readonly<Record<string, Uint8Array>> = {
      tar: rootfs,
      gz: Bun.gzipSync(rootfs),
      zst: Bun.zstdCompressSync(rootfs),
      bz2: Bun.spawnSync(['bzip2', '-c'], { stdin: rootfs }).stdout,
      xz: Bun.spawnSync(['xz', '-c'], { stdin: rootfs }).stdout,
    }
    for (const [name, bytes] of Object.entries(compressed)) {
      cairn.file(`rootfs.${name}`, bytes)
      ids.add(await cairn.ok(['import', `rootfs.${name}`, `from:${name}`], { env }))
      ids.add(await cairn.ok(['import', '-'], { env, stdin: bytes }))
    }
    expect(ids.size).toBe(1)
    expect(contents(cairn)).toEqual({ blobs: 3, temporary: [] })
  })

  test('fetches a URL, and says what went wrong', async () => {
    using server = Bun.serve({
      port: 0,
      hostname: '127.0.0.1',
      fetch: ({ url }) => {
        if (new URL(url).pathname === '/rootfs.tar.gz')
          return new Response(Bun.gzipSync(rootfs), { headers: { 'content-encoding': 'gzip' } })
        return new Response('gone', { status: 404 })
      },
    })
    const url = `http://user:secret@${server.url.host}/rootfs.tar.gz`
    await cairn.ok(['import', url, 'fetched'])
    const [image] = JSON.parse(await cairn.ok(['inspect', 'fetched']))
    expect(image.RootFS.Layers).toEqual([`sha256:${new Bun.CryptoHasher('sha256').update(rootfs).digest('hex')}`])
    expect(image.Comment).toBe(`Imported from http://${server.url.host}/rootfs.tar.gz`)

    const missing = await cairn.run(['import', `${server.url.origin}/nosuch`])
    expect(missing).toMatchObject({ status: 1, out: '' })
    expect(missing.err).toContain(`cannot fetch ${server.url.origin}/nosuch: the server answered 404`)
    const refused = await cairn.run(['import', 'http://127.0.0.1:1/x'])
    expect(refused.status).toBe(1)
    expect(refused.err).toContain('cannot fetch http://127.0.0.1:1/x')
  })

  test('takes a message and a platform', async () => {
    cairn.file('rootfs.tar', rootfs)
    await cairn.ok(['import', '-m', 'by hand', '--platform', 'linux/arm/v7', 'rootfs.tar', 'arm'])
    const [image] = JSON.parse(await cairn.ok(['image', 'inspect', 'arm']))
    expect(image).toMatchObject({ Comment: 'by hand', Architecture: 'arm', Variant: 'v7', Os: 'linux' })
    expect(await cairn.ok(['history', '--format', '{{.Comment}}|{{.CreatedBy}}', 'arm'])).toBe('by hand|\n')
  })

  test('says in one line what is wrong with an archive, and leaves nothing', async () => {
    const cases: readonly (readonly [name: string, content: Uint8Array | string, message: string])[] = [
      ['text', 'this is no archive\n', 'text is not a tar archive'],
      ['empty', '', 'empty is empty: there is no archive in it'],
      ['cut.tar', rootfs.subarray(0, 1300), 'cut.tar'],
      ['end.tar', rootfs.subarray(0, rootfs.length - 1024), 'its closing blocks are missing'],
      ['cut.gz', Bun.gzipSync(rootfs).subarray(0, 60), 'cut.gz'],
      ['bad.gz', Bun.gzipSync(Buffer.from('no tar')), 'bad.gz is not a tar archive'],
      ['up.tar', layerOf(file('ok'), file('../../up')), 'up.tar, "../../up": its path leads out of the layer'],
      ['link.tar', layerOf(hardlink('a', '../../etc/shadow')), 'out of the layer'],
      ['absent.tar', layerOf(hardlink('a', 'b')), 'which is no file of the image'],
    ]
    for (const [name, content, message] of cases) {
      cairn.file(name, content)
      const { status, out, err } = await cairn.run(['import', name, 'x:y'])
      expect({ name, status, out }).toEqual({ name, status: 1, out: '' })
      expect(err).toStartWith('cairn: ')
      expect(err).toContain(message)
    }
    for (const [args, message] of [
      [['nosuch.tar'], 'open nosuch.tar: no such file or directory'],
      [['.'], '. is a directory, not an archive'],
      [['text', 'UPPER'], 'must be lowercase'],
      [['text', `a@sha256:${'0'.repeat(64)}`], 'cannot import digest reference'],
      [['-c', 'RUN x', 'text'], 'RUN is not a valid change command'],
      [['--platform', 'a/b/c/d', 'text'], '"a/b/c/d": cannot parse platform specifier: invalid argument'],
    ] as const) {
      const { status, err } = await cairn.run(['import', ...args])
      expect(status).toBe(1)
      expect(err).toContain(message)
    }
    expect(contents(cairn)).toEqual({ blobs: 0, temporary: [] })
    expect(await cairn.ok(['images', '-q'])).toBe('')
  })

  test('warns when the archive holds images', async () => {
    cairn.file('saved.tar', layerOf(file('manifest.json', '[]'), file('oci-layout', '{}')))
    const { status, err } = await cairn.run(['import', 'saved.tar'])
    expect(status).toBe(0)
    expect(err).toContain('use "cairn load -i" instead of import')
  })

  test('leaves to the next command what a kill left, and that command works', async () => {
    cairn.file('rootfs.tar', rootfs)
    const child = cairn.children.add(
      Bun.spawn([...cairnProgram, 'import', '-', 'killed'], {
        env: { PATH: process.env['PATH'] ?? '', HOME: cairn.home, CAIRN_ROOT: cairn.root },
        stdin: 'pipe',
        stdout: 'ignore',
        stderr: 'ignore',
      }),
    )
    try {
      const large = layerOf(file('large', 'x'.repeat(4 * 1024 * 1024)))
      child.stdin.write(large.subarray(0, 3 * 1024 * 1024))
      await child.stdin.flush()
      for (const until = Date.now() + 20_000; !isWriting(cairn) && Date.now() < until;) await Bun.sleep(10)
      expect(isWriting(cairn)).toBe(true)
    } finally {
      child.kill('SIGKILL')
      await child.exited
    }
    await cairn.ok(['import', 'rootfs.tar', 'after'])
    expect(await cairn.ok(['images', '--format', '{{.Repository}}'])).toBe('after\n')
    expect(contents(cairn)).toEqual({ blobs: 3, temporary: [] })
  })

  test('stops at Ctrl-C and leaves nothing', async () => {
    const child = cairn.children.add(
      Bun.spawn([...cairnProgram, 'import', '-', 'stopped'], {
        env: { PATH: process.env['PATH'] ?? '', HOME: cairn.home, CAIRN_ROOT: cairn.root },
        stdin: 'pipe',
        stdout: 'ignore',
        stderr: 'pipe',
      }),
    )
    child.stdin.write(layerOf(file('large', 'x'.repeat(2 * 1024 * 1024))).subarray(0, 1024 * 1024))
    await child.stdin.flush()
    for (const until = Date.now() + 20_000; !isWriting(cairn) && Date.now() < until;) await Bun.sleep(10)
    child.kill('SIGINT')
    expect(await child.exited).toBe(130)
    expect(await new Response(child.stderr).text()).toBe('cairn: canceled\n')
    expect(contents(cairn)).toEqual({ blobs: 0, temporary: [] })
  })
})

/** True once a blob is being written. */
function isWriting(cairn: Cairn): boolean {
  const tmp = join(cairn.root, 'tmp')
  if (!existsSync(tmp)) return false
  const sessions = readdirSync(tmp).filter((name) => !name.endsWith('.lock'))
  return sessions.some((name) => readdirSync(join(tmp, name)).some((one) => one.endsWith('-blob')))
}
