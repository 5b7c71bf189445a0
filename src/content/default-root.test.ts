import { describe, expect, test } from 'bun:test'
import { defaultRoot } from './default-root.ts'

describe('defaultRoot()', () => {
  test.each([
    [{ CAIRN_ROOT: '/x', XDG_DATA_HOME: '/data', HOME: '/home/me' }, 0, '/x'],
    [{ CAIRN_ROOT: '', HOME: '/root' }, 0, '/var/lib/cairn'],
    [{ HOME: '/home/me' }, 1000, '/home/me/.local/share/cairn'],
    [{ HOME: '/home/me', XDG_DATA_HOME: '/data' }, 1000, '/data/cairn'],
    [{ HOME: '/home/me', XDG_DATA_HOME: 'relative' }, 1000, '/home/me/.local/share/cairn'],
  ])('of %j for user %i is %s', (env, uid, expected) => {
    expect(defaultRoot(env, uid)).toBe(expected)
  })

  test('fails when the user has no home', () => {
    expect(() => defaultRoot({}, 1000)).toThrow('there is no place for the store: HOME is not set')
  })
})
