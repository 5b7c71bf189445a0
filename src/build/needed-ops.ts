import { fileSources } from './cache-key.ts'
import type { FileSource, Op } from './graph.ts'

/** The steps whose results the key of an op depends on: what it stands on, and what it copies from or mounts. */
export function neededOps(op: Op): readonly Op[] {
  return [...new Set([...(op.parent === undefined ? [] : [op.parent]), ...keyedSources(op)])]
}

/** An op and all that it stands on, the lowest first. */
export function stackOf(target: Op | undefined): Op[] {
  const ops: Op[] = []
  for (let op = target; op !== undefined; op = op.parent) ops.unshift(op)
  return ops
}

/** The steps whose files an op reads while it runs. Those that a new cache mount begins with are in no key. */
export function readOps(op: Op): ReadonlySet<Op> {
  const mounts = op.kind === 'run' ? op.mounts : []
  return new Set([
    ...keyedSources(op),
    ...mounts.flatMap((mount) => (mount.type === 'cache' ? opOf(mount.source) : [])),
  ])
}

/** All steps that a result comes from in any way, itself among them; parents first. */
export function opsBehind(target: Op | undefined): readonly Op[] {
  const found = new Set<Op>(target === undefined ? [] : [target])
  // What is added meanwhile is visited, too.
  for (const op of found) {
    if (op.parent !== undefined) found.add(op.parent)
    for (const source of readOps(op)) found.add(source)
  }
  return [...found].toSorted((a, b) => a.id - b.id)
}

function keyedSources(op: Op): Op[] {
  return fileSources(op).flatMap(({ source }) => opOf(source))
}

function opOf(source: FileSource | undefined): Op[] {
  return source?.from === 'op' && source.op !== undefined ? [source.op] : []
}
