import { TarDecoder } from '../../tar/decoder.ts'
import { LayerUnpacker } from './layer-unpacker.ts'
import { packTree } from '../pack/pack-tree.ts'
import type { Tree } from '../tree.ts'

/**
 * Makes what `tree` has at `path` in the empty directory `directory`, as {@link packTree} lays it out: with modes, times,
 * hard links and attributes, and with owners and devices where `owners` is `archive`. Nothing is made outside. Gives
 * what could not be stored, one sentence each. Throws as applyLayer; the caller then removes the directory.
 */
export function extractTree(
  tree: Tree,
  path: string,
  directory: string,
  owners: 'archive' | 'caller',
): readonly string[] {
  const unpacker = new LayerUnpacker(directory, { mode: 'plain', owners, name: 'image' })
  try {
    const decoder = new TarDecoder(unpacker, {}, 'image')
    packTree(tree, path, (bytes) => decoder.push(bytes), { keepNanoseconds: true })
    decoder.finish()
  } catch (error) {
    unpacker.abort()
    throw error
  }
  unpacker.finish()
  return unpacker.skipped
}
