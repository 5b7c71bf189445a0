import { CairnError } from '../../errors/error.ts'
import type { SourceRange, WorkdirInstruction } from '../../dockerfile/instruction.ts'
import { rootedPath, joinPath } from '../paths.ts'
import type { StagePlanner } from '../plan/plan-stage.ts'
import { upperCaseCommand } from '../step-title.ts'
import { writtenStep } from './written-step.ts'

/** Bytes of a path that Linux takes: PATH_MAX without the zero at the end. */
const longestPath = 4095

/** Adds the op of a WORKDIR instruction; `WORKDIR /` needs none. */
export function planWorkdir(
  planner: StagePlanner,
  instruction: WorkdirInstruction,
  onbuild: boolean,
  range: SourceRange,
): void {
  const { state } = planner
  const given = planner.expand(instruction.path)
  planner.tell('workdir', { path: given, isFirst: !state.hasWorkdir })
  state.hasWorkdir = true
  const path = rootedPath(joinPath(state.workdir, given === '' ? '.' : given))
  if (Buffer.byteLength(path) > longestPath)
    throw new CairnError(
      'STEP_INVALID',
      `cannot make a directory whose path has ${Buffer.byteLength(path)} bytes: file name too long`,
    )
  // Docker keeps an absolute one as it is written.
  state.config.WorkingDir = given.startsWith('/') ? given : path
  if (path !== '/') {
    const text = upperCaseCommand(`WORKDIR ${given}`)
    const written = writtenStep(planner, instruction)
    planner.add({
      kind: 'workdir',
      ...planner.newOp(text, onbuild, range),
      get written() {
        return written()
      },
      path,
      user: state.config.User ?? '',
    })
  }
  state.commit(`WORKDIR ${state.config.WorkingDir}`, path !== '/')
}
