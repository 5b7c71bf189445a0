import { isCairnError } from '../../errors/error.ts'
import { parseReference } from '../../oci/reference.ts'
import { type LintRule, ruleUrl } from './rule.ts'

/** A FROM that only a `--build-arg` makes valid. */
export const invalidDefaultArgInFrom: LintRule = {
  name: 'InvalidDefaultArgInFrom',
  description: 'Default value for global ARG results in an empty or invalid base image name',
  url: ruleUrl('invalid-default-arg-in-from'),
  on: {
    defaultBase({ written, expanded }, report) {
      if (!isReference(expanded)) report(`Default value for ARG ${written} results in empty or invalid base image name`)
    },
  },
}

function isReference(text: string): boolean {
  try {
    parseReference(text)
    return true
  } catch (error) {
    if (isCairnError(error)) return false
    throw error
  }
}
