import { expect, test } from 'bun:test'
import { blankEntry, type TarEntry } from '../tar/entry.ts'
import { TarDecoder } from '../tar/decoder.ts'
import { ContentScan } from './content-scan.ts'
import { LayerWriter } from './pack/layer-writer.ts'

const plain: TarEntry = { ...blankEntry, type: 'file', path: 'f', mode: 0o644 }

function write(time: number): { tar: Uint8Array; contentDigest: string } {
  const pieces: Uint8Array[] = []
  const writer = new LayerWriter((bytes) => void pieces.push(new Uint8Array(bytes)))
  const bytes = new TextEncoder().encode('hello')
  const at = { ...plain, mtimeSeconds: time }
  writer.add({ ...at, type: 'directory', path: 'dir', mode: 0o1777, uid: 3, gid: 70_000_000 })
  writer.add({ ...at, path: `dir/${'long'.repeat(60)}`, size: bytes.length }, { from: 'bytes', bytes })
  writer.add({ ...at, path: 'dir/empty' })
  writer.add({ ...at, path: 'dir/caps', xattrs: new Map([['security.capability', new Uint8Array([1, 0, 255])]]) })
  writer.add({ ...at, type: 'symlink', path: 'dir/link', linkname: '../else', mode: 0o777 })
  writer.add({ ...at, type: 'hardlink', path: 'dir/same', linkname: 'dir/empty' })
  writer.add({ ...at, type: 'character-device', path: 'dir/null', devMajor: 1, devMinor: 3 })
  writer.addWhiteout('gone')
  writer.addOpaque('dir')
  const { contentDigest } = writer.finish()
  return { tar: Buffer.concat(pieces), contentDigest }
}

function scan(tar: Uint8Array): string {
  const content = new ContentScan()
  const decoder = new TarDecoder(content)
  for (let start = 0; start < tar.length; start += 700) decoder.push(tar.subarray(start, start + 700))
  decoder.finish()
  return content.digest()
}

test('ContentScan gives the digest that the writer of the layer had, whatever the times', () => {
  const { tar, contentDigest } = write(1000)
  expect(scan(tar)).toBe(contentDigest)
  expect(scan(write(2000).tar)).toBe(contentDigest)
})

test('ContentScan notices a byte that is another', () => {
  const { tar, contentDigest } = write(1000)
  const changed = new Uint8Array(tar)
  changed[Buffer.from(tar).indexOf('hello')] = 0x4a
  expect(scan(changed)).not.toBe(contentDigest)
})
