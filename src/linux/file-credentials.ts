import { SystemCallError } from './errno.ts'
import { lastErrno, openLibc, ptr, stableBytes, types } from './libc.ts'

const { i32, u32, ptr: pointer } = types

const libc = openLibc({
  setfsuid: { args: [u32], returns: i32 },
  setfsgid: { args: [u32], returns: i32 },
  capget: { args: [pointer, pointer], returns: i32 },
  capset: { args: [pointer, pointer], returns: i32 },
})

/** linux/capability.h: _LINUX_CAPABILITY_VERSION_3, this thread. */
const header = stableBytes(8)
new Uint32Array(header.buffer)[0] = 0x2008_0522
/** Effective, permitted and inheritable, of the lower and then of the upper 32. */
const sets = stableBytes(24)

/**
 * Calls `work`, which must be synchronous, with the files that this thread makes being owned by others, and with all of its
 * rights still: setfsuid(2) takes some of them. Throws SystemCallError.
 */
export function owningFilesAs<Result>(uid: number, gid: number, work: () => Result): Result {
  const before = capabilities()
  const [ownUid, ownGid] = [libc.setfsuid(uid), libc.setfsgid(gid)]
  try {
    setCapabilities(before)
    return work()
  } finally {
    libc.setfsuid(ownUid)
    libc.setfsgid(ownGid)
    setCapabilities(before)
  }
}

function capabilities(): Uint8Array {
  if (libc.capget(ptr(header), ptr(sets)) !== 0) throw new SystemCallError('capget', lastErrno())
  return sets.slice()
}

function setCapabilities(wanted: Uint8Array): void {
  sets.set(wanted)
  if (libc.capset(ptr(header), ptr(sets)) !== 0) throw new SystemCallError('capset', lastErrno())
}
