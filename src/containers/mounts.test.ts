import { describe, expect, test } from 'bun:test'
import { isCairnError } from '../errors/error.ts'
import { type MountRequest, parseBind, planMounts } from './mounts.ts'

function messageOf(action: () => unknown): string {
  try {
    action()
  } catch (error) {
    if (isCairnError(error)) return `${error.code}: ${error.message}`
    throw error
  }
  return 'no error'
}

describe('parseBind()', () => {
  test.each<[string, MountRequest]>([
    ['/data', { type: 'volume', target: '/data' }],
    ['/a:/b', { type: 'bind', source: '/a', target: '/b', readonly: false, createSource: true }],
    ['/a:/b:ro', { type: 'bind', source: '/a', target: '/b', readonly: true, createSource: true }],
    [
      '/a:/b:rw,z,rprivate,cached',
      { type: 'bind', source: '/a', target: '/b', readonly: false, createSource: true, propagation: 'rprivate' },
    ],
    ['name:/b', { type: 'volume', name: 'name', target: '/b', readonly: false, copy: true }],
    ['name:/b:ro,nocopy', { type: 'volume', name: 'name', target: '/b', readonly: true, copy: false }],
  ])('reads %s', (text, expected) => {
    expect(parseBind(text)).toEqual(expected)
  })

  test.each([
    ['', 'USAGE: invalid spec: : empty section between colons'],
    [':/b', 'USAGE: invalid spec: :/b: empty section between colons'],
    ['/a::ro', 'USAGE: invalid spec: /a::ro: empty section between colons'],
    ['/a:/b:ro:rw', "CONFIG_INVALID: invalid volume specification: '/a:/b:ro:rw'"],
    ['/a:ro', "CONFIG_INVALID: invalid volume specification: '/a:ro'"],
    ['/a:/b:zz', 'CONFIG_INVALID: invalid mode: zz'],
    ['/a:/b:ro,rw', 'CONFIG_INVALID: invalid mode: ro,rw'],
    ['/a:/b:slave,shared', 'CONFIG_INVALID: invalid mode: slave,shared'],
    [
      'name:/b:rslave',
      `CONFIG_INVALID: invalid volume specification: 'name:/b:rslave': invalid mount config for type "volume": field BindOptions must not be specified`,
    ],
  ])('refuses %p', (text, message) => {
    expect(messageOf(() => parseBind(text))).toBe(message)
  })
})

describe('planMounts()', () => {
  const plan = (requests: readonly MountRequest[], volumes: readonly string[] = []) =>
    planMounts(requests, volumes, () => 'made-up')

  test('puts outer mounts before those inside them and cleans targets', () => {
    const mounts = plan([
      { type: 'tmpfs', target: '/a/b/c/' },
      { type: 'volume', name: 'vol', target: '//a/./x/../b' },
    ])
    expect(mounts.map(({ target }) => target)).toEqual(['/a/b', '/a/b/c'])
  })

  test('gives each volume of the image a place unless something else is there', () => {
    expect(plan([{ type: 'tmpfs', target: '/one' }], ['/one/', 'two', '/'])).toEqual([
      { type: 'tmpfs', target: '/one', readonly: false },
      { type: 'volume', name: 'made-up', anonymous: true, target: '/two', readonly: false, copy: true },
    ])
  })

  test.each<[MountRequest, string]>([
    [{ type: 'tmpfs', target: 'x' }, "tmpfs\": invalid mount path: 'x' mount path must be absolute"],
    [{ type: 'volume', target: '/x/..' }, "volume\": invalid specification: destination can't be '/'"],
    [{ type: 'bind', source: '', target: '/x' }, 'bind": field Source must not be empty'],
    [{ type: 'bind', source: 'a', target: '/x' }, "bind\": invalid mount path: 'a' mount path must be absolute"],
    [{ type: 'bind', source: '/no/such', target: '/x' }, 'bind": bind source path does not exist: /no/such'],
  ])('refuses %p', (request, message) => {
    expect(messageOf(() => plan([request]))).toBe(`CONFIG_INVALID: invalid mount config for type "${message}`)
  })

  test.each(['.', 'a'])('refuses %p as the name of a volume: it is too short', (name) => {
    expect(messageOf(() => plan([{ type: 'volume', name, target: '/x' }]))).toContain('volume name is too short')
  })

  test.each(['..', '-x', 'a/b', 'a b', '../../etc'])('refuses %p as the name of a volume', (name) => {
    expect(messageOf(() => plan([{ type: 'volume', name, target: '/x' }]))).toContain(
      'includes invalid characters for a local volume name',
    )
  })

  test('refuses two mounts on one target', () => {
    expect(
      messageOf(() =>
        plan([
          { type: 'tmpfs', target: '/x' },
          { type: 'volume', target: '/x/' },
        ]),
      ),
    ).toBe('CONFIG_INVALID: Duplicate mount point: /x')
  })
})
