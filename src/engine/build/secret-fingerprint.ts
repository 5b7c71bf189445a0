import type { SecretSource } from '../../build/build-secrets.ts'
import type { Store } from '../../content/store.ts'
import { errno, isErrno } from '../../linux/errno.ts'
import { tryLstat } from '../../linux/file-status.ts'
import { AT_FDCWD } from '../../linux/files.ts'
import { linkAt, makeDirectories, removeFile } from '../../linux/names.ts'
import { readTextFile, writeTextFile } from '../../linux/text-file.ts'

/**
 * Stands for the values of secrets with `cache=key` in the keys of steps: a digest under a key that only this store has,
 * so that nobody who sees it can try values out. Undefined for other secrets, whose values do not count.
 */
export function secretFingerprint(
  store: Store,
  secrets: ReadonlyMap<string, SecretSource>,
): (id: string) => string | undefined {
  return (id) => {
    const source = secrets.get(id)
    if (source?.from !== 'memory') return undefined
    const hasher = new Bun.CryptoHasher('sha256', storeKey(store)).update(`${id}\0`).update(source.value)
    return hasher.digest('hex').slice(0, 32)
  }
}

/** 32 random bytes in hex, made when they are first asked for; readable for the store's owner only. */
function storeKey(store: Store): string {
  const path = store.path('builds', 'secret-key')
  if (tryLstat(path) === undefined) {
    const temporary = store.session.temporaryPath('secret-key')
    writeTextFile(temporary, Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString('hex'), 0o600)
    makeDirectories(store.path('builds'))
    keepFirst(temporary, path)
  }
  return readTextFile(path) ?? ''
}

/** Gives the file its place unless another process was first, whose key is as good. */
function keepFirst(temporary: string, path: string): void {
  try {
    linkAt(AT_FDCWD, temporary, AT_FDCWD, path)
  } catch (error) {
    if (!isErrno(error, errno.EEXIST)) throw error
  } finally {
    removeFile(temporary)
  }
}
