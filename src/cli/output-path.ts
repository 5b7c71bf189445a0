import { SystemCallError } from '../linux/errno.ts'
import { stat } from '../linux/file-status.ts'
import { CairnError } from '../errors/error.ts'

/**
 * Throws FILE_UNKNOWN with docker's text where the directory of a file that is to be written is not there. `failure` is
 * what failed: `failed to save image`.
 */
export function checkOutputPath(path: string, failure: string): void {
  const slash = path.lastIndexOf('/')
  const directory = slash > 0 ? path.slice(0, slash) : '.'
  try {
    stat(directory)
  } catch (error) {
    if (!(error instanceof SystemCallError) || error.code !== 'FILE_UNKNOWN') throw error
    const message = `${failure}: invalid output path: stat ${directory}: no such file or directory`
    throw new CairnError('FILE_UNKNOWN', message, { cause: error })
  }
}
