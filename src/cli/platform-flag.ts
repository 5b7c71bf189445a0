import { parsePlatform, type Platform } from '../oci/platform.ts'

/** The definition of `--platform` for commands that read the image of one platform. */
export const platformFlag = {
  type: 'string',
  value: 'platform',
  summary: 'Of an image for several platforms, take this one. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")',
} as const

/** The value of the flag. Throws PLATFORM_INVALID. */
export function platformOfFlag(text: string | undefined): Platform | undefined {
  return text === undefined ? undefined : parsePlatform(text)
}
