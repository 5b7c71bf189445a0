import { CairnError } from '../../errors/error.ts'

/**
 * `name`, the delimiter of a here-document, as the name of the file that the document becomes. Throws STEP_INVALID for
 * one that leads elsewhere: the file is written on the host, or in a directory of the image that was not named.
 */
export function heredocFileName(name: string): string {
  if (name !== '.' && name !== '..' && !/[/\0]/.test(name)) return name
  throw new CairnError('STEP_INVALID', `the here-document ${JSON.stringify(name)} cannot be a file of that name`, {
    hint: 'The delimiter of a here-document is the name of its file: choose one without a slash.',
  })
}
