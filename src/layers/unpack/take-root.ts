import { lstat } from '../../linux/file-status.ts'
import { AT_FDCWD } from '../../linux/files.ts'
import { changeModeAt, changeOwnerAt, setTimesAt } from '../../linux/names.ts'
import { setXattr } from '../../linux/xattrs.ts'
import { layerXattrs } from '../layer-xattrs.ts'

/**
 * Gives a layer's directory mode, owner, time and attributes of the directory of the layer below: overlayfs shows the
 * root of the topmost layer, and most layers do not describe it. Throws SystemCallError.
 */
export function takeRootFrom(below: string, directory: string): void {
  const { mode, uid, gid, mtimeSeconds, mtimeNanoseconds } = lstat(below)
  changeOwnerAt(AT_FDCWD, directory, uid, gid)
  for (const [name, value] of layerXattrs(below)) setXattr(directory, name, value)
  changeModeAt(AT_FDCWD, directory, mode)
  setTimesAt(AT_FDCWD, directory, mtimeSeconds, mtimeNanoseconds)
}
