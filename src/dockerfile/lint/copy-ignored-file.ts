import { quoteGo } from '../characters.ts'
import { cleanPath } from '../path-match.ts'
import { type LintRule, ruleUrl } from './rule.ts'

/**
 * A source that the ignore file excludes. Where that has exceptions nothing is said: an excluded directory may hold
 * included files. The root of the context counts as excluded only when all that stands in it is.
 */
export const copyIgnoredFile: LintRule = {
  name: 'CopyIgnoredFile',
  description: 'Attempting to Copy file that is excluded by .dockerignore',
  url: ruleUrl('copy-ignored-file'),
  on: {
    contextSource({ kind, path, ignore }, report) {
      if (ignore.hasExceptions) return
      const clean = cleanPath(path)
      const isRoot = clean === '.' || clean === '/'
      if (isRoot ? !ignore.excludesRootEntries : !ignore.matches(clean)) return
      const command = kind === 'ADD' ? 'Add' : 'Copy'
      report(`Attempting to ${command} file ${quoteGo(clean)} that is excluded by .dockerignore`)
    },
  },
}
