import { decompress } from '../../compression/decompress.ts'
import {
  type CacheMount,
  cacheMountName,
  type CacheMountIdentity,
  type HeldCacheMount,
  holdCacheMount,
  replaceCacheMount,
} from '../../content/cache-mounts.ts'
import { recover } from '../../content/recovery.ts'
import type { Store } from '../../content/store.ts'
import { CairnError, isCairnError, usageError } from '../../errors/error.ts'
import { applyLayer } from '../../layers/unpack/apply.ts'
import { DirectoryPacker } from '../../layers/pack/directory-packer.ts'
import { LayerWriter } from '../../layers/pack/layer-writer.ts'
import { lstat, tryLstat } from '../../linux/file-status.ts'
import { AT_FDCWD } from '../../linux/files.ts'
import { changeModeAt, changeOwnerAt, makeDirectories } from '../../linux/names.ts'
import type { ByteSource } from '../../streams/source.ts'
import type { TarSink } from '../../tar/writer.ts'
import { cacheMountNamed } from '../store/list-cache-mounts.ts'

export interface TransferOptions {
  readonly signal: AbortSignal
  /** Called once, when a build uses the cache mount and waiting begins, with what names that. */
  readonly onWait: (holder: string) => void
}

/** Milliseconds after which other work and Ctrl-C get their turn. */
const longestTurn = 50

/**
 * Writes the files of a cache mount as a tar: the same files give the same bytes. The entry of its root has the owner and
 * the mode that the cache was asked for with. Builds that use it are waited for, and wait. Throws CACHE_UNKNOWN,
 * CACHE_AMBIGUOUS, LAYER_UNSAFE for a file whose name is a whiteout's, CANCELED.
 */
export async function exportCacheMount(
  store: Store,
  text: string,
  sink: TarSink,
  { signal, onWait }: TransferOptions,
): Promise<void> {
  const mount = cacheMountNamed(store, text)
  const { files, lock } = await holdCacheMount(store, mount.name, 'locked', { signal, onWait })
  using _lock = lock
  if (tryLstat(files) === undefined) throw new CairnError('CACHE_UNKNOWN', `no such cache mount: ${text}`)
  const writer = new LayerWriter(sink)
  using packer = new DirectoryPacker(writer, files)
  const { uid, gid, mode } = mount
  const root = { ...packer.status(''), uid, gid, mode, mtimeSeconds: 0, mtimeNanoseconds: 0 }
  packer.add('', root, packer.xattrs('').kept)
  let turn = performance.now()
  const pending = packer.list('').reverse()
  for (let path = pending.pop(); path !== undefined; path = pending.pop()) {
    const status = packer.status(path)
    packer.add(path, status, packer.xattrs(path).kept)
    if (status.type === 'directory') for (const name of packer.list(path).reverse()) pending.push(`${path}/${name}`)
    if (performance.now() - turn < longestTurn) continue
    await Bun.sleep(0)
    signal.throwIfAborted()
    turn = performance.now()
  }
  writer.finish()
}

/** Owner and mode that steps ask for a cache mount with; what is left out is as the archive has its root. */
export type ImportedOwner = Partial<Pick<CacheMountIdentity, 'uid' | 'gid' | 'mode'>>

/**
 * Makes the cache mount `id` of the files in an archive: a tar, plain or compressed. What it held before is gone then,
 * and stays when the archive is wrong. Nothing is made outside of it. Throws TAR_INVALID, COMPRESSION_INVALID,
 * LAYER_UNSAFE, LIMIT_EXCEEDED, CANCELED, and what `source` fails with.
 *
 * @param name - how errors call the archive
 */
export async function importCacheMount(
  store: Store,
  id: string,
  source: ByteSource,
  { name, owner, signal, onWait }: TransferOptions & { readonly name: string; readonly owner: ImportedOwner },
): Promise<Pick<CacheMount, 'id' | 'name'>> {
  if (id === '') throw usageError('a cache mount needs an id')
  recover(store)
  const directory = store.session.temporaryPath('import')
  makeDirectories(directory, 0o755)
  changeModeAt(AT_FDCWD, directory, 0o755)
  await unpack(store, source, directory, name)
  const identity: CacheMountIdentity = { id, ...identityOf(directory, owner) }
  changeOwnerAt(AT_FDCWD, directory, identity.uid, identity.gid)
  changeModeAt(AT_FDCWD, directory, identity.mode)
  const held: HeldCacheMount = await holdCacheMount(store, cacheMountName(identity), 'locked', { signal, onWait })
  using _lock = held.lock
  replaceCacheMount(store, held, identity, directory)
  return { id, name: held.name }
}

function identityOf(directory: string, owner: ImportedOwner): Required<ImportedOwner> {
  const { uid, gid, mode } = lstat(directory)
  return { uid, gid, mode, ...owner }
}

async function unpack(store: Store, source: ByteSource, directory: string, name: string): Promise<void> {
  const { layerBytes: maxBytes, ratio: maxRatio, tar: limits } = store.limits
  try {
    const archive = wholeArchive(decompress(source, { name, maxBytes, maxRatio }), name)
    await applyLayer(archive, directory, { mode: 'plain', name, limits })
  } catch (error) {
    if (!isCairnError(error, 'TAR_INVALID')) throw error
    throw new CairnError('TAR_INVALID', `${name} is no archive of a cache mount: ${error.message}`, {
      cause: error,
      hint: 'It has to be a tar, as it is or compressed with gzip, bzip2, xz or zstd.',
    })
  }
}

const blockSize = 512

/** The bytes of a tar; fails with TAR_INVALID at the end of one without its closing blocks, which is cut off or none. */
async function* wholeArchive(source: ByteSource, name: string): ByteSource {
  let last = new Uint8Array()
  for await (const bytes of source) {
    last = new Uint8Array(Buffer.concat([last, bytes.subarray(-blockSize)]).subarray(-blockSize))
    yield bytes
  }
  if (last.length < blockSize || last.some((byte) => byte !== 0))
    throw new CairnError('TAR_INVALID', `${name} is empty or cut off: its closing blocks are missing`)
}
