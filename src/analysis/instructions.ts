import type { ImageConfig } from '../oci/config.ts'

/** What a layer was made by. */
export interface LayerOrigin {
  /** As the history has it; '' where that does not tell. */
  readonly createdBy: string
  /** The instruction without the builder's own words around it. */
  readonly instruction: string
  /** RFC 3339; '' where it is not told. */
  readonly created: string
}

/** For each layer, base first, the step of the history that made it. Steps that made no layer are left out. */
export function layerOrigins(config: ImageConfig): readonly LayerOrigin[] {
  const steps = (config.history ?? []).filter((step) => step.empty_layer !== true)
  return config.rootfs.diff_ids.map((_, index) => {
    const { created_by: createdBy = '', comment = '', created = '' } = steps[index] ?? {}
    return { createdBy, created, instruction: instructionOf(createdBy) || comment }
  })
}

/**
 * The Dockerfile's instruction in an entry of the history: without the shell of RUN and the arguments before it
 * (`|1 A=b /bin/sh -c`), without `#(nop)` of docker's classic builder, and without BuildKit's mark at the end.
 */
export function instructionOf(createdBy: string): string {
  const text = createdBy.replace(/\s*# buildkit\s*$/, '').trim()
  const nop = /^\/bin\/sh -c #\(nop\)\s+/.exec(text)
  if (nop !== null) return text.slice(nop[0].length)
  const command = text.replace(/^RUN (?=\||\/|\w{0,4}sh )/, '')
  // Arguments may hold anything; the first shell after them is taken for that of RUN.
  const run = (/^\|\d/.test(command) ? shell : firstShell).exec(command)
  return run === null ? text : `RUN ${command.slice(run.index + run[0].length)}`
}

/** `/bin/sh -c`, `/bin/bash -o pipefail -c`. All repetitions are bounded, so the search is linear. */
const shell = /(?<!\S)(?:\/[\w./-]{0,64}\/)?(?:ba|da|a|z)?sh (?:-[a-z]{1,8} (?:pipefail )?){0,4}-[a-z]{0,8}c /
const firstShell = new RegExp(`^${shell.source}`)
