import { formatPlatform, normalizePlatform, parsePlatform, type Platform } from '../../oci/platform.ts'
import { familiarString, parseReference } from '../../oci/reference.ts'
import { isCairnError } from '../../errors/error.ts'
import type { BaseImage } from '../graph.ts'

/** What a `--build-context` comes to once it is opened. */
export type OpenedContext =
  | { readonly kind: 'image'; readonly image: BaseImage; readonly title: string }
  /** Files, which the build's contexts have under the name. */
  | { readonly kind: 'files'; readonly name: string; readonly title: string }
  /** `docker-image://scratch`. */
  | { readonly kind: 'empty' }

/** The `--build-context`s of a build by their names. */
export interface NamedContexts {
  has(name: string): boolean
  /** Opens the one of a name that it has, for a platform. Called once for each. */
  open(name: string, platform: Platform): Promise<OpenedContext>
}

/**
 * The name under which a `--build-context` stands: that of an image in its short form, without `:latest`. A platform
 * may follow as `alpine::linux/arm64`. Throws REFERENCE_INVALID, PLATFORM_INVALID.
 */
export function contextName(text: string): string {
  const [name = '', platform] = text.split('::', 2)
  const short = familiarString(parseReference(name)).replace(/:latest$/, '')
  return platform === undefined ? short : `${short}::${formatPlatform(parsePlatform(platform))}`
}

/**
 * The name of the context that takes the place of a stage or image: that for the platform before that for all. Nothing
 * takes the place of `scratch`, and `context` is the main one.
 */
export function findContext(contexts: NamedContexts | undefined, name: string, platform: Platform): string | undefined {
  if (contexts === undefined || /^(?:scratch|context)$/i.test(name)) return undefined
  let short: string
  try {
    short = contextName(name)
  } catch (error) {
    // Names of stages and ordinary words are not all names of images: whoever needs an image of the name will say so.
    if (isCairnError(error, 'REFERENCE_INVALID')) return undefined
    throw error
  }
  const forPlatform = `${short}::${formatPlatform(normalizePlatform(platform))}`
  return [forPlatform, short].find((key) => contexts.has(key))
}
