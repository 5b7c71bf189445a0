import { chainIds } from '../oci/config.ts'
import type { BaseOp, Op, WorkdirOp } from '../build/graph.ts'
import { digestOf } from '../oci/digest.ts'
import { goJson } from '../oci/go-json.ts'
import { copyKeys, type RemoteKey } from './buildkit-copy.ts'
import { mkdirAction, fileKey, ownerOf } from './buildkit-file-op.ts'
import { type BuildkitKey, platformFields, recordDigest, sourceKey } from './buildkit-key.ts'
import { runKeys } from './buildkit-run.ts'

/**
 * The digests that BuildKit's records of a base image have: by the manifest or index that its name led to, and by its
 * layers (source/containerimage, solver/ops/source.go).
 */
export function buildkitBaseKeys({ image: { digest, index, config }, platform }: BaseOp): readonly string[] {
  const chain = chainIds(config.rootfs.diff_ids).at(-1)
  if (chain === undefined) return []
  const manifests = [...new Set(index === undefined ? [digest] : [index, digest])].map((named) =>
    digestOf(goJson(new Map<string, unknown>([['Digest', named], ...platformFields(platform)]))),
  )
  return [...manifests, chain].map(sourceKey)
}

/** The digest of the record for what a context has at some paths, whose content hash this is. */
export function buildkitContentKey(contentHash: string): string {
  return recordDigest(contentHash, -1)
}

/**
 * What BuildKit (solver/llbsolver/ops, frontend/dockerfile2llb) would look a step up by, by its versions; none for steps
 * of which Cairn does not know it to the letter. A key that is wrong in any way is another digest and finds nothing.
 */
export function buildkitKeys(op: Exclude<Op, BaseOp>, remoteKey: RemoteKey): readonly BuildkitKey[] {
  switch (op.kind) {
    case 'run':
      return runKeys(op)
    case 'copy':
      return copyKeys(op, remoteKey)
    case 'workdir':
      return workdirKeys(op)
    default:
      return op satisfies never
  }
}

function workdirKeys({ path, user, parent, platform }: WorkdirOp): readonly BuildkitKey[] {
  if (platform.os === 'windows') return []
  const owner = user === '' ? undefined : ownerOf(user)
  if (parent === undefined && owner?.isNamed === true) return []
  const action = mkdirAction({ path, mode: 0o755, makeParents: true, owner: owner?.fields })
  return [
    parent === undefined
      ? { digest: fileKey([action], [[-1, -1, 0]], 0), inputs: [] }
      : { digest: fileKey([action], [[0, -1, 0]], 1), inputs: [{ op: parent, selector: '' }] },
  ]
}
