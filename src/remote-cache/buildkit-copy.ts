import { comparePaths } from '../linux/path-bytes.ts'
import type { CopyOp, CopySource } from '../build/graph.ts'
import type { RemoteSource } from '../build/ops/remote-source.ts'
import { rootedPath } from '../build/paths.ts'
import { hasWildcard } from '../dockerfile/path-match.ts'
import { digestOf } from '../oci/digest.ts'
import type { ContentSelector } from './buildkit-content.ts'
import { type ActionIndexes, fileKey, type Message, message, ownerOf } from './buildkit-file-op.ts'
import {
  asInput,
  type InputOrigin,
  Inputs,
  originOf,
  resultOrigin,
  stepOrigin,
  textFileOrigin,
} from './buildkit-inputs.ts'
import { type BuildkitInput, type BuildkitKey, recordDigest, sourceKey } from './buildkit-key.ts'

/** What a remote source was found to be, in the form of BuildKit's keys; undefined where that is not known. */
export type RemoteKey = (source: RemoteSource) => string | undefined

/** What one source of COPY or ADD is to BuildKit. */
interface CopyAction {
  /** Undefined for the empty filesystem. */
  readonly origin: InputOrigin | undefined
  /** What it reads there. */
  readonly selector: ContentSelector
  /** Fields of the action that are those of its kind. */
  readonly fields: Readonly<Record<string, unknown>>
  /** Paths that have to be there, which versions of BuildKit since 0.26 have in the action. */
  readonly requiredPaths?: readonly string[]
}

/** What BuildKit looks COPY and ADD up by. */
export function copyKeys(op: CopyOp, remoteKey: RemoteKey): readonly BuildkitKey[] {
  const found = op.sources.map((source) => actionOf(op, source, remoteKey))
  const actions = found.flatMap((action) => action ?? [])
  const owner = op.chown === undefined ? undefined : ownerOf(op.chown)
  // A name is looked up in what is below.
  const isLost = owner?.isNamed === true && (op.link || op.parent === undefined)
  if (actions.length !== found.length || actions.length === 0 || isLost) return []
  const plain = keyOf(op, actions, owner?.fields, false)
  return actions.some(({ requiredPaths }) => requiredPaths !== undefined)
    ? [plain, keyOf(op, actions, owner?.fields, true)]
    : [plain]
}

function keyOf(
  { destination, chmod, excludes, link, parent }: CopyOp,
  sources: readonly CopyAction[],
  owner: Message | undefined,
  withRequired: boolean,
): BuildkitKey {
  const inputs = new Inputs()
  const base = link || parent === undefined ? -1 : inputs.numberOf(resultOrigin(parent))
  const secondary = sources.map(({ origin }) => inputs.numberOf(origin))
  const actions = sources.map(({ selector, fields, requiredPaths }, index) => {
    // Of a source that is an input the rest of the path is in the selector.
    const src = secondary[index] === -1 ? selector.path : baseOf(selector.path)
    const { followSymlink, dirCopyContents, unpack, allowWildcard, allowEmptyWildcard, include } = fields
    return message({
      src,
      dest: destination,
      owner,
      mode: chmod === undefined ? -1 : (chmod.octal ?? 0),
      followSymlink,
      dirCopyContents,
      attemptUnpackDockerCompatibility: unpack,
      createDestPath: true,
      allowWildcard,
      allowEmptyWildcard,
      timestamp: -1,
      include_patterns: include,
      exclude_patterns: excludes,
      modeStr: chmod === undefined || chmod.octal !== undefined ? '' : chmod.text,
      required_paths: withRequired ? requiredPaths : undefined,
    })
  })
  const last = actions.length - 1
  const indexes = secondary.map((from, at): ActionIndexes => [
    at === 0 ? base : inputs.count + at - 1,
    from,
    at === last ? 0 : -1,
  ])
  const selectors = inputs.map((number) => {
    if (number === base) return []
    return sources.flatMap(({ selector }, at) => (secondary[at] === number ? [selector] : []))
  })
  const copied = {
    digest: fileKey(actions, indexes, inputs.count),
    inputs: inputs.map((number, origin) => inputOf(origin, selectors[number] ?? [])),
  }
  // A link is a step on the empty filesystem to BuildKit, and another one that merges it.
  return link && parent !== undefined
    ? {
        digest: mergeKey,
        inputs: [
          { op: parent, selector: '' },
          { step: copied, selector: '' },
        ],
      }
    : copied
}

const mergeKey = recordDigest(digestOf('{"Type":"buildkit.merge.v0","Merge":{"inputs":[{},{"input":1}]}}'), 0)

function inputOf(origin: InputOrigin, selectors: readonly ContentSelector[]): BuildkitInput {
  const paths = selectors.map(({ path }) => path)
  const selector = paths.length === 0 ? '' : digestOf(paths.toSorted(comparePaths).reverse().join('\0'))
  return asInput(origin, selector, selectors)
}

function actionOf(op: CopyOp, source: CopySource, remoteKey: RemoteKey): CopyAction | undefined {
  const { excludes } = op
  switch (source.kind) {
    case 'files':
      return source.optional ? undefined : filesAction(source, excludes)
    case 'inline': {
      const { name, content } = source
      return {
        origin: textFileOrigin(name, 0o644, content),
        selector: { path: `/${name}`, isPattern: false, followsLinks: false, includes: [], excludes },
        fields: {},
      }
    }
    case 'remote': {
      const { remote, unpack } = source
      const key = remoteKey(remote)
      if (key === undefined) return undefined
      const step = { digest: sourceKey(key), inputs: [] }
      const path = remote.kind === 'http' ? rootedPath(`/${remote.name}`) : '/'
      return {
        origin: stepOrigin(step, `remote ${JSON.stringify(remote)}`),
        selector: { path, isPattern: false, followsLinks: false, includes: [], excludes },
        fields: { unpack: remote.kind === 'http' && unpack },
      }
    }
    default:
      return source satisfies never
  }
}

function filesAction(
  { source, pattern, parents, unpack }: Extract<CopySource, { kind: 'files' }>,
  excludes: readonly string[],
): CopyAction {
  const pivot = parents ? pattern.indexOf('/./') : -1
  const start = !parents ? pattern : pivot < 0 ? '/' : pattern.slice(0, pivot)
  const below = pivot < 0 ? pattern : pattern.slice(pivot + 3)
  const include = parents ? [rootedPath(`/${below}`).slice(1)] : []
  const isLiteral = parents && !hasWildcard(start) && !hasWildcard(below)
  return {
    origin: originOf(source),
    selector: {
      path: rootedPath(`/${start}`),
      isPattern: true,
      followsLinks: true,
      includes: include,
      excludes,
    },
    fields: {
      followSymlink: true,
      dirCopyContents: true,
      unpack,
      allowWildcard: true,
      allowEmptyWildcard: true,
      include,
    },
    ...(isLiteral ? { requiredPaths: [rootedPath(`/${start}/${below}`)] } : {}),
  }
}

/** Go's path.Base. */
function baseOf(path: string): string {
  return path === '/' ? '/' : path.slice(path.lastIndexOf('/') + 1)
}
