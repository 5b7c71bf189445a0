import { formatPlatform, normalizePlatform, type Platform } from '../../oci/platform.ts'
import { quoteGo } from '../characters.ts'
import type { LintRule } from './rule.ts'

/** A base image that exists for one platform only, and not for the one that is built for. */
export const invalidBaseImagePlatform: LintRule = {
  name: 'InvalidBaseImagePlatform',
  description: 'Base image platform does not match expected target platform',
  on: {
    baseImage({ name, expected, actual }, report) {
      if (expected.os === actual.os && expected.architecture === actual.architecture) return
      const [found, wanted] = [actual, expected].map((platform) => quoteGo(withVersion(platform)))
      report(`Base image ${name} was pulled with platform ${found}, expected ${wanted} for current build`)
    },
  },
}

/** `windows(10.0.20348.4171)/amd64`, as containerd's platforms.FormatAll. */
function withVersion(platform: Platform): string {
  const normal = normalizePlatform(platform)
  const version = normal['os.version']
  return formatPlatform(version === undefined ? normal : { ...normal, os: `${normal.os}(${version})` })
}
