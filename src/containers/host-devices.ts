import { listDirectory } from '../linux/directories.ts'
import { SystemCallError } from '../linux/errno.ts'
import { tryLstat } from '../linux/file-status.ts'
import type { RuntimeDevice } from '../oci/runtime-spec.ts'

/** Directories of /dev that a container has its own of, or that hold no devices of the host. */
const own = new Set(['pts', 'shm', 'mqueue', 'fd', '.lxc', '.lxd-mounts', '.udev', 'hugepages'])

/** The device files below /dev: what a privileged container gets. */
export function hostDevices(): RuntimeDevice[] {
  return devicesIn('/dev')
}

function devicesIn(directory: string): RuntimeDevice[] {
  return namesIn(directory).flatMap((name): RuntimeDevice[] => {
    const path = `${directory}/${name}`
    const status = tryLstat(path)
    if (status?.type === 'directory') return own.has(name) ? [] : devicesIn(path)
    if (status === undefined || name === 'console') return []
    if (status.type !== 'character-device' && status.type !== 'block-device') return []
    return [
      {
        type: status.type === 'block-device' ? 'b' : 'c',
        path,
        major: status.rdevMajor,
        minor: status.rdevMinor,
        fileMode: status.mode,
        uid: status.uid,
        gid: status.gid,
      },
    ]
  })
}

function namesIn(directory: string): string[] {
  try {
    return listDirectory(directory).map(({ name }) => name)
  } catch (error) {
    // A directory that goes or that nobody may read has no devices to give.
    if (error instanceof SystemCallError) return []
    throw error
  }
}
