import { CairnError } from '../errors/error.ts'
import { tryLstat } from '../linux/file-status.ts'

/** Where the runtimes mount before anything else, and make files. */
const mountPoints = ['proc', 'sys', 'dev']

/**
 * Throws CONFIG_INVALID (status 125) for a root file system, mounted at `path`, where something else than a directory is
 * where the runtimes mount. Behind a symlink crun (1.8 at least) makes the device files of a container on the host.
 */
export function checkRootFileSystem(path: string): void {
  for (const name of mountPoints) {
    const type = tryLstat(`${path}/${name}`)?.type
    if (type !== undefined && type !== 'directory')
      throw new CairnError('CONFIG_INVALID', `/${name} of the image is a ${type}, not a directory`, { exitCode: 125 })
  }
}
