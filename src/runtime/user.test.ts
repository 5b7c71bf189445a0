import { describe, expect, test } from 'bun:test'
import { resolveOwner, resolveUser } from './user.ts'

const files = {
  passwd: [
    'root:x:0:0:root:/root:/bin/sh',
    '# a comment',
    'daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin',
    'app:x:1000:100:App:/home/app:/bin/bash',
    'homeless:x:1001:1001::',
    '007:x:42:43:bond:/mi6:/bin/sh',
    'broken:x:abc:0::/:',
    'short',
    '+@nis::::::',
    'twin:x:1000:200:Twin:/home/twin:/bin/sh',
  ].join('\n'),
  group: [
    'root:x:0:root',
    'staff:x:50:app,daemon',
    'users:x:100:',
    'wheel:x:10:app,root',
    'wheel2:x:10:app',
    'bad:x::app',
    '',
  ].join('\n'),
}

describe('resolveUser()', () => {
  test('`resolveUser()` finds a name with its primary and supplementary groups and home', () => {
    expect(resolveUser('app', files)).toEqual({
      uid: 1000,
      gid: 100,
      additionalGids: [50, 10],
      home: '/home/app',
      name: 'app',
    })
    expect(resolveUser('homeless', files)).toMatchObject({ uid: 1001, gid: 1001, home: '/', additionalGids: [] })
  })

  test('`resolveUser()` takes uid 0 for an empty user', () => {
    expect(resolveUser('', files)).toEqual({ uid: 0, gid: 0, additionalGids: [0, 10], home: '/root', name: 'root' })
    expect(resolveUser('', {})).toEqual({ uid: 0, gid: 0, additionalGids: [], home: '/' })
  })

  test('`resolveUser()` looks a number up, and takes it with group 0 when it has no account', () => {
    expect(resolveUser('1000', files)).toMatchObject({ uid: 1000, gid: 100, name: 'app', additionalGids: [50, 10] })
    expect(resolveUser('4711', files)).toEqual({ uid: 4711, gid: 0, additionalGids: [], home: '/' })
    expect(resolveUser('4711', {})).toEqual({ uid: 4711, gid: 0, additionalGids: [], home: '/' })
    // The name comes first in the file.
    expect(resolveUser('007', files)).toMatchObject({ uid: 42, gid: 43, home: '/mi6' })
  })

  test('`resolveUser()` gives a user with a group that group only', () => {
    expect(resolveUser('app:staff', files)).toMatchObject({ uid: 1000, gid: 50, additionalGids: [], home: '/home/app' })
    expect(resolveUser('app:77', files)).toMatchObject({ uid: 1000, gid: 77, additionalGids: [] })
    expect(resolveUser('4711:4712', {})).toMatchObject({ uid: 4711, gid: 4712 })
    expect(resolveUser(':staff', files)).toMatchObject({ uid: 0, gid: 50 })
    expect(resolveUser('app:', files)).toMatchObject({ uid: 1000, gid: 100, additionalGids: [50, 10] })
  })

  test('`resolveUser()` fails in docker’s words for names that are in no file', () => {
    const words = (spec: string, from = files): string => {
      try {
        resolveUser(spec, from)
        return 'no error'
      } catch (error) {
        return (error as Error).message
      }
    }
    expect(words('ghost')).toBe('unable to find user ghost: no matching entries in passwd file')
    expect(words('app:ghosts')).toBe('unable to find group ghosts: no matching entries in group file')
    expect(words('root', { passwd: '', group: '' })).toBe(
      'unable to find user root: no matching entries in passwd file',
    )
    expect(words('2147483648')).toContain('uids and gids must be in range 0-2147483647')
    expect(words('-1')).toContain('uids and gids must be in range 0-2147483647')
    expect(words('0:4294967295')).toContain('uids and gids must be in range')
    // An account whose uid is no number must not become root.
    expect(words('broken')).toBe('unable to find user broken: no matching entries in passwd file')
  })
})

describe('resolveOwner()', () => {
  test('`resolveOwner()` gives a name its primary group and a number the same group', () => {
    expect(resolveOwner('app', files)).toEqual({ uid: 1000, gid: 100 })
    expect(resolveOwner('1000', files)).toEqual({ uid: 1000, gid: 1000 })
    expect(resolveOwner('55', {})).toEqual({ uid: 55, gid: 55 })
    expect(resolveOwner('app:', files)).toEqual({ uid: 1000, gid: 100 })
    expect(resolveOwner('55:', files)).toEqual({ uid: 55, gid: 55 })
  })

  test('`resolveOwner()` takes a group by name or number, alone too', () => {
    expect(resolveOwner('app:staff', files)).toEqual({ uid: 1000, gid: 50 })
    expect(resolveOwner('1:2', {})).toEqual({ uid: 1, gid: 2 })
    expect(resolveOwner(':staff', files)).toEqual({ uid: 0, gid: 50 })
    expect(resolveOwner('daemon:0', files)).toEqual({ uid: 1, gid: 0 })
  })

  test('`resolveOwner()` fails for names that are in no file', () => {
    expect(() => resolveOwner('ghost', files)).toThrow('unable to find user ghost')
    expect(() => resolveOwner('1:ghosts', files)).toThrow('unable to find group ghosts')
    expect(() => resolveOwner('root', {})).toThrow('unable to find user root')
    expect(() => resolveOwner('9999999999', files)).toThrow('in range')
  })
})
