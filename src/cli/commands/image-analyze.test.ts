import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { Cairn, type Ended } from '../../../test/fixtures/cli/cairn.ts'
import { layerTar, noise } from '../../analysis/analysis-fixtures.ts'
import { tokenSamples } from '../../analysis/secrets/secret-samples.ts'

describe('cairn image analyze', () => {
  let cairn: Cairn
  const token = tokenSamples['github-token']?.() ?? ''
  const analyze = (...args: string[]): Promise<Ended> => cairn.run(['image', 'analyze', ...args])

  beforeAll(async () => {
    cairn = new Cairn()
    cairn.file(
      'rootfs.tar',
      layerTar([
        { path: 'bin/su', content: noise(6000), entry: { mode: 0o4755 } },
        { path: 'opt/token', content: `${token}\n` },
        { path: 'tmp/x', content: noise(4000, 2) },
        { path: 'opt/\x1b[2J\u202e', entry: { mode: 0o666 } },
      ]),
    )
    await cairn.ok(['import', '-m', 'made by hand', 'rootfs.tar', 'app:1'])
    cairn.file('clean.tar', layerTar([{ path: 'a', content: 'a' }]))
    await cairn.ok(['import', 'clean.tar', 'clean'])
  })
  afterAll(() => cairn[Symbol.dispose]())

  test('prints tables to be read, in which no name acts on a terminal', async () => {
    const { status, out, err } = await analyze('app:1')
    expect({ status, err }).toEqual({ status: 0, err: '' })
    expect(out.replace(/sha256:\w+/, 'sha256:…')).toBe(
      [
        'Image:       app:1  linux/amd64  sha256:…',
        'Size:        14.85kB in 1 layer, 4 files',
        'Efficiency:  60.1%, 4kB wasted',
        'Secrets:     1',
        'Permissions: 1 setuid, 1 world-writable',
        '',
        'LAYER     SIZE      ADDED      CHANGED   REMOVED   WASTED    INSTRUCTION',
        '1         14.8kB    4 (10kB)   -         -         4kB       made by hand',
        '',
        'WASTED    FILES     WHY         PATH      BLAMED ON LAYER',
        '4kB       1         temporary   /tmp      1 made by hand',
        '',
        'To waste less:',
        '  layer 1, temporary (4kB): remove it in the same RUN, or use RUN --mount=type=tmpfs,target=/tmp',
        '',
        'LEVEL     SECRET         WHERE          VALUE                   LAYER',
        'ERROR     github-token   /opt/token:1   ghp_… (40 characters)   1',
        '',
        'PERMISSION       MODE      OWNER     PATH                   LAYER',
        'setuid           4755      0:0       /bin/su                1',
        String.raw`world-writable   0666      0:0       /opt/\x1b[2J\u{202e}   1`,
        '',
      ].join('\n'),
    )
  })

  test('says little of an image that has nothing to tell', async () => {
    expect((await analyze('clean')).out.replace(/sha256:\w+/, 'sha256:…')).toBe(
      [
        'Image:       clean  linux/amd64  sha256:…',
        'Size:        2.048kB in 1 layer, 1 file',
        'Efficiency:  100%, 0B wasted',
        'Secrets:     none found',
        'Permissions: nothing special',
        '',
        'LAYER     SIZE      ADDED     CHANGED   REMOVED   WASTED    INSTRUCTION',
        '1         2.05kB    1 (1B)    -         -         -         Imported from -',
        '',
      ].join('\n'),
    )
  })

  test('prints JSON and templates', async () => {
    const { out } = await analyze('--format', 'json', 'app:1')
    expect(out.includes(token)).toBe(false)
    expect(JSON.parse(out)).toMatchObject({
      Name: 'app:1',
      Platform: 'linux/amd64',
      WastedBytes: 4000,
      Layers: [{ Number: 1, Instruction: 'made by hand', Added: { Files: 4, Bytes: 10_041 } }],
      Waste: [{ Kind: 'temporary', Path: '/tmp', Bytes: 4000, Files: 1, Layer: 1, Instruction: 'made by hand' }],
      Secrets: [{ Rule: 'github-token', Level: 'error', Path: '/opt/token', Line: 1, Layers: [1], Visible: true }],
      Permissions: [{ Kind: 'setuid', Path: '/bin/su', Mode: '4755' }, { Kind: 'world-writable' }],
    })
    expect((await analyze('--format', '{{.WastedBytes}} {{range .Secrets}}{{.Rule}}{{end}}', 'app:1')).out).toBe(
      '4000 github-token\n',
    )
    expect((await analyze('--format', '{{json .Stored}}', 'clean')).out).toBe('{"Files":1,"Bytes":1}\n')
    expect(await analyze('--format', '{{.Nothing', 'clean')).toMatchObject({ status: 1 })
  })

  test('prints a SARIF log with a rule for each result', async () => {
    const { out } = await analyze('--format', 'sarif', 'app:1')
    expect(out.includes(token)).toBe(false)
    const log = JSON.parse(out)
    expect(log).toMatchObject({ version: '2.1.0', runs: [{ tool: { driver: { name: 'cairn' } } }] })
    const [{ tool, results }] = log.runs
    expect(results.map(({ ruleId, level }: Record<string, unknown>) => [ruleId, level])).toEqual([
      ['github-token', 'error'],
      ['setuid', 'note'],
      ['world-writable', 'note'],
      ['temporary', 'note'],
    ])
    for (const { ruleId, ruleIndex, locations } of results) {
      expect(tool.driver.rules[ruleIndex].id).toBe(ruleId)
      expect(locations).toHaveLength(1)
    }
    expect(results[0].locations[0]).toMatchObject({
      physicalLocation: { artifactLocation: { uri: 'opt/token', uriBaseId: 'ROOTFS' }, region: { startLine: 1 } },
      logicalLocations: [{ name: 'layer 1' }],
    })
  })

  test('ends with status 1 and says why where a condition of the budget is true', async () => {
    const failed = await analyze(
      '--format',
      '{{.Name}}',
      '--fail-on',
      'secrets,setuid',
      '--fail-on',
      'efficiency<0.95',
      '--fail-on',
      'wasted>20MB',
      'app:1',
    )
    expect(failed).toEqual({
      status: 1,
      out: 'app:1\n',
      err: 'app:1 (linux/amd64) fails its budget:\n  secrets: secrets is 1\n  setuid: setuid is 1\n  efficiency<0.95: efficiency is 60.1%\n',
    })
    expect(await analyze('--format', '{{.Name}}', '--fail-on', 'secrets', 'clean')).toMatchObject({
      status: 0,
      err: '',
    })
  })

  test('reads a budget from a file, with findings to ignore', async () => {
    cairn.file(
      'budget.json',
      JSON.stringify({ failOn: ['secrets', 'setuid'], ignore: [{ rule: 'setuid', path: '/bin/su' }] }),
    )
    expect(await analyze('--format', '{{len .Permissions}}', '--budget', 'budget.json', 'app:1')).toMatchObject({
      status: 1,
      out: '1\n',
      err: 'app:1 (linux/amd64) fails its budget:\n  secrets: secrets is 1\n',
    })
    cairn.file('.dive-ci', 'rules:\n  lowestEfficiency: 0.7\n')
    expect(await analyze('--budget', '.dive-ci', 'app:1')).toMatchObject({ status: 1 })
  })

  test.each([
    [['--fail-on', 'secrts', 'app:1'], 125, 'invalid condition "secrts"'],
    [['--budget', 'none.json', 'app:1'], 1, 'there is no budget none.json'],
    [['nothing'], 1, 'No such image: nothing'],
    [['docker-archive:nothing.tar'], 1, 'nothing.tar'],
    [['--top=-1', 'app:1'], 125, '--top'],
    [['--platform', 'linux/s390x', 'app:1'], 1, 'linux/s390x'],
  ])('refuses %p', async (args, status, message) => {
    const ended = await analyze(...args)
    expect(ended).toMatchObject({ status, out: '' })
    expect(ended.err).toContain(message)
  })
})
