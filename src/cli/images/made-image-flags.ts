import { CairnError } from '../../errors/error.ts'
import { parseReference, type Reference } from '../../oci/reference.ts'
import type { FlagDefinitions } from '../flags.ts'

/** `--change` of what makes an image without a Dockerfile. */
export const changeFlags = {
  change: {
    type: 'stringArray',
    short: 'c',
    value: 'list',
    summary: 'Apply Dockerfile instruction to the created image',
    complete: ['CMD ', 'ENTRYPOINT ', 'ENV ', 'EXPOSE ', 'LABEL ', 'USER ', 'VOLUME ', 'WORKDIR '],
  },
} as const satisfies FlagDefinitions

/** The name of an image that is made now. Throws REFERENCE_INVALID, with `refusal` for one that has a digest. */
export function newImageName(text: string, refusal: string): Reference {
  const reference = parseReference(text)
  if (reference.digest !== undefined)
    throw new CairnError('REFERENCE_INVALID', refusal, { hint: 'Name it with a tag.' })
  return reference
}
