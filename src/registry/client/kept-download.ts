import { downloadLockName, downloadPath } from '../../content/downloads.ts'
import { tryAcquireLock, withLock } from '../../content/lock.ts'
import type { Store } from '../../content/store.ts'
import { tryLstat } from '../../linux/file-status.ts'
import { AT_FDCWD } from '../../linux/files.ts'
import { linkAt, makeDirectories, removeFile } from '../../linux/names.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import { type DownloadOptions, fetchBlob } from './download.ts'

/** A blob of a registry in a file that is no part of the store. */
export interface KeptDownload {
  /** The file, verified. */
  readonly path: string
  /** Removes the file; the bytes stay for another attempt where `isForLater`. */
  end(isForLater: boolean): void
}

/**
 * Fetches a blob into a file, its digest and size checked. Where this process ends before that, however it ends,
 * the next one that wants the blob does not fetch again what was there: the bytes are those of a pull that was
 * interrupted. Throws as fetchBlob() and withLock().
 */
export async function keepDownload(
  store: Store,
  blob: Descriptor,
  options: Pick<DownloadOptions, 'repositories' | 'signal' | 'firstPause'>,
): Promise<KeptDownload> {
  const kept = downloadPath(store, blob.digest)
  const path = store.session.temporaryPath('download')
  const lock = { signal: options.signal, purpose: 'to download a blob' }
  await withLock(store, downloadLockName(blob.digest), lock, async () => {
    makeDirectories(store.path('downloads'), 0o700)
    await fetchBlob(blob, kept, options)
    // Another process may take the bytes from now on, into the store or by dropping them: this name is our own.
    linkAt(AT_FDCWD, kept, AT_FDCWD, path)
  })
  return {
    path,
    end: (isForLater) => {
      if (!isForLater) drop(store, blob, path, kept)
      removeFile(path)
    },
  }
}

/** Removes what a process that was ended kept of a blob, whole, which is where it was to go by now. */
export function forgetDownload(store: Store, { digest, size }: Descriptor): void {
  const kept = downloadPath(store, digest)
  if (tryLstat(kept)?.size !== size) return
  using lock = tryAcquireLock(store, downloadLockName(digest))
  if (lock !== undefined) removeFile(kept)
}

function drop(store: Store, { digest }: Descriptor, path: string, kept: string): void {
  using lock = tryAcquireLock(store, downloadLockName(digest))
  if (lock !== undefined && isSame(path, kept)) removeFile(kept)
}

function isSame(path: string, other: string): boolean {
  const [one, two] = [tryLstat(path), tryLstat(other)]
  return one !== undefined && one.inode === two?.inode
}
