import type { ImageConfig } from '../../oci/config.ts'
import { normalizePlatform, type Platform } from '../../oci/platform.ts'
import type { PlanOptions } from './plan-options.ts'
import type { StageState } from './stage-state.ts'

/** The configuration of the image that the target stage becomes, but for what only its layers tell. */
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
  const { created: _created, history: _history, rootfs: _rootfs, variant: _variant, ...kept } = base ?? {}
  return {
    ...kept,
    ...(author === undefined || author === '' ? {} : { author }),
    architecture: platform.architecture,
    os: platform.os,
    ...(platform.variant === undefined ? {} : { variant: platform.variant }),
    config: state.imageConfig,
    history: state.history,
    rootfs: { type: 'layers', diff_ids: [] },
  }
}
