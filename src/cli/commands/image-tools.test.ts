import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { Cairn } from '../../../test/fixtures/cli/cairn.ts'
import { directory, file, hardlink, layerOf } from '../../../test/fixtures/layers.ts'

setDefaultTimeout(60_000)

const cairn = new Cairn()

beforeAll(async () => {
  const members = [
    directory('etc'),
    file('etc/name', 'one\n'),
    { ...file('bin/su', 'x'), mode: 0o4755 },
    hardlink('bin/su2', 'bin/su'),
  ]
  await cairn.ok(['import', '-c', 'CMD ["sh"]', '-', 'app:1'], {
    stdin: layerOf(...members),
    env: { SOURCE_DATE_EPOCH: '1' },
  })
  cairn.file(
    'more.tar.gz',
    Bun.gzipSync(new Uint8Array(layerOf(file('etc/name', 'two two\n'), file('etc/.wh.gone', '')))),
  )
})
afterAll(() => cairn[Symbol.dispose]())

describe('image copy', () => {
  test('prints the digest alone on stdout and keeps it from place to place', async () => {
    const digest = await cairn.ok(['image', 'copy', 'app:1', 'oci:layout:1'])
    expect(digest).toMatch(/^sha256:[0-9a-f]{64}\n$/)
    for (const [from, to] of [
      ['oci:layout:1', 'oci-archive:app.tar'],
      ['oci-archive:app.tar', 'dir:flat'],
      ['dir:flat', 'app:copied'],
    ] as const)
      expect(await cairn.ok(['image', 'copy', '-q', from, to])).toBe(digest)
    const { err } = await cairn.run(['image', 'copy', 'app:1', 'docker-archive:app.docker.tar:app:again'])
    expect(err).toMatch(/^Copied app:1 to docker-archive:app.docker.tar:app:again: 2 blobs, [\d.]+kB written\n$/)
    await cairn.ok(['rmi', 'app:copied'])
    expect(await cairn.ok(['load', '-i', 'app.docker.tar'])).toBe('Loaded image: app:again\n')
  })

  test('says what is wrong with a place, with status 1', async () => {
    for (const [args, message] of [
      [['app:1', 'docker-daemon:x'], 'images cannot be read or written there'],
      [['nothing', 'oci:x'], 'No such image: nothing:latest'],
      [['oci:nowhere', 'x'], 'oci:nowhere has no oci-layout'],
      [['app:1', 'dir:store'], 'is neither empty nor a directory that holds an image'],
      [['app:1', `oci:new@sha256:${'0'.repeat(64)}`], 'a digest cannot be written to'],
    ] as const) {
      const { status, out, err } = await cairn.run(['image', 'copy', ...args])
      expect({ status, out }).toEqual({ status: 1, out: '' })
      expect(err).toContain(message)
    }
  })
})

describe('image files, cat and extract', () => {
  test('list, print and take out', async () => {
    expect(await cairn.ok(['image', 'files', 'app:1', '/bin'])).toBe('/bin\n/bin/su\n/bin/su2\n')
    expect(await cairn.ok(['image', 'files', '-l', 'app:1', '/bin/su'])).toBe(
      'MODE         OWNER     SIZE      MODIFIED               LAYER     PATH\n-rwsr-xr-x   0:0       1         2001-09-09T01:46:40Z   1         /bin/su\n',
    )
    expect(await cairn.ok(['image', 'cat', 'app:1', 'etc/name', '/etc/name'])).toBe('one\none\n')
    expect(await cairn.ok(['image', 'files', '--format', 'json', 'app:1', '/etc/name'])).toContain('"Path":"/etc/name"')
    await cairn.ok(['image', 'extract', '-o', 'out', 'app:1', '/bin'])
    expect(await Bun.file(`${cairn.directory}/out/bin/su2`).text()).toBe('x')
    const { status, err } = await cairn.run(['image', 'cat', 'app:1', '/none'])
    expect([status, err]).toEqual([1, 'cairn: /none: no such file or directory in the image\n'])
  })
})

describe('image edit, diff, flatten and rebase', () => {
  test('make images that diff tells apart', async () => {
    await cairn.ok([
      'image',
      'edit',
      '-t',
      'app:2',
      '--env',
      'A=1',
      '--cmd',
      'echo hi',
      '--append-layer',
      'more.tar.gz',
      'app:1',
    ])
    const { out, status } = await cairn.run(['image', 'diff', '--exit-code', 'app:1', 'app:2'])
    expect(status).toBe(1)
    expect(out.split('\n').slice(2)).toEqual([
      'Layers: 1 common, 0 removed, 1 added',
      expect.stringMatching(/^ {2}\+ [0-9a-f]{12} {2}[\d.]+kB {2}cairn image edit --append-layer more.tar.gz$/),
      'Config: 2 changed',
      '  ~ Cmd: ["sh"] -> ["/bin/sh","-c","echo hi"]',
      '  + Env.A: "1"',
      'Files: 0 added (0B), 1 changed, 0 removed (0B)',
      '  C /etc/name  size 4B -> 8B',
      '',
    ])
    expect(await cairn.ok(['image', 'diff', '--exit-code', '-q', 'app:1', 'oci:layout:1'])).toBe('')
    expect(JSON.parse(await cairn.ok(['image', 'diff', '--format', 'json', 'app:1', 'app:2']))).toMatchObject({
      files: [{ path: '/etc/name', change: 'changed', aspects: ['content'] }],
    })
    const flat = await cairn.ok(['image', 'flatten', '-t', 'app:flat', 'app:2'])
    expect(await cairn.ok(['image', 'flatten', '-t', 'app:flat2', 'app:2'])).toBe(flat)
    await cairn.ok(['image', 'diff', '--exit-code', 'app:2', 'app:flat'])
    const { err } = await cairn.run(['image', 'rebase', '-t', 'x', '--from', 'app:flat', '--onto', 'app:1', 'app:2'])
    expect(err).toContain('app:2 (linux/amd64) is not built on app:flat: its layer 1 is ')
    await cairn.ok(['image', 'rebase', '-t', 'x', '--from', 'app:1', '--onto', 'app:flat', 'app:2'])
    expect((await cairn.run(['image', 'edit', '--cmd', '["a"', 'app:1'])).err).toContain('it begins as a JSON array')
    expect((await cairn.run(['image', 'edit', '--created', 'soon', 'app:1'])).err).toContain('invalid time "soon"')
  })
})

describe('image validate', () => {
  test('ends well with a line for each image, and with status 1 and a table of what is wrong', async () => {
    expect(await cairn.ok(['image', 'validate', 'app:1'])).toMatch(
      /^app:1: ok; 1 manifests \(linux\/amd64\), 1 layers, [\d.]+kB verified\n$/,
    )
    await Bun.$`cp -r layout broken && find broken/blobs -type f -size +2k -exec truncate -s 100 {} +`
      .cwd(cairn.directory)
      .quiet()
    const { status, out } = await cairn.run(['image', 'validate', 'oci:broken:1'])
    expect(status).toBe(1)
    expect(out).toContain('BLOB_CORRUPT   it has 100 bytes, but its descriptor says')
    const { status: all } = await cairn.run(['image', 'validate', '--all', '--format', 'json'])
    expect(all).toBe(0)
    expect((await cairn.run(['image', 'validate'])).status).toBe(1)
  })
})
