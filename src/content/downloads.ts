import { tryListDirectory } from '../linux/directories.ts'
import { modifiedAt, tryLstat } from '../linux/file-status.ts'
import { removeFile } from '../linux/names.ts'
import { type Digest, isDigest } from '../oci/digest.ts'
import { tryAcquireLock } from './lock.ts'
import type { Store } from './store.ts'

/** Milliseconds that the beginning of a blob is kept after its last byte came. */
const keptFor = 7 * 24 * 60 * 60 * 1000

/** What excludes processes that would download one blob. */
export function downloadLockName(digest: Digest): string {
  return `download ${digest}`
}

/**
 * The file with the first bytes of a blob that was not fetched to its end, so that the next attempt goes on there. It is
 * no part of a session: it outlives its process, and goes when nobody went on for a week. To be written under the lock
 * {@link downloadLockName}.
 */
export function downloadPath(store: Store, digest: Digest): string {
  return store.path('downloads', digest.replace(':', '-'))
}

/** Removes beginnings of blobs that nobody went on with since, a week ago unless `before` (milliseconds since 1970) says. */
export function removeOldDownloads(store: Store, before = Date.now() - keptFor): number {
  let removed = 0
  for (const { name } of tryListDirectory(store.path('downloads'))) {
    const digest = name.replace('-', ':')
    const path = store.path('downloads', name)
    const status = tryLstat(path)
    if (status === undefined || modifiedAt(status) >= before || !isDigest(digest)) continue
    using lock = tryAcquireLock(store, downloadLockName(digest))
    if (lock === undefined) continue
    removeFile(path)
    removed++
  }
  return removed
}
