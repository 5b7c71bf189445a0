import { listDirectory } from '../../linux/directories.ts'
import { type FileStatus, lstat } from '../../linux/file-status.ts'
import { AT_FDCWD, close, open, openFlags, pread, pwrite } from '../../linux/files.ts'
import { setTimesAt } from '../../linux/names.ts'

/** Modification times at or after `from` become `to`; both in seconds since 1970. */
export interface TimeRule {
  readonly from: number
  readonly to: number
}

/**
 * Gives all files of an overlay's upper directory the times that its layer will have: by `rule`, and in whole seconds.
 * Whoever reads the directory then sees what is in the tar. By the same rule goes the time that compiled Python holds of
 * its source, without which Python would not use it any more. Symlinks are not followed, whiteouts are left alone. Throws
 * SystemCallError.
 */
export function settleTimes(upper: string, rule: TimeRule): void {
  const pending = [upper]
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop())
    for (const { name } of listDirectory(directory)) {
      const path = `${directory}/${name}`
      const status = lstat(path)
      settle(path, status, rule)
      if (status.type === 'directory') pending.push(path)
    }
  settle(upper, lstat(upper), rule)
}

function settle(path: string, status: FileStatus, rule: TimeRule): void {
  const { type, rdevMajor, rdevMinor, mtimeSeconds, mtimeNanoseconds } = status
  if (type === 'character-device' && rdevMajor === 0 && rdevMinor === 0) return
  const isNew = mtimeSeconds >= rule.from
  if (isNew && type === 'file' && path.endsWith('.pyc')) settleCompiled(path, rule)
  if (isNew || mtimeNanoseconds !== 0) setTimesAt(AT_FDCWD, path, isNew ? rule.to : mtimeSeconds, 0)
}

/** Magic numbers of Python 3.7, the first with this header, and one far above those of today (3.14 has 3627). */
const firstMagic = 3390
const lastMagic = 5000

/**
 * PEP 552: a compiled file begins with a magic number, CR LF, flags and, where these are 0, the modification time of its
 * source. Other flags are those of files that go by the source's content.
 */
function settleCompiled(path: string, { from, to }: TimeRule): void {
  const fd = open(path, openFlags.O_RDWR | openFlags.O_NOFOLLOW)
  try {
    const header = new Uint8Array(12)
    if (pread(fd, header, 0, path) < header.length) return
    const view = new DataView(header.buffer)
    const magic = view.getUint16(0, true)
    if (magic < firstMagic || magic > lastMagic || view.getUint16(2, true) !== 0x0a0d) return
    if (view.getUint32(4, true) !== 0 || view.getUint32(8, true) < from) return
    view.setUint32(8, to, true)
    pwrite(fd, header.subarray(8), 8, path)
  } finally {
    close(fd)
  }
}
