import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { Cairn } from '../../../test/fixtures/cli/cairn.ts'
import { file, layerOf } from '../../../test/fixtures/layers.ts'

describe('cairn inspect', () => {
  let cairn: Cairn
  let id = ''

  beforeAll(async () => {
    cairn = new Cairn()
    const env = { SOURCE_DATE_EPOCH: '1700000000' }
    id = (await cairn.ok(['import', '-c', 'CMD ["sh"]', '-', 'box'], { stdin: layerOf(file('a')), env })).trim()
    await cairn.ok(['tag', 'box', 'registry.example.com/box:2'])
  })
  afterAll(() => {
    cairn[Symbol.dispose]()
  })

  test("has docker's fields in docker's order", async () => {
    const [image] = JSON.parse(await cairn.ok(['image', 'inspect', 'box']))
    expect(Object.keys(image)).toEqual(
      'Id RepoTags RepoDigests Parent Comment Created DockerVersion Author Config Architecture Os Size GraphDriver RootFS Metadata Descriptor'.split(
        ' ',
      ),
    )
    expect(image).toMatchObject({
      Id: id,
      RepoTags: ['box:latest', 'registry.example.com/box:2'],
      RepoDigests: [],
      Created: '2023-11-14T22:13:20Z',
      Config: { Cmd: ['sh'], Entrypoint: null, Env: null, Labels: null, OnBuild: null, User: '', Volumes: null },
      GraphDriver: { Data: null, Name: 'overlayfs' },
      Descriptor: { mediaType: 'application/vnd.oci.image.manifest.v1+json' },
    })
    expect(Date.parse(image.Metadata.LastTagTime)).toBeGreaterThan(Date.now() - 600_000)
  })

  test("leaves out what docker's old builder wrote into configs", async () => {
    const config = JSON.stringify({
      architecture: 'amd64',
      os: 'linux',
      config: { Hostname: 'x', AttachStdin: false, Image: '', Cmd: ['a'], Shell: ['b'], ExposedPorts: null },
      rootfs: { type: 'layers', diff_ids: [] },
    })
    const manifest = JSON.stringify([{ Config: 'c.json', RepoTags: ['old:1'], Layers: [] }])
    await cairn.ok(['load'], { stdin: layerOf(file('c.json', config), file('manifest.json', manifest)) })
    const [image] = JSON.parse(await cairn.ok(['inspect', 'old:1']))
    expect(Object.keys(image.Config).join(' ')).toBe('User Env Entrypoint Cmd Volumes WorkingDir Labels OnBuild Shell')
  })

  test('finds an image by name, ID and the beginning of an ID', async () => {
    for (const name of ['box', 'box:latest', 'docker.io/library/box', id, id.slice(7), id.slice(7, 13)]) {
      expect(await cairn.ok(['inspect', '-f', '{{.Id}}', name])).toBe(`${id}\n`)
      expect(await cairn.ok(['image', 'inspect', '-f', '{{.Id}}', name])).toBe(`${id}\n`)
    }
  })

  test('lets templates ask for fields the image lacks, as docker does', async () => {
    const template =
      '{{.Config.ExposedPorts}} {{json .Config.ExposedPorts}} {{.Config.Labels}} {{index .Config.Labels "x"}}{{len .Config.Env}} {{json .Config.Env}} {{.Config.Shell}} {{.Variant}}|{{range .Config.Cmd}}<{{.}}>{{end}}'
    expect(await cairn.ok(['image', 'inspect', '-f', template, 'box'])).toBe('map[] null map[] 0 null [] |<sh>\n')
    expect(await cairn.ok(['inspect', '-f', 'json', 'box', 'box'])).toStartWith(`[{"Id":"${id}",`)
    const wrong = await cairn.run(['inspect', '-f', '{{.Nope}}', 'box'])
    expect(wrong).toMatchObject({ status: 1, out: '\n' })
    expect(wrong.err).toContain('<.Nope>')
  })

  test('prints what is there, then what is not, and fails', async () => {
    expect(await cairn.run(['image', 'inspect', 'nosuch'])).toEqual({
      status: 1,
      out: '[]\n',
      err: 'Error: No such image: nosuch:latest\n',
    })
    expect(await cairn.run(['inspect', 'nosuch', '-f', '{{.Id}}', 'box', 'nosuch2'])).toEqual({
      status: 1,
      out: `${id}\n`,
      err: 'Error: No such object: nosuch\nError: No such object: nosuch2\n',
    })
    expect(await cairn.run(['inspect', '--type', 'image', 'No/Such'])).toEqual({
      status: 1,
      out: '[]\n',
      err: 'Error: invalid reference format: repository name (Such) must be lowercase\n',
    })
    expect((await cairn.run(['inspect', '--type', 'foo', 'box'])).err).toContain('unknown type: "foo": must be one of ')
  })

  test('refuses a platform the image does not have', async () => {
    expect(await cairn.run(['image', 'inspect', '--platform', 'linux/s390x', 'box'])).toMatchObject({
      status: 1,
      out: '[]\n',
      err: expect.stringContaining('its platform (linux/amd64) does not match the specified platform (linux/s390x)'),
    })
  })
})
