import { describe, expect, test } from 'bun:test'
import { analyzeFixture } from './analysis-fixtures.ts'
import { formatCapabilities } from './permissions.ts'

/** A version 2 vfs_cap_data as setcap writes it. */
function capabilities(effective: boolean, permitted: number, inheritable = 0): Uint8Array {
  const view = new DataView(new ArrayBuffer(20))
  view.setUint32(0, 0x02000000 | (effective ? 1 : 0), true)
  view.setUint32(4, permitted, true)
  view.setUint32(8, inheritable, true)
  return new Uint8Array(view.buffer)
}

describe('findPermissions()', () => {
  test('tells programs with special rights and what everybody may write, as the final image has them', async () => {
    const { permissions } = await analyzeFixture([
      {
        createdBy: 'x',
        layer: [
          { path: 'bin/su', entry: { mode: 0o4755 } },
          { path: 'bin/gone', entry: { mode: 0o4755 } },
          { path: 'bin/wall', entry: { mode: 0o2755 } },
          {
            path: 'bin/ping',
            entry: { mode: 0o755, xattrs: new Map([['security.capability', capabilities(true, 1 << 13)]]) },
          },
          { path: 'share/data', entry: { mode: 0o4644 } },
          { path: 'tmp', entry: { type: 'directory', mode: 0o1777 } },
          { path: 'tmp/x', entry: { mode: 0o666 } },
          { path: 'open', entry: { type: 'directory', mode: 0o777 } },
          { path: 'open/x', entry: { mode: 0o666, uid: 5, gid: 6 } },
          { path: 'link', entry: { type: 'symlink', linkname: 'bin/su', mode: 0o777 } },
          { path: 'dev/null', entry: { type: 'character-device', mode: 0o666, devMajor: 1, devMinor: 3 } },
        ],
      },
      { createdBy: 'y', layer: [{ path: 'bin/.wh.gone' }] },
    ])
    expect(permissions.map(({ kind, path, layer, capabilities: caps }) => [kind, path, layer, caps])).toEqual([
      ['capabilities', '/bin/ping', 1, 'cap_net_raw=ep'],
      ['setuid', '/bin/su', 1, ''],
      ['setgid', '/bin/wall', 1, ''],
      ['world-writable', '/open', 1, ''],
      ['world-writable', '/open/x', 1, ''],
    ])
  })
})

describe('formatCapabilities()', () => {
  test('names sets as getcap does', () => {
    expect(formatCapabilities(capabilities(true, (1 << 10) | (1 << 12)))).toBe('cap_net_bind_service,cap_net_admin=ep')
    expect(formatCapabilities(capabilities(false, 0, 1 << 13))).toBe('cap_net_raw=i')
    expect(formatCapabilities(new Uint8Array(3))).toBe('invalid')
  })
})
