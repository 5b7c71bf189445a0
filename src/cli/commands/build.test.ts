import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { readdirSync } from 'node:fs'
import { Cairn } from '../../../test/fixtures/cli/cairn.ts'

let cairn: Cairn
beforeEach(() => {
  cairn = new Cairn()
  cairn.file('.dockerignore', 'store\n')
  cairn.file('Dockerfile', 'FROM scratch\nCOPY Dockerfile /\n')
})
afterEach(() => {
  cairn[Symbol.dispose]()
})

describe('cairn build --progress', () => {
  test('none shows nothing, quiet the image ID alone', async () => {
    expect(await cairn.run(['build', '--progress', 'none', '.'])).toEqual({ status: 0, out: '', err: '' })
    for (const flags of [['--progress', 'quiet'], ['-q'], ['-q', '--progress', 'none']])
      expect(await cairn.run(['build', ...flags, '.'])).toEqual({
        status: 0,
        out: expect.stringMatching(/^sha256:[0-9a-f]{64}\n$/),
        err: '',
      })
  })

  test.each([
    [['--progress', 'fancy'], {}, 'cairn: invalid progress mode fancy\n'],
    [[], { BUILDKIT_PROGRESS: 'fancy' }, 'cairn: invalid progress mode fancy\n'],
    [['-q', '--progress', 'plain'], {}, 'cairn: progress=plain and quiet cannot be used together\n'],
  ])('%j with %j is refused', async (flags, env, message) => {
    const { status, err } = await cairn.run(['build', ...flags, '.'], { env })
    expect({ status, err }).toEqual({ status: 1, err: expect.stringContaining(message) })
  })
})

describe('cairn build takes from scripts written for docker', () => {
  test('the flags that BuildKit ignores, and tells that they have no effect', async () => {
    const flags = [
      '--compress',
      '-m',
      '1g',
      '--memory-swap=-1',
      '-c',
      '512',
      '--cpu-quota=1000',
      '--cpuset-cpus',
      '0-1',
    ]
    const more = ['--security-opt', 'seccomp=unconfined', '--isolation', 'default', '--force-rm', '--rm=false']
    const { status, err } = await cairn.run(['build', '-q', ...flags, ...more, '.'])
    expect(status).toBe(0)
    expect(err.trimEnd().split('\n')).toEqual(
      ['compress', 'memory', 'memory-swap', 'cpu-shares', 'cpu-quota', 'cpuset-cpus', 'security-opt', 'isolation'].map(
        (name) => `Flag --${name} has been deprecated, it has no effect`,
      ),
    )
  })

  test('--builder, whatever its name, and --provenance and --sbom with a value of its own word', async () => {
    for (const flags of [
      ['--builder', 'builder-1234'],
      ['--provenance', 'false'],
      ['--sbom', 'false', '--provenance', 'mode=max'],
    ])
      expect(await cairn.run(['buildx', 'build', '-q', ...flags, '.'])).toMatchObject({ status: 0, err: '' })
  })

  test('flags without a value as if they were not given', async () => {
    const names = ['target', 'file', 'iidfile', 'metadata-file', 'network', 'add-host', 'builder', 'cgroup-parent']
    const flags = names.map((name) => `--${name}=`)
    expect(await cairn.run(['build', '-q', ...flags, '.'])).toMatchObject({ status: 0, err: '' })
    expect(readdirSync(cairn.directory).toSorted()).toEqual(['.dockerignore', 'Dockerfile', 'store'])
  })
})
