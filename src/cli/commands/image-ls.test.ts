import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { Cairn, type Ended } from '../../../test/fixtures/cli/cairn.ts'
import { directory, file, layerOf } from '../../../test/fixtures/layers.ts'

describe('cairn images', () => {
  let cairn: Cairn
  const ids = new Map<string, string>()
  const images = (...args: string[]): Promise<Ended> => cairn.run(['images', ...args])
  const names = async (...args: string[]): Promise<string[]> =>
    (await cairn.ok(['images', ...args, '--format', '{{.Repository}}:{{.Tag}}'])).trim().split('\n')

  beforeAll(async () => {
    cairn = new Cairn()
    const make = async (name: string, epoch: number, ...args: string[]): Promise<void> => {
      cairn.file('rootfs.tar', layerOf(directory('etc'), file('etc/name', name)))
      const env = { SOURCE_DATE_EPOCH: String(epoch) }
      ids.set(name, (await cairn.ok(['import', ...args, 'rootfs.tar', name], { env })).trim())
    }
    await make('old:1', 1_500_000_000, '-c', 'LABEL team=a')
    await make('registry.example.com:5000/team/app:2.0', 1_600_000_000, '-c', 'LABEL team=b')
    await make('new', 1_700_000_000)
    await make('dangling', 1_650_000_000)
    await cairn.ok(['tag', 'new', 'new:also'])
    await cairn.ok(['tag', 'new', 'dangling'])
  })
  afterAll(() => {
    cairn[Symbol.dispose]()
  })

  test('prints the table docker prints, newest first', async () => {
    const { status, out, err } = await images()
    expect({ status, err }).toEqual({ status: 0, err: '' })
    const id = (name: string): string => (ids.get(name) ?? '').slice(7, 19)
    expect(out.replace(/\d+ years ago/g, 'N years ago')).toBe(
      [
        'REPOSITORY                           TAG       IMAGE ID       CREATED       SIZE',
        `dangling                             latest    ${id('new')}   N years ago   2.56kB`,
        `new                                  also      ${id('new')}   N years ago   2.56kB`,
        `new                                  latest    ${id('new')}   N years ago   2.56kB`,
        `<none>                               <none>    ${id('dangling')}   N years ago   2.56kB`,
        `registry.example.com:5000/team/app   2.0       ${id('registry.example.com:5000/team/app:2.0')}   N years ago   2.56kB`,
        `old                                  1         ${id('old:1')}   N years ago   2.56kB`,
        '',
      ].join('\n'),
    )
  })

  test('answers to all three names', async () => {
    const { out } = await images()
    for (const path of [
      ['image', 'ls'],
      ['image', 'list'],
    ])
      expect(await cairn.ok(path)).toBe(out)
  })

  test('-q prints IDs, --no-trunc whole ones, --digests a column more', async () => {
    const short = (await images('-q')).out.trim().split('\n')
    expect(short).toHaveLength(6)
    expect(short[5]).toBe((ids.get('old:1') ?? '').slice(7, 19))
    expect((await images('-q', '--no-trunc', 'old')).out).toBe(`${ids.get('old:1')}\n`)
    expect((await images('--digests', 'old')).out).toContain('REPOSITORY   TAG       DIGEST    IMAGE ID')
    expect((await images('--digests', 'old')).out).toContain('old          1         <none>    ')
  })

  test('filters as docker does, several references being alternatives', async () => {
    expect(await names('-f', 'reference=old')).toEqual(['old:1'])
    expect(await names('-f', 'reference=n*', '--filter', 'reference=old:?')).toEqual([
      'new:also',
      'new:latest',
      'old:1',
    ])
    expect(await names('-f', 'reference=*/*/*')).toEqual(['registry.example.com:5000/team/app:2.0'])
    expect(await names('old:1')).toEqual(['old:1'])
    expect(await names('new:also')).toEqual(['new:also'])
    expect(await names('-f', 'label=team')).toEqual(['registry.example.com:5000/team/app:2.0', 'old:1'])
    expect(await names('-f', 'label=team=a')).toEqual(['old:1'])
    expect(await names('-f', 'label=team', '-f', 'label!=team=a')).toEqual(['registry.example.com:5000/team/app:2.0'])
    expect(await names('-f', 'dangling=true')).toEqual(['<none>:<none>'])
    expect(await names('-f', 'dangling=false', '-f', 'reference=old')).toEqual(['old:1'])
    expect(await names('-f', 'before=registry.example.com:5000/team/app:2.0')).toEqual(['old:1'])
    expect(await names('-f', `since=${ids.get('dangling')?.slice(7, 20)}`)).toEqual([
      'dangling:latest',
      'new:also',
      'new:latest',
    ])
    expect(await names('-f', 'until=2018-01-01')).toEqual(['old:1'])
    expect(await names('-f', 'until=1500000000')).toEqual([''])
  })

  test('refuses filters that it cannot read', async () => {
    const wrong = async (filter: string): Promise<Ended> => await images('--filter', filter)
    expect(await wrong('foo=bar')).toMatchObject({
      status: 1,
      out: '',
      err: expect.stringContaining("invalid filter 'foo'"),
    })
    expect(await wrong('foo')).toMatchObject({
      status: 125,
      err: expect.stringContaining(
        'invalid argument "foo" for "-f, --filter" flag: bad format of filter (expected name=value)',
      ),
    })
    expect((await wrong('dangling=zz')).err).toContain("invalid filter 'dangling=[zz]'")
    expect((await wrong('before=nosuch')).err).toBe('cairn: No such image: nosuch:latest\n')
    expect((await wrong('until=xx')).err).toContain('failed to parse value as time or duration: "xx"')
    expect((await wrong('reference=[')).err).toContain('syntax error in pattern\n\nIn the filter reference=[: ')
  })

  test('formats as JSON, a template, a table of a template, and raw', async () => {
    const [first = ''] = (await images('old', '--format', 'json')).out.split('\n')
    expect(JSON.parse(first)).toEqual({
      Containers: '0',
      ContentSize: expect.stringMatching(/kB$/),
      CreatedAt: '2017-07-14 02:40:00 +0000 UTC',
      CreatedSince: expect.stringMatching(/^\d+ years ago$/),
      Digest: '<none>',
      ID: (ids.get('old:1') ?? '').slice(7, 19),
      Repository: 'old',
      SharedSize: '0B',
      Size: '2.56kB',
      Tag: '1',
      UniqueSize: '2.56kB',
      VirtualSize: '2.56kB',
    })
    expect((await images('old', '--format', 'table {{.Tag}}\\t{{.Repository}}')).out).toBe(
      'TAG       REPOSITORY\n1         old\n',
    )
    expect((await images('old', '--format', 'raw')).out).toBe(
      `repository: old\ntag: 1\nimage_id: ${ids.get('old:1')?.slice(7, 19)}\ncreated_at: 2017-07-14 02:40:00 +0000 UTC\nvirtual_size: 2.56kB\n\n`,
    )
    const wrong = await images('--format', '{{.Nope}}')
    expect(wrong.status).toBe(1)
    expect(wrong.err).toContain('Nope')
  })

  test('gives a hint where the name is that of a command', async () => {
    expect(await images('ls')).toEqual({
      status: 0,
      out: 'REPOSITORY   TAG       IMAGE ID   CREATED   SIZE\n',
      err: '\nNo images found matching "ls": did you mean "cairn image ls"?\n',
    })
    expect((await cairn.run(['image', 'ls', 'ls'])).err).toBe('')
    expect((await images('nosuch')).err).toBe('')
    expect((await images('a', 'b')).err).toContain("'cairn images' requires at most 1 argument")
  })
})

describe('cairn history', () => {
  test('prints the rows docker prints', async () => {
    using cairn = new Cairn()
    // Layers and history of several steps, one without a layer, times that docker shows as unknown.
    const layer = layerOf(file('a'))
    const config = JSON.stringify({
      architecture: 'amd64',
      os: 'linux',
      config: {},
      rootfs: { type: 'layers', diff_ids: [`sha256:${new Bun.CryptoHasher('sha256').update(layer).digest('hex')}`] },
      history: [
        { created_by: `a\tb ${'x'.repeat(60)}`, comment: 'first' },
        { created_by: 'none', empty_layer: true, created: '2020-01-01T00:00:00Z' },
      ],
    })
    const manifest = JSON.stringify([{ Config: 'c.json', RepoTags: ['made:1'], Layers: ['layer.tar'] }])
    const archive = layerOf(
      file('c.json', config),
      file('layer.tar', layer.toString('latin1')),
      file('manifest.json', manifest),
    )
    await cairn.ok(['load'], { stdin: archive })
    const id = (await cairn.ok(['images', '-q', '--no-trunc'])).trim()
    const history = (...args: string[]): Promise<string> => cairn.ok(['history', ...args, 'made:1'])
    expect((await history()).replace(/\d+ years ago/, 'N years ago')).toBe(
      [
        'IMAGE          CREATED       CREATED BY                                      SIZE      COMMENT',
        `${id.slice(7, 19)}   N years ago   none                                            0B        `,
        '<missing>      N/A           a b xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…   2.05kB    first',
        '',
      ].join('\n'),
    )
    expect(await history('-q', '--no-trunc')).toBe(`${id}\n<missing>\n`)
    expect(await history('-H=false', '--no-trunc', '--format', '{{.CreatedSince}} {{.Size}} {{.CreatedBy}}')).toBe(
      `2020-01-01T00:00:00Z 0 none\n1970-01-01T00:00:00Z 2048 a b ${'x'.repeat(60)}\n`,
    )
    expect(await history('-H=false')).toStartWith('IMAGE          CREATED AT             CREATED BY')
    expect((await cairn.run(['history', 'nosuch'])).err).toBe('cairn: No such image: nosuch:latest\n')
    expect((await cairn.run(['history', '--platform', 'linux/arm64', 'made:1'])).err).toContain(
      'its platform (linux/amd64) does not match the specified platform (linux/arm64)',
    )
  })
})
