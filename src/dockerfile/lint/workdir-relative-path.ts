import { quoteGo } from '../characters.ts'
import { type LintRule, ruleUrl } from './rule.ts'

/** The first WORKDIR of a stage and those below it decides where all others are; the base image's may change. */
export const workdirRelativePath: LintRule = {
  name: 'WorkdirRelativePath',
  description:
    'Relative workdir without an absolute workdir declared within the build can have unexpected results if the base image changes',
  url: ruleUrl('workdir-relative-path'),
  on: {
    workdir({ path, isFirst }, report) {
      if (!isFirst || path.startsWith('/')) return
      report(`Relative workdir ${quoteGo(path)} can have unexpected results if the base image changes`)
    },
  },
}
