import type { Store } from '../../content/store.ts'
import { CairnError } from '../../errors/error.ts'
import { errno, isErrno } from '../../linux/errno.ts'
import { AT_FDCWD, close, fsync, open, openFlags, read, tryOpen, write } from '../../linux/files.ts'
import { linkAt, makeDirectories, removeFile } from '../../linux/names.ts'

const keySize = 32
const largestKey = 4096

/**
 * The key that signs tokens of the registry: what `path` holds, at least 32 bytes, else a key of the store's own, made
 * when it is first needed. Servers that share repositories need the same one. Throws CONFIG_INVALID.
 */
export async function registryTokenKey(store: Store, path: string | undefined): Promise<Uint8Array> {
  if (path === undefined) return ownKey(store)
  const key = tryRead(path)
  if (key === undefined || key.length < keySize)
    throw new CairnError('CONFIG_INVALID', `the key of tokens ${path} has not the ${keySize} bytes it needs`, {
      hint: `Make one with: head -c ${keySize} /dev/urandom > ${path}`,
    })
  return key
}

function ownKey(store: Store): Uint8Array {
  const path = store.path('registry', 'token-key')
  const known = tryRead(path)
  if (known !== undefined) return known
  makeDirectories(store.path('registry'), 0o700)
  const temporary = store.session.temporaryPath('token-key')
  const fd = open(temporary, openFlags.O_WRONLY | openFlags.O_CREAT | openFlags.O_EXCL, 0o600)
  try {
    write(fd, crypto.getRandomValues(new Uint8Array(new ArrayBuffer(keySize))), temporary)
    fsync(fd, temporary)
    // The first of several servers wins; it is whole from the start.
    linkAt(AT_FDCWD, temporary, AT_FDCWD, path)
  } catch (error) {
    if (!isErrno(error, errno.EEXIST)) throw error
  } finally {
    close(fd)
    removeFile(temporary)
  }
  return ownKey(store)
}

function tryRead(path: string): Uint8Array | undefined {
  const fd = tryOpen(path, openFlags.O_RDONLY)
  if (fd === undefined) return undefined
  try {
    const bytes = new Uint8Array(new ArrayBuffer(largestKey))
    return bytes.slice(0, read(fd, bytes, path))
  } finally {
    close(fd)
  }
}
