import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { directory, file, hardlink, layerOf, type Member, symlink } from '../../../test/fixtures/layers.ts'
import { acquireLease } from '../../content/leases.ts'
import { putFixtureTars, type TemporaryStore, temporaryStore } from '../../images/image-fixtures.ts'
import type { ContainerConfig } from '../../oci/config.ts'
import { copyImage } from './copy-image.ts'
import { areEqual, diffImages } from './diff-images.ts'

let place: TemporaryStore

beforeEach(() => {
  place = temporaryStore()
})
afterEach(() => place[Symbol.dispose]())

async function put(
  tag: string,
  layers: readonly Member[][],
  config: ContainerConfig = {},
  created = '2026-01-01T00:00:00Z',
) {
  using lease = acquireLease(place.store)
  const tars = layers.map((members) => new Uint8Array(layerOf(...members)))
  await putFixtureTars(place.store, lease, tars, { tags: [tag], config: { config, created } })
}

const base: readonly Member[] = [
  directory('etc'),
  file('etc/same', 'same'),
  file('etc/rewritten', 'one'),
  file('etc/longer', 'a'),
  file('mode', 'm'),
  { ...file('touched', 't'), uid: 4 },
  symlink('link', 'etc/same'),
  file('gone/deep/file', 'gone'),
  file('kind', 'file'),
  file('attr', 'x', { xattrs: new Map([['user.a', new Uint8Array([1])]]) }),
]

describe('diffImages()', () => {
  test('tells settings, files and layers that differ, and in what', async () => {
    const time = { mtimeSeconds: 5 }
    await put('a', [[...base]], {
      Env: ['PATH=/bin', 'A=1'],
      Labels: { x: '1', y: '2' },
      Cmd: ['sh'],
      ExposedPorts: { '80/tcp': {} },
    })
    await put(
      'b',
      [
        [...base],
        [
          file('etc/rewritten', 'two'),
          file('etc/longer', 'abc'),
          file('etc/same', 'same', time),
          file('mode', 'm', { mode: 0o4755 }),
          { ...file('touched', 't'), uid: 5 },
          symlink('link', 'etc/longer'),
          file('.wh.gone', ''),
          symlink('kind', 'x'),
          file('attr', 'x'),
          directory('new'),
          file('new/file', 'new!'),
          hardlink('new/again', 'new/file'),
        ],
      ],
      { Env: ['PATH=/bin', 'A=2', 'B=3'], Labels: { x: '1' }, Cmd: ['sh'], User: 'me' },
      '2026-02-02T00:00:00Z',
    )
    const difference = await diffImages(place.store, 'a', 'b', {})
    expect(difference.config).toEqual([
      { field: 'Env.A', from: '1', to: '2' },
      { field: 'Env.B', from: undefined, to: '3' },
      { field: 'ExposedPorts.80/tcp', from: {}, to: undefined },
      { field: 'Labels.y', from: '2', to: undefined },
      { field: 'User', from: undefined, to: 'me' },
    ])
    expect(difference.files.map(({ change, path, aspects }) => [change[0], path, ...aspects].join(' '))).toEqual([
      'c /attr attributes',
      'c /etc/longer content',
      'c /etc/rewritten content',
      'r /gone',
      'r /gone/deep',
      'r /gone/deep/file',
      'c /kind type',
      'c /link target',
      'c /mode mode',
      'a /new',
      'a /new/again',
      'a /new/file',
      'c /touched owner',
    ])
    const { common, removed, added } = difference.layers
    expect([common.length, removed.length, added.length]).toEqual([1, 0, 1])
    const timed = await diffImages(place.store, 'a', 'b', { times: true })
    expect(timed.config.map(({ field }) => field)).toContain('created')
    expect(timed.files.find(({ path }) => path === '/etc/same')?.aspects).toEqual(['time'])
  })

  test('finds nothing between one image in two places, or with other layers', async () => {
    await put('a', [[...base], [file('more')]])
    await put('b', [[...base, file('more')]])
    await copyImage(place.store, 'a', `docker-archive:${place.directory}/a.tar`)
    const moved = await diffImages(place.store, 'a', `docker-archive:${place.directory}/a.tar`, { times: true })
    expect([areEqual(moved), moved.layers.common.length]).toEqual([true, 2])
    const squashed = await diffImages(place.store, 'a', 'b', {})
    expect([areEqual(squashed), squashed.layers.common.length]).toEqual([true, 0])
  })
})
