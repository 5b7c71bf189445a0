import { listDirectory } from '../linux/directories.ts'
import { type FileStatus, lstat } from '../linux/file-status.ts'
import { AT_FDCWD } from '../linux/files.ts'
import { setTimesAt } from '../linux/names.ts'

/** Modification times at or after `from` become `to`; both in seconds since 1970. */
export interface TimeRule {
  readonly from: number
  readonly to: number
}

/**
 * Gives all files of an overlay's upper directory the times that its layer will have: by `rule`, and in whole seconds.
 * Whoever reads the directory then sees what is in the tar. Symlinks are not followed, whiteouts are left alone. Throws
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

function settle(path: string, status: FileStatus, { from, to }: TimeRule): void {
  const { type, rdevMajor, rdevMinor, mtimeSeconds, mtimeNanoseconds } = status
  if (type === 'character-device' && rdevMajor === 0 && rdevMinor === 0) return
  const settled = mtimeSeconds >= from ? to : mtimeSeconds
  if (settled !== mtimeSeconds || mtimeNanoseconds !== 0) setTimesAt(AT_FDCWD, path, settled, 0)
}
