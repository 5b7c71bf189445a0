import { formatPlatform, type Platform } from '../../oci/platform.ts'
import type { BaseImage } from '../graph.ts'
import { findContext, type OpenedContext } from './named-contexts.ts'
import type { PlanOptions } from './plan-options.ts'
import type { StageNode } from './stage-node.ts'

/** Finds what stages stand on: each image and each `--build-context` once. */
export class Bases {
  readonly #options: PlanOptions
  readonly #targetPlatform: Platform
  readonly #images = new Map<string, Promise<BaseImage>>()
  readonly #contexts = new Map<string, Promise<OpenedContext>>()

  constructor(options: PlanOptions, targetPlatform: Platform) {
    this.#options = options
    this.#targetPlatform = targetPlatform
  }

  /** Fills in what `node` stands on. Throws what finding it throws. */
  async resolve(node: StageNode): Promise<void> {
    const platform = node.platform ?? this.#targetPlatform
    const { resolveImage, namedContexts } = this.#options
    const name = node.replacedBy ?? findContext(namedContexts, node.baseName, platform)
    if (name !== undefined && namedContexts !== undefined) {
      const opened = await once(this.#contexts, `${name} ${formatPlatform(platform)}`, () =>
        namedContexts.open(name, platform),
      )
      if (opened.kind === 'image') node.image = opened.image
      if (opened.kind === 'files') node.context = opened.name
      if (opened.kind !== 'empty') node.contextTitle = opened.title
    } else if (node.baseName !== 'scratch') {
      const { baseName } = node
      node.image = await once(this.#images, `${baseName} ${formatPlatform(platform)}`, () =>
        resolveImage(baseName, platform),
      )
    }
    node.isResolved = true
    node.hasUnknownBase = node.image?.isStandIn === true
  }
}

/** The value under `key`, begun by `make` for the first who asks. */
function once<Value>(values: Map<string, Promise<Value>>, key: string, make: () => Promise<Value>): Promise<Value> {
  let value = values.get(key)
  if (value === undefined) values.set(key, (value = make()))
  return value
}
