import { type LintRule, ruleUrl } from './rule.ts'

/** MAINTAINER. */
export const maintainerDeprecated: LintRule = {
  name: 'MaintainerDeprecated',
  description: 'The MAINTAINER instruction is deprecated, use a label instead to define an image author',
  url: ruleUrl('maintainer-deprecated'),
  on: {
    instruction({ kind }, report) {
      if (kind === 'MAINTAINER') report('Maintainer instruction is deprecated in favor of using label')
    },
  },
}
