import type { Digest } from '../../oci/digest.ts'

/** The rows so that each comes after all of those that lead to it. */
export function parentsFirst<Row>(
  rows: ReadonlyMap<Digest, Row>,
  childrenOf: (digest: Digest) => readonly Digest[],
): Row[] {
  const parents = new Map<Digest, number>()
  for (const digest of rows.keys())
    for (const child of childrenOf(digest)) parents.set(child, (parents.get(child) ?? 0) + 1)
  const ordered: Row[] = []
  const queue = [...rows.keys()].filter((digest) => (parents.get(digest) ?? 0) === 0)
  for (let digest = queue.pop(); digest !== undefined; digest = queue.pop()) {
    const row = rows.get(digest)
    if (row !== undefined) ordered.push(row)
    for (const child of childrenOf(digest)) {
      const left = (parents.get(child) ?? 0) - 1
      parents.set(child, left)
      if (left === 0 && rows.has(child)) queue.push(child)
    }
  }
  return ordered
}
