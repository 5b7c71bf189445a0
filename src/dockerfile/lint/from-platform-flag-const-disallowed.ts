import { isCairnError } from '../../errors/error.ts'
import { parsePlatform, type Platform } from '../../oci/platform.ts'
import { quoteGo } from '../characters.ts'
import { type LintRule, ruleUrl } from './rule.ts'

/** `FROM --platform=linux/amd64`, unless the stage's name says that it is for that system or architecture. */
export const fromPlatformFlagConstDisallowed: LintRule = {
  name: 'FromPlatformFlagConstDisallowed',
  description: 'FROM --platform flag should not use a constant value',
  url: ruleUrl('from-platform-flag-const-disallowed'),
  on: {
    fromPlatform({ expanded, stageName = '' }, report) {
      if (expanded.matched.size > 0 || expanded.unmatched.size > 0) return
      const platform = platformOf(expanded.result)
      if (platform === undefined || stageName.includes(platform.os) || stageName.includes(platform.architecture)) return
      report(`FROM --platform flag should not use constant value ${quoteGo(expanded.result)}`)
    },
  },
}

/** Undefined for what is no platform; the plan says so. */
function platformOf(text: string): Platform | undefined {
  try {
    return parsePlatform(text)
  } catch (error) {
    if (isCairnError(error)) return undefined
    throw error
  }
}
