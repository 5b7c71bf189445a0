import { formatPlatform, normalizePlatform } from '../../oci/platform.ts'
import { quoteGo } from '../characters.ts'
import type { LintRule } from './rule.ts'

/** A base image that exists for one platform only, and not for the one that is built for. */
export const invalidBaseImagePlatform: LintRule = {
  name: 'InvalidBaseImagePlatform',
  description: 'Base image platform does not match expected target platform',
  on: {
    baseImage({ name, expected, actual }, report) {
      if (expected.os === actual.os && expected.architecture === actual.architecture) return
      const [found, wanted] = [actual, expected].map((platform) => quoteGo(formatPlatform(normalizePlatform(platform))))
      report(`Base image ${name} was pulled with platform ${found}, expected ${wanted} for current build`)
    },
  },
}
