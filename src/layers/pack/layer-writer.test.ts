import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { file, layerOf, listArchive, listTree } from '../../../test/fixtures/layers.ts'
import { AT_FDCWD } from '../../linux/files.ts'
import { makeNodeAt, setTimesAt } from '../../linux/names.ts'
import { setXattr } from '../../linux/xattrs.ts'
import { digestOf } from '../../oci/digest.ts'
import { blankEntry, type TarEntry } from '../../tar/entry.ts'
import { readTarFile } from '../../tar/reader.ts'
import { applyLayerFile } from '../unpack/apply.ts'
import { ContentDigester } from '../content-digest.ts'
import { LayerParts } from './layer-parts.ts'
import { type LayerContent, LayerWriter, type WrittenLayer } from './layer-writer.ts'
import type { Tree } from '../tree.ts'
import { directoryTree, tarTree } from '../trees/layer-tree.ts'
import { packDirectory } from './pack.ts'

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'cairn-pack-'))
})
afterEach(() => {
  rmSync(root, { recursive: true, force: true })
})

const entry: TarEntry = { ...blankEntry, type: 'file', path: 'f', mode: 0o644, mtimeSeconds: 100, mtimeNanoseconds: 5 }

function makeTree(path: string): void {
  const script = `
    mkdir -p "$1/d/empty" "$1/sub" && cd "$1"
    echo content > d/f; chmod 4711 d/f; chown 1000:2000 d/f; ln d/f d/hard; ln -s ../outside d/link; ln d/link d/link2
    mkfifo d/fifo; mknod d/null c 1 3; mknod d/loop b 7 0; truncate -s 2M d/sparse; echo x >> d/sparse
    touch "d/$(printf 'raw\\377')" d/B d/a "d/日本" a-b "sub/$(head -c 250 /dev/zero | tr '\\0' n)"
  `
  const result = Bun.spawnSync(['sh', '-euc', script, 'sh', path])
  if (result.exitCode !== 0) throw new Error(result.stderr.toString())
  setXattr(`${path}/d/f`, 'user.binary', new Uint8Array([0, 255]))
  setTimesAt(AT_FDCWD, `${path}/d/f`, 1_600_000_000, 999_999_999)
}

describe('packDirectory()', () => {
  test('is undone by applyLayerFile() and read alike by GNU tar', async () => {
    makeTree(`${root}/tree`)
    const written = packDirectory(`${root}/tree`, `${root}/l.tar`, { keepNanoseconds: true })
    const bytes = readFileSync(`${root}/l.tar`)
    expect(written).toMatchObject({ diffId: digestOf(bytes), size: bytes.length })
    mkdirSync(`${root}/again`)
    applyLayerFile(`${root}/l.tar`, `${root}/again`, { mode: 'overlay', diffId: written.diffId })
    const before = listTree(directoryTree(`${root}/tree`))
    expect(listTree(directoryTree(`${root}/again`))).toEqual(before)
    expect(packDirectory(`${root}/again`, `${root}/2.tar`, { keepNanoseconds: true })).toEqual(written)

    mkdirSync(`${root}/gnu`)
    const unpacked = Bun.spawnSync(['tar', '--xattrs', '--same-owner', '-xpf', `${root}/l.tar`, '-C', `${root}/gnu`])
    expect(unpacked.stderr.toString()).toBe('')
    expect(listTree(directoryTree(`${root}/gnu`))).toEqual(before)
    const viaGnu = Bun.spawnSync([
      'tar',
      '--format=pax',
      '--xattrs',
      '--sort=name',
      '-C',
      `${root}/tree`,
      '-cf',
      '-',
      '.',
    ])
    expect(await listArchive(viaGnu.stdout)).toEqual(before)
  })

  test('sorts by bytes and cuts times to seconds, so that a copy packs to the same bytes', () => {
    makeTree(`${root}/tree`)
    const first = packDirectory(`${root}/tree`, `${root}/1.tar`)
    Bun.spawnSync(['cp', '-a', `${root}/tree`, `${root}/copy`])
    expect(packDirectory(`${root}/copy`, `${root}/2.tar`)).toEqual(first)
    const members = [...readTarFile(`${root}/1.tar`)].map((member) => member.entry)
    expect(members.map(({ path }) => path).slice(0, 6)).toEqual(['a-b', 'd', 'd/B', 'd/a', 'd/empty', 'd/f'])
    expect(members.every(({ mtimeNanoseconds }) => mtimeNanoseconds === 0)).toBe(true)
    expect(members.find(({ path }) => path === 'd/hard')).toMatchObject({ type: 'hardlink', linkname: 'd/f' })
  })

  test('clamps times to the epoch, leaves out what is excluded and the root', () => {
    makeTree(`${root}/tree`)
    setTimesAt(AT_FDCWD, `${root}/tree/a-b`, 50, 5)
    packDirectory(`${root}/tree`, `${root}/l.tar`, { epoch: 1000, exclude: new Set(['d']) })
    const members = [...readTarFile(`${root}/l.tar`)].map(({ entry: one }) => [one.path, one.mtimeSeconds])
    expect(members.slice(0, 2)).toEqual([
      ['a-b', 50],
      ['sub', 1000],
    ])
  })

  test('leaves out sockets and attributes of this machine', async () => {
    mkdirSync(`${root}/tree`)
    const server = createServer()
    await new Promise<void>((resolve) => void server.listen(`${root}/tree/socket`, () => resolve()))
    try {
      writeFileSync(`${root}/tree/f`, '')
      setXattr(`${root}/tree/f`, 'trusted.mine', new Uint8Array(1))
      packDirectory(`${root}/tree`, `${root}/l.tar`)
      const [only, ...rest] = [...readTarFile(`${root}/l.tar`)]
      expect(only?.entry.path).toBe('f')
      expect(only?.entry.xattrs.size).toBe(0)
      expect(rest).toEqual([])
    } finally {
      server.close()
    }
  })

  test('writes into a sink the bytes it would write to a file', () => {
    makeTree(`${root}/tree`)
    const pieces: Uint8Array[] = []
    const written = packDirectory(`${root}/tree`, (bytes) => void pieces.push(bytes.slice()))
    expect(packDirectory(`${root}/tree`, `${root}/l.tar`)).toEqual(written)
    expect(Buffer.compare(Buffer.concat(pieces), readFileSync(`${root}/l.tar`))).toBe(0)
  })
})

describe('LayerWriter', () => {
  test('takes content from bytes, files and trees', () => {
    writeFileSync(`${root}/host`, 'from host')
    const tree = tarTree(layerOf(file('d/inside', 'from tree')))
    const writer = new LayerWriter(`${root}/l.tar`)
    writer.add({ ...entry, path: 'a', size: 10 }, { from: 'bytes', bytes: Buffer.from('from bytes') })
    writer.add({ ...entry, path: 'b', size: 9 }, { from: 'file', path: `${root}/host` })
    writer.add({ ...entry, path: 'c', size: 9 }, { from: 'tree', tree, path: '/d/inside' })
    writer.addWhiteout('d/gone')
    writer.addOpaque('e')
    const written = writer.finish()
    expect(written).toMatchObject({ entries: 5, diffId: digestOf(readFileSync(`${root}/l.tar`)) })
    expect(statSync(`${root}/l.tar`).size).toBe(written.size)
    const seen = tarTree(`${root}/l.tar`)
    const read = (path: string): string =>
      Buffer.concat([...seen.read(path)].map((piece) => Buffer.from(piece))).toString()
    expect(['/a', '/b', '/c'].map(read)).toEqual(['from bytes', 'from host', 'from tree'])
    expect(seen.whiteouts('/d')).toEqual(['gone'])
    expect(seen.hides('/e/anything')).toBe(true)
  })

  test.each([
    ['bytes', { from: 'bytes', bytes: Buffer.from('12345') } as const],
    ['a file', { from: 'file', path: '' } as const],
  ])('throws FILE_CHANGED naming the file when %s are more or fewer than its size', (_, content) => {
    writeFileSync(`${root}/host`, '12345')
    const source = content.from === 'file' ? { ...content, path: `${root}/host` } : content
    for (const size of [4, 6]) {
      const writer = new LayerWriter(`${root}/l.tar`)
      const run = (): unknown => {
        writer.add({ ...entry, size }, source)
        return writer.finish()
      }
      expect(run).toThrow(expect.objectContaining({ code: 'FILE_CHANGED' }))
      writer.abort()
      expect(existsSync(`${root}/l.tar`)).toBe(false)
    }
  })

  test('follows no symlink and waits for no fifo that stands where the file was', () => {
    symlinkSync('/etc/passwd', `${root}/link`)
    makeNodeAt(AT_FDCWD, `${root}/fifo`, 'fifo', 0o600)
    for (const name of ['link', 'fifo']) {
      const writer = new LayerWriter(() => {})
      expect(() => writer.add({ ...entry, size: 5 }, { from: 'file', path: `${root}/${name}` })).toThrow(
        `${root}/${name}`,
      )
    }
  })

  test('refuses names that mean whiteouts, and closes its file when aborted', () => {
    const before = readdirSync('/proc/self/fd').length
    const writer = new LayerWriter(`${root}/l.tar`)
    expect(() => writer.add({ ...entry, path: 'd/.wh.x' })).toThrow(expect.objectContaining({ code: 'LAYER_UNSAFE' }))
    expect(() => writer.add({ ...entry, path: 'd/.wh..wh..opq/', type: 'directory' })).toThrow('.wh.')
    writer.abort()
    writer.abort()
    expect(readdirSync('/proc/self/fd').length).toBe(before)
  })
})

describe('ContentDigester', () => {
  const digest = (...entries: TarEntry[]): string => {
    const digester = new ContentDigester()
    for (const one of entries) digester.add(one, digestOf('same'))
    return digester.digest()
  }

  test('does not depend on order or times, and does on all else', () => {
    const other = { ...entry, path: 'g' }
    const base = digest(entry, other)
    expect(digest(other, { ...entry, mtimeSeconds: 7, mtimeNanoseconds: 0 })).toBe(base)
    const differing: Partial<TarEntry>[] = [
      { path: 'h' },
      { type: 'fifo' },
      { mode: 0o600 },
      { uid: 1 },
      { gid: 1 },
      { size: 1 },
      { linkname: 'x' },
      { devMajor: 1 },
      { devMinor: 1 },
      { xattrs: new Map([['user.a', new Uint8Array()]]) },
      { path: '\udcff' },
    ]
    const digests = differing.map((change) => digest({ ...entry, ...change }, other))
    expect(new Set([base, ...digests]).size).toBe(differing.length + 1)
  })

  test('is the same in every release', () => {
    expect(
      digest(entry, { ...entry, path: 'caf\udce9', xattrs: new Map([['user.b', new Uint8Array([0, 255])]]) }),
    ).toBe('sha256:d437e4ca15af8959ed3d4cf84d00b180d3f3c9baeb0690298d425c9ac4471c2b')
  })
})

describe('LayerWriter with parts of an earlier layer', () => {
  const text = (name: string): string => `${name}: ${'x'.repeat(700)}`

  /** What only those files may be asked for that no earlier layer has. */
  function treeOf(contents: ReadonlyMap<string, string>, { layer }: LayerParts): Tree {
    const bytesOf = (path: string): Uint8Array => new TextEncoder().encode(contents.get(path) ?? '')
    return {
      lookup: () => undefined,
      list: () => [],
      read: (path) => {
        if (layer !== undefined && contents.get(path)?.endsWith('before') === true) throw new Error(`${path} was read`)
        return [bytesOf(path)]
      },
      knownDigest: (path) => digestOf(bytesOf(path)),
    }
  }

  function pack(
    name: string,
    contents: ReadonlyMap<string, string>,
    reuse?: { parts: LayerParts; of?: string },
  ): WrittenLayer {
    const fd = reuse?.of === undefined ? -1 : openSync(`${root}/${reuse.of}`, 'r')
    const parts = reuse?.parts
    const writer = new LayerWriter(`${root}/${name}`, parts === undefined ? {} : { reuse: { parts, fd, name } })
    try {
      for (const [path, content] of contents) {
        const from: LayerContent =
          parts === undefined
            ? { from: 'bytes', bytes: Buffer.from(content) }
            : { from: 'tree', tree: treeOf(contents, parts), path }
        writer.add({ ...entry, path, size: Buffer.byteLength(content), mode: path === 'mode' ? 0o600 : 0o644 }, from)
      }
      return writer.finish()
    } finally {
      writer.abort()
      if (fd >= 0) closeSync(fd)
    }
  }

  test('copies what is the same without opening it, and gives the layer that packing all gives', () => {
    const names = Array.from({ length: 1200 }, (_, index) => `f${String(index).padStart(4, '0')}`)
    const before = new Map<string, string>(names.map((name) => [name, `${text(name)} before`]))
    const first = LayerParts.none(`${root}/parts.tmp`)
    const packed = pack('first.tar', before, { parts: first })
    first.save(`${root}/parts`, packed.diffId)
    const known = LayerParts.read(`${root}/parts`, `${root}/parts.tmp`)
    expect(known.layer).toBe(packed.diffId)

    const after = new Map<string, string>(before)
    after.delete('f0003')
    after.set('f0500', 'shorter')
    after.set('f0501', text('f0501').repeat(2))
    after.set('mode', 'new')
    const plain = pack('plain.tar', after)
    expect(pack('again.tar', after, { parts: known, of: 'first.tar' })).toEqual(plain)
    expect(readFileSync(`${root}/again.tar`).equals(readFileSync(`${root}/plain.tar`))).toBe(true)

    // And from that one, whose own parts were noted.
    known.save(`${root}/parts`, plain.diffId)
    const third = LayerParts.read(`${root}/parts`, `${root}/parts.tmp`)
    expect(pack('third.tar', after, { parts: third, of: 'again.tar' })).toEqual(plain)
  })

  test('fails where the earlier layer is shorter than it was', () => {
    const names = Array.from({ length: 1200 }, (_, index) => `f${index}`)
    const contents = new Map(names.map((name) => [name, `${text(name)} before`] as const))
    const parts = LayerParts.none(`${root}/parts.tmp`)
    const { diffId } = pack('first.tar', contents, { parts })
    parts.save(`${root}/parts`, diffId)
    truncateSync(`${root}/first.tar`, 10_000)
    const known = LayerParts.read(`${root}/parts`, `${root}/parts.tmp`)
    expect(() => pack('again.tar', contents, { parts: known, of: 'first.tar' })).toThrow(
      /ends in the middle of a member/,
    )
    expect(existsSync(`${root}/again.tar`)).toBe(false)
  })

  test('is nothing for few files, and for a file that is none of parts', () => {
    const parts = LayerParts.none(`${root}/parts.tmp`)
    const { diffId } = pack('first.tar', new Map([['f', 'x']]), { parts })
    parts.save(`${root}/parts`, diffId)
    expect(existsSync(`${root}/parts`)).toBe(false)
    writeFileSync(`${root}/parts`, 'cairn layer parts 0\nsha256:ab\n0 512 f\n')
    expect(LayerParts.read(`${root}/parts`, `${root}/parts.tmp`).layer).toBeUndefined()
    expect(LayerParts.read(`${root}/none`, `${root}/parts.tmp`).find('f')).toBeUndefined()
  })
})
