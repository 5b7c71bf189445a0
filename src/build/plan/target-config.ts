import { CairnError } from '../../errors/error.ts'
import type { ImageConfig } from '../../oci/config.ts'
import { largestDocument } from '../../oci/json-document.ts'
import { normalizePlatform, type Platform } from '../../oci/platform.ts'
import type { PlanOptions } from './plan-options.ts'
import type { StageState } from './stage-state.ts'

/**
 * The configuration of the image that the target stage becomes, but for what only its layers tell. Throws LIMIT_EXCEEDED where it is
 * longer than any that is read.
 */
export function targetConfig(state: StageState, options: PlanOptions, targetPlatform: Platform): ImageConfig {
  const { base, author } = state
  if (options.labels.size > 0) state.setLabels(options.labels)
  const platform = normalizePlatform(
    options.platform !== undefined || base === undefined
      ? targetPlatform
      : {
          os: base.os,
          architecture: base.architecture,
          ...(base.variant === undefined ? {} : { variant: base.variant }),
        },
  )
  // As with BuildKit nothing else of the base is kept: an inline cache, or what an old builder noted, is of that image alone.
  const { 'os.version': osVersion, 'os.features': osFeatures } = base ?? {}
  const config: ImageConfig = {
    ...(osVersion === undefined ? {} : { 'os.version': osVersion }),
    ...(osFeatures === undefined ? {} : { 'os.features': osFeatures }),
    ...(author === undefined || author === '' ? {} : { author }),
    architecture: platform.architecture,
    os: platform.os,
    ...(platform.variant === undefined ? {} : { variant: platform.variant }),
    config: state.imageConfig,
    history: state.history,
    rootfs: { type: 'layers', diff_ids: [] },
  }
  // What is far too long is not even put together.
  const written = (config.history ?? []).reduce((sum, { created_by: text = '' }) => sum + text.length, 0)
  const size = written > largestDocument ? written : Buffer.byteLength(JSON.stringify(config))
  if (size > largestDocument)
    throw new CairnError(
      'LIMIT_EXCEEDED',
      `the image's configuration has ${size} bytes, more than the ${largestDocument} that tools and registries accept`,
      {
        hint: 'It holds each instruction, with its variables, and all labels: COPY long scripts, and set fewer variables.',
      },
    )
  return config
}
