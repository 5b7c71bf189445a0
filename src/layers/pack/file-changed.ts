import { CairnError } from '../../errors/error.ts'

/** The error for a file that does not hold what it held when the build looked at it. */
export function fileChanged(path: string): CairnError {
  return new CairnError('FILE_CHANGED', `${path} changed while it was read`, {
    hint: 'Build again when nothing writes to the build context.',
  })
}
