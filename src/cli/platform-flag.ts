import { isCairnError, reworded } from '../errors/error.ts'
import { parsePlatform, type Platform } from '../oci/platform.ts'

/** The definition of `--platform` for commands that read the image of one platform. */
export const platformFlag = {
  type: 'string',
  value: 'platform',
  summary: 'Of an image for several platforms, take this one. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")',
} as const

/** The value of `--platform` of commands that bring an image here or make one: where it is not given, that of DOCKER_DEFAULT_PLATFORM. */
export function withDefaultPlatform(
  env: Readonly<Record<string, string | undefined>>,
  text: string | undefined,
): string | undefined {
  return text ?? env['DOCKER_DEFAULT_PLATFORM']
}

/** The value of the flag; an empty one is as good as none. Throws PLATFORM_INVALID. */
export function platformOfFlag(text: string | undefined): Platform | undefined {
  return text === undefined || text === '' ? undefined : parsePlatform(text)
}

/** As {@link platformOfFlag} for commands whose client checks the value, with docker's text. */
export function checkedPlatformOfFlag(text: string | undefined): Platform | undefined {
  try {
    return platformOfFlag(text)
  } catch (error) {
    if (!isCairnError(error, 'PLATFORM_INVALID')) throw error
    throw reworded(error, `invalid platform: ${error.message}`)
  }
}
