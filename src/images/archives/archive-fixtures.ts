import { expect } from 'bun:test'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { listImageRecords, listTags } from '../../content/image-records.ts'
import type { Store } from '../../content/store.ts'
import { familiarString, parseReference } from '../../oci/reference.ts'
import type { ByteSource } from '../../streams/source.ts'
import { readMember, readTarFile } from '../../tar/reader.ts'
import { saveImages, type SaveOptions } from './save-images.ts'

/** The archive that saveImages() writes, in memory. */
export async function save(store: Store, names: readonly string[], options: SaveOptions = {}): Promise<Uint8Array> {
  const pieces: Uint8Array[] = []
  await saveImages(store, names, (bytes) => void pieces.push(bytes.slice()), options)
  return new Uint8Array(Buffer.concat(pieces))
}

/** Members of an archive in order, with their text. */
export function membersOf(archive: Uint8Array): Map<string, string> {
  const decoder = new TextDecoder()
  return new Map(
    [...readTarFile(archive)].map((member) => [
      member.entry.path,
      decoder.decode(Buffer.concat([...readMember(archive, member)])),
    ]),
  )
}

/** Writes an archive to a file. */
export function archiveFile(directory: string, bytes: Uint8Array): string {
  const path = join(directory, 'archive.tar')
  writeFileSync(path, bytes)
  return path
}

export async function* inPieces(bytes: Uint8Array, size = 1000): ByteSource {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

/** The names of a store's images. */
export function tagsIn(store: Store): string[] {
  return listTags(store).map(({ name }) => familiarString(parseReference(name)))
}

/** What must hold after a load that was refused. */
export function expectUntouched(store: Store): void {
  expect(listImageRecords(store)).toEqual([])
  expect(listTags(store)).toEqual([])
  expect(readdirSync(store.session.directory)).toEqual([])
}

/** Packs a tree as GNU tar does. */
export function gnuTar(directory: string, tree: string, ...options: string[]): string {
  const path = join(directory, 'gnu.tar')
  const { exitCode, stderr } = Bun.spawnSync(['tar', ...options, '-cf', path, '-C', tree, '.'])
  expect(stderr.toString()).toBe('')
  expect(exitCode).toBe(0)
  return path
}

/** Writes files below `tree` in `directory`, which may be there already. */
export function writeTree(directory: string, files: Readonly<Record<string, string | Uint8Array>>): string {
  const tree = join(directory, 'tree')
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(join(tree, path, '..'), { recursive: true })
    writeFileSync(join(tree, path), content)
  }
  return tree
}
