import type { FileSource, Op } from '../build/graph.ts'
import type { ContentSelector } from './buildkit-content.ts'
import { textFileKey } from './buildkit-file-op.ts'
import type { BuildkitInput, BuildkitKey } from './buildkit-key.ts'

/** Where a step takes files from. What has the same identity is one input to BuildKit. */
export interface InputOrigin {
  readonly identity: string | Op
  readonly from: { readonly op: Op } | { readonly step: BuildkitKey } | { readonly contextName: string | undefined }
}

/** The inputs of a step by their numbers, in the order they are met. */
export class Inputs {
  readonly #origins = new Map<string | Op, InputOrigin>()

  get count(): number {
    return this.#origins.size
  }

  /** -1 for the empty filesystem. */
  numberOf(origin: InputOrigin | undefined): number {
    if (origin === undefined) return -1
    if (!this.#origins.has(origin.identity)) this.#origins.set(origin.identity, origin)
    return [...this.#origins.keys()].indexOf(origin.identity)
  }

  map<Value>(value: (number: number, origin: InputOrigin) => Value): Value[] {
    return [...this.#origins.values()].map((origin, number) => value(number, origin))
  }
}

/** An origin as an input of which these paths are read; a build context counts by what the selectors pick there. */
export function asInput({ from }: InputOrigin, selector: string, selectors: readonly ContentSelector[]): BuildkitInput {
  return 'contextName' in from
    ? { context: { name: from.contextName, selectors }, selector: '' }
    : { ...from, selector }
}

/** The files of a COPY or a mount; undefined for the empty filesystem. */
export function originOf(source: FileSource): InputOrigin | undefined {
  if (source.from === 'op') return source.op === undefined ? undefined : resultOrigin(source.op)
  const { name } = source
  return { identity: name === undefined ? 'context' : `context ${name}`, from: { contextName: name } }
}

/** The result of a step. An image is one input however often it is named. */
export function resultOrigin(op: Op): InputOrigin {
  return { identity: op.kind === 'base' ? `image ${op.image.name} ${op.image.digest}` : op, from: { op } }
}

/** A step of BuildKit's own. */
export function stepOrigin(step: BuildkitKey, identity: string): InputOrigin {
  return { identity, from: { step } }
}

/** A file with a text, alone on an empty filesystem. */
export function textFileOrigin(name: string, mode: number, content: string): InputOrigin {
  const digest = textFileKey(name, mode, content)
  return stepOrigin({ digest, inputs: [] }, digest)
}
