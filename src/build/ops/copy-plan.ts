import { CairnError } from '../../errors/error.ts'
import { redactUrls } from '../../errors/redact.ts'
import { parseChmod } from '../../dockerfile/chmod.ts'
import type { AddInstruction, CopyInstruction, SourceRange } from '../../dockerfile/instruction.ts'
import type { CopySource, FileSource } from '../graph.ts'
import { rootedPath, joinPath } from '../paths.ts'
import type { StagePlanner } from '../plan/plan-stage.ts'
import { upperCaseCommand } from '../step-title.ts'
import { remoteSourcesOf } from './remote-source.ts'
import { heredocFileName } from './heredoc-name.ts'
import { writtenStep } from './written-step.ts'

/** Adds the op of a COPY or ADD instruction. */
export function planCopy(
  planner: StagePlanner,
  instruction: CopyInstruction | AddInstruction,
  onbuild: boolean,
  range: SourceRange,
): void {
  const { state, expand } = planner
  // In BuildKit's order, so that warnings come in that order.
  const chown = instruction.chown === undefined ? undefined : expand(instruction.chown)
  const chmod = instruction.chmod === undefined ? undefined : expand(instruction.chmod)
  const checksum =
    instruction.kind === 'ADD' && instruction.checksum !== undefined ? expand(instruction.checksum) : undefined
  const patterns = instruction.sources.map(expand)
  const destination = expand(instruction.destination)
  const parents = instruction.kind === 'COPY' && instruction.parents
  const optional = instruction.kind === 'COPY' && instruction.optional
  const unpack = instruction.kind === 'ADD' && (instruction.unpack ?? true)
  const files = copyFiles(planner, instruction)
  const remotes = remoteSourcesOf(patterns, instruction, checksum)

  const heredocs = instruction.heredocs.map((heredoc) => ({
    kind: 'inline' as const,
    name: heredocFileName(heredoc.name),
    content: heredoc.expand ? planner.expandHeredoc(heredoc.content) : heredoc.content,
  }))
  const local = patterns.filter((_, index) => remotes[index] === undefined)
  tellContextSources(planner, instruction, local)
  const sources: CopySource[] = [
    ...patterns.map((pattern, index): CopySource => {
      const remote = remotes[index]
      return remote === undefined
        ? { kind: 'files', source: files, pattern, parents, optional, unpack }
        : { kind: 'remote', remote, unpack: instruction.kind === 'ADD' && (instruction.unpack ?? false) }
    }),
    ...heredocs,
  ]
  const text = redactUrls(upperCaseCommand(expandTitle(planner, instruction.original)))
  const written = writtenStep(planner, instruction)
  planner.add({
    kind: 'copy',
    ...planner.newOp(text, onbuild, range),
    get written() {
      return written()
    },
    sources,
    destination: absoluteDestination(state.workdir, destination),
    chown: chown === '' ? undefined : chown,
    chmod: chmod === undefined || chmod === '' ? undefined : parseChmod(chmod),
    excludes: instruction.excludes,
    // As with BuildKit, a mode needs the directories that are there.
    link: instruction.link && (chmod ?? '') === '',
  })
  const history = [
    instruction.kind,
    ...(parents ? ['--parents'] : []),
    ...(optional ? ['--optional'] : []),
    ...(chown === undefined || chown === '' ? [] : [`--chown=${chown}`]),
    ...(chmod === undefined || chmod === '' ? [] : [`--chmod=${chmod}`]),
    ...patterns.map((pattern, index) => remotes[index]?.shown ?? pattern),
    ...heredocs.map(({ name }) => `<<${name}`),
    destination,
  ]
  state.commit(`${history.join(' ')} # buildkit`, true)
}

function copyFiles(planner: StagePlanner, instruction: CopyInstruction | AddInstruction): FileSource {
  if (instruction.kind === 'ADD' || instruction.from === undefined) return { from: 'context' }
  const files = planner.node.sources.get(instruction.from)?.fileSource(instruction.from)
  if (files === undefined)
    throw new CairnError(
      'STEP_INVALID',
      `cannot copy from stage "${instruction.from}", it needs to be defined before current stage "${planner.node.title}"`,
    )
  return files
}

/** Sources in the main context, which the ignore file is about. */
function tellContextSources(
  { options, tell }: StagePlanner,
  instruction: CopyInstruction | AddInstruction,
  paths: readonly string[],
): void {
  const { ignore } = options
  if (ignore === undefined || (instruction.kind === 'COPY' && instruction.from !== undefined)) return
  for (const path of paths) tell('contextSource', { kind: instruction.kind, path, ignore })
}

/** The destination made absolute; `.` and an empty one mean the working directory itself. */
function absoluteDestination(workdir: string, destination: string): string {
  if (destination === '' || destination === '.') return withSlash(rootedPath(workdir))
  const absolute = rootedPath(joinPath(workdir, destination))
  return /(^|\/)\.?$/.test(destination) ? withSlash(absolute) : absolute
}

function withSlash(path: string): string {
  return path.endsWith('/') ? path : `${path}/`
}

function expandTitle(planner: StagePlanner, text: string): string {
  try {
    return planner.state.expand(text, planner.words)
  } catch {
    return text
  }
}
