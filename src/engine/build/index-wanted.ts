import { parseGoBool } from '../../dockerfile/go-bool.ts'
import { type CairnError, usageError } from '../../errors/error.ts'

/**
 * Whether a build makes an index: of several platforms, or of one where the build argument BUILDKIT_MULTI_PLATFORM asks
 * for it. Throws USAGE with BuildKit's texts for a value that is none, or that refuses several platforms.
 */
export function isIndexWanted(platformCount: number, buildArgs: ReadonlyMap<string, string>): boolean {
  const isSeveral = platformCount > 1
  const text = buildArgs.get('BUILDKIT_MULTI_PLATFORM') ?? ''
  if (text === '') return isSeveral
  const wanted = parseGoBool(text)
  if (wanted === undefined) throw refused(`invalid boolean value for multi-platform: ${text}`)
  if (!wanted && isSeveral) throw refused('conflicting config: returning multiple target platforms is not allowed')
  return wanted
}

function refused(message: string): CairnError {
  return usageError(message, { hint: 'BUILDKIT_MULTI_PLATFORM is 1 or 0.' })
}
