import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { readdirSync, readFileSync } from 'node:fs'
import { Cairn } from '../../../test/fixtures/cli/cairn.ts'
import { cairnProgram } from '../../../test/fixtures/suite.ts'
import { file, layerOf } from '../../../test/fixtures/layers.ts'

let cairn: Cairn
let id = ''
beforeEach(async () => {
  cairn = new Cairn()
  id = (await cairn.ok(['import', '-', 'box:1'], { stdin: layerOf(file('a')) })).trim()
})
afterEach(() => {
  cairn[Symbol.dispose]()
})

/** Runs a command on a terminal. */
async function onTerminal(args: readonly string[]): Promise<{ readonly status: number; readonly text: string }> {
  const pieces: Uint8Array[] = []
  const child = cairn.children.add(
    Bun.spawn([...cairnProgram, ...args], {
      env: { PATH: process.env['PATH'] ?? '', HOME: cairn.home, CAIRN_ROOT: cairn.root },
      terminal: { cols: 100, rows: 30, data: (_terminal, bytes) => void pieces.push(bytes.slice()) },
    }),
  )
  const status = await child.exited
  child.terminal?.close()
  return { status, text: Buffer.concat(pieces).toString() }
}

describe('cairn save and load', () => {
  test('carry images from one store to another', async () => {
    await cairn.ok(['tag', 'box:1', 'registry.example.com/box:2'])
    expect(await cairn.run(['save', '-o', 'saved.tar', 'box:1', 'registry.example.com/box'])).toEqual({
      status: 0,
      out: '',
      err: '',
    })
    using other = new Cairn()
    const archive = `${cairn.directory}/saved.tar`
    const loaded = 'Loaded image: box:1\nLoaded image: registry.example.com/box:2\n'
    expect(await other.run(['load', '-i', archive])).toEqual({ status: 0, out: loaded, err: '' })
    expect(await other.ok(['load'], { stdin: Bun.gzipSync(readFileSync(archive)) })).toBe(loaded)
    expect(await other.ok(['inspect', '-f', '{{.Id}} {{json .RepoTags}}', 'box:1'])).toBe(
      `${id} ["box:1","registry.example.com/box:2"]\n`,
    )
  })

  test('write the same bytes to a file, a pipe and a device', async () => {
    await cairn.ok(['save', '--output=saved.tar', 'box:1'])
    const child = cairn.start(['save', 'box:1'])
    expect(
      Buffer.compare(
        Buffer.from(await new Response(child.stdout).bytes()),
        readFileSync(`${cairn.directory}/saved.tar`),
      ),
    ).toBe(0)
    expect(await cairn.run(['save', '-o', '/dev/null', 'box:1'])).toEqual({ status: 0, out: '', err: '' })
  })

  test('say an ID for an image without a name, and what lost its name', async () => {
    await cairn.ok(['save', '-o', 'by-id.tar', id])
    await cairn.ok(['save', '-o', 'by-name.tar', 'box:1'])
    await cairn.ok(['import', '-', 'box:1'], { stdin: layerOf(file('b')) })
    expect(await cairn.ok(['load', '-q', '-i', 'by-id.tar'])).toBe(`Loaded image ID: ${id}\n`)
    expect(await cairn.ok(['load', '-i', 'by-name.tar'])).toMatch(
      /^The image box:1 already exists, renaming the old one with ID sha256:[0-9a-f]{64} to empty string\nLoaded image: box:1\n$/,
    )
  })

  test('refuse a terminal', async () => {
    const saved = await onTerminal(['save', 'box:1'])
    expect(saved.status).toBe(1)
    expect(saved.text).toContain('cowardly refusing to save to a terminal. Use the -o option or redirect')
    const loaded = await onTerminal(['load'])
    expect(loaded.status).toBe(1)
    expect(loaded.text).toContain('requested load from stdin, but stdin is empty')
  })

  test('leave no file when saving fails', async () => {
    cairn.file('kept.tar', 'kept')
    for (const [args, message] of [
      [['-o', 'new.tar', 'nosuch'], 'No such image: nosuch\n'],
      [['-o', 'kept.tar', 'box:1', 'nosuch'], 'No such image: nosuch\n'],
      [
        ['-o', '/nonexist/x', 'box:1'],
        'failed to save image: invalid output path: stat /nonexist: no such file or directory',
      ],
      [['-o', '.', 'box:1'], 'failed to save image: cannot write to a directory'],
      [
        ['--platform', 'linux/s390x', '-o', 'new.tar', 'box:1'],
        'no suitable export target found for platform linux/s390x',
      ],
    ] as const) {
      const { status, err } = await cairn.run(['save', ...args])
      expect(status).toBe(1)
      expect(err).toContain(message)
    }
    expect(readdirSync(cairn.directory).toSorted()).toEqual(['kept.tar', 'store'])
    expect(readFileSync(`${cairn.directory}/kept.tar`, 'utf8')).toBe('kept')
  })

  test('load says what is wrong with an archive', async () => {
    cairn.file('rootfs.tar', layerOf(file('etc/passwd')))
    expect((await cairn.run(['load', '-i', 'rootfs.tar'])).err).toContain(
      'rootfs.tar has neither index.json and oci-layout nor manifest.json',
    )
    expect((await cairn.run(['load', '-i', 'nosuch'])).err).toBe('cairn: open nosuch: no such file or directory\n')
    expect((await cairn.run(['load'], { stdin: 'text' })).status).toBe(1)
    expect(await cairn.ok(['images', '-q'])).toBe(`${id.slice(7, 19)}\n`)
  })
})

describe('cairn info', () => {
  test('tells the store, the machine and what runs containers', async () => {
    const out = await cairn.ok(['info'])
    expect(out).toContain(` Images: 1\n`)
    expect(out).toContain(` Root Dir: ${cairn.root}\n`)
    expect(out).toMatch(/\n Kernel Version: \d/)
    expect(out).toMatch(/\n Total Memory: [\d.]+GiB\n/)
    const info = JSON.parse(await cairn.ok(['system', 'info', '-f', 'json']))
    expect(info).toMatchObject({
      Images: 1,
      Containers: 0,
      Driver: 'overlayfs',
      OSType: 'linux',
      DockerRootDir: cairn.root,
    })
    expect(info.NCPU).toBe(navigator.hardwareConcurrency)
    expect(await cairn.ok(['info', '--format', '{{.Images}} {{.OSType}}'])).toBe('1 linux\n')
  })
})
