import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
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
