import { detectCompression } from '../../compression/detect.ts'
import { isCairnError } from '../../errors/error.ts'
import type { LayerWriter, WrittenLayer } from '../../layers/pack/layer-writer.ts'
import type { Tree } from '../../layers/tree.ts'
import { resolveOwner } from '../../runtime/user.ts'
import { accountFiles } from '../../snapshots/account-files.ts'
import { BLOCK_SIZE, headerFormat } from '../../tar/header-block.ts'
import type { CopyOp, CopySource, WorkdirOp } from '../graph.ts'
import type { SelectedFiles } from '../context/source-selection.ts'
import { CopyLayout, type LayoutOptions } from './copy-layout.ts'
import { openArchive } from './unpack.ts'

/** What writing the layer of a COPY, ADD or WORKDIR needs. */
export interface CopyEnvironment {
  /** The filesystem the step starts from. */
  readonly lower: Tree
  /** What each source that names files came to. */
  readonly selected: (source: Exclude<CopySource, { kind: 'inline' }>) => SelectedFiles
  /** Path for a temporary file, removed with the build. */
  readonly temporaryPath: (label: string) => string
  /** Time of what Cairn makes itself, seconds since 1970. */
  readonly createdTime: number
}

const emptyTree: Tree = { lookup: () => undefined, list: () => [], read: () => [] }

/** Writes the layer of a COPY or ADD into `writer`. Nothing but the layer file is written. */
export async function writeCopyLayer(
  op: CopyOp,
  writer: LayerWriter,
  environment: CopyEnvironment,
): Promise<WrittenLayer> {
  const { chown, chmod } = op
  const options: LayoutOptions = {
    owner: chown === undefined ? undefined : resolveOwner(chown, accountFiles(environment.lower)),
    chmod: chmod === undefined ? undefined : (mode, directory) => chmod.apply(mode, directory),
    directoryMode: chmod?.octal ?? 0o755,
    createdTime: environment.createdTime,
  }
  const layout = new CopyLayout(op.link ? emptyTree : environment.lower, options)
  for (const source of op.sources) {
    if (source.kind === 'inline') layout.inline(source.name, source.content, op.destination)
    else await layOut(layout, source, op, environment)
  }
  return writeLayout(layout, writer)
}

/** Writes the layer of a WORKDIR into `writer`: the directory and those above it that are missing. */
export function writeWorkdirLayer(
  op: WorkdirOp,
  writer: LayerWriter,
  environment: Pick<CopyEnvironment, 'lower' | 'createdTime'>,
): WrittenLayer {
  const { lower, createdTime } = environment
  const owner = workdirOwner(op.user, lower)
  const layout = new CopyLayout(lower, { owner, chmod: undefined, directoryMode: 0o755, createdTime })
  layout.makeDirectories(op.path)
  return writeLayout(layout, writer)
}

/** USER of the stage; a name that the image does not know counts as root here, and fails in the RUN that needs it. */
function workdirOwner(user: string, lower: Tree): { uid: number; gid: number } | undefined {
  if (user === '') return undefined
  try {
    return resolveOwner(user, accountFiles(lower))
  } catch (error) {
    if (isCairnError(error, 'USER_UNKNOWN')) return undefined
    throw error
  }
}

async function layOut(
  layout: CopyLayout,
  source: Exclude<CopySource, { kind: 'inline' }>,
  op: CopyOp,
  environment: CopyEnvironment,
): Promise<void> {
  const { tree, selections } = environment.selected(source)
  for (const selection of selections) {
    const file = selection.paths[0]
    if (source.unpack && !selection.directory && file?.entry.type === 'file' && looksPacked(tree, file.path)) {
      const archive = await openArchive(tree, file.path, environment.temporaryPath)
      if (archive !== undefined) {
        layout.unpack(archive, op.destination)
        continue
      }
    }
    layout.copy(tree, selection, op.destination)
  }
}

/** Cheap look at the first bytes: most files that ADD meets are no archives. */
function looksPacked(tree: Tree, path: string): boolean {
  for (const chunk of tree.read(path)) {
    return detectCompression(chunk) !== 'none' || (chunk.length >= BLOCK_SIZE && headerFormat(chunk) !== undefined)
  }
  return false
}

/** Writes everything that was laid out; the writer is finished or gone. */
export function writeLayout(layout: CopyLayout, writer: LayerWriter): WrittenLayer {
  try {
    for (const [path, { entry, content, hardlink }] of layout.members()) {
      if (hardlink === undefined) writer.add({ ...entry, path: path.slice(1) }, content)
      else writer.add({ ...entry, type: 'hardlink', size: 0, linkname: hardlink.slice(1), path: path.slice(1) })
    }
    return writer.finish()
  } catch (error) {
    writer.abort()
    throw error
  }
}
