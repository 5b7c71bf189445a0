import { recordContainerEvent } from '../../containers/container-events.ts'
import { resolveContainer } from '../../containers/container-records.ts'
import { notRunning } from '../../containers/end-container.ts'
import { checkExecProgram } from '../../containers/exec-program.ts'
import { execProcess, type ExecRequest } from '../../containers/exec-process.ts'
import { findInit, findRuntimeState } from '../../containers/init-process.ts'
import { linkedVariables } from '../../containers/links.ts'
import { recoverContainers } from '../../containers/recovery.ts'
import { newId } from '../../containers/settings.ts'
import type { Store } from '../../content/store.ts'
import { CairnError, isCairnError } from '../../errors/error.ts'
import { isRunning, type ProcessIdentity } from '../../linux/processes.ts'
import { makeDirectories } from '../../linux/names.ts'
import { removeTree } from '../../linux/remove-tree.ts'
import { execute, type ExecuteOptions, type Execution } from '../../runtime/exec.ts'

/** Where the input and output of a command in a container go. */
export interface ExecStreams extends Disposable {
  /** Opens them; called once, before the command is started. */
  open(): Pick<ExecuteOptions, 'stdin' | 'stdout' | 'stderr' | 'terminal'>
  /** Called when the command has them; settles when it has ended and all output has arrived, or when its user has left it. */
  attach(execution: Execution): Promise<'ended' | 'detached'>
}

export interface ExecOptions extends ExecRequest {
  /** Undefined where nobody waits for the command. */
  readonly streams: ExecStreams | undefined
}

/**
 * Runs a command in a running container and gives its exit status, 0 at once for one that nobody waits for; `detached`
 * where its user left it. Throws
 * CONTAINER_UNKNOWN, CONTAINER_STOPPED, CONTAINER_STATE, USER_UNKNOWN, COMMAND_NOT_FOUND (127), COMMAND_NOT_EXECUTABLE
 * (126), in docker's words.
 */
export async function execInContainer(store: Store, name: string, options: ExecOptions): Promise<number | 'detached'> {
  recoverContainers(store)
  const container = resolveContainer(store, name)
  if (container.state === 'paused')
    throw new CairnError('CONTAINER_STATE', `Container ${name} is paused, unpause the container before exec`)
  if (container.state === 'restarting')
    throw new CairnError('CONTAINER_STATE', `Container ${name} is restarting, wait until the container is running`)
  const { id } = container
  const init = findInit(store, id)
  const state = findRuntimeState(store, id)
  if (container.state !== 'running' || init === undefined || state === undefined) throw notRunning(id)
  const env = [...linkedVariables(store, container, 'lenient'), ...options.env]
  const process = unlessEnded(id, init, () => execProcess(container, init.pid, { ...options, env }))
  const execId = newId()
  const [program = '', ...rest] = options.command
  const label = `${program} ${rest.join(' ')}`
  recordContainerEvent(store, `exec_create: ${label}`, container, { execID: execId })
  const directory = store.session.temporaryPath('exec')
  makeDirectories(directory, 0o700)
  using streams = options.streams
  try {
    unlessEnded(id, init, () => checkExecProgram(init.pid, process))
    const execution = execute({
      ...streams?.open(),
      ...state,
      id,
      hasCgroup: container.run?.cgroup != null || container.settings.limits !== undefined,
      process,
      directory,
      isDetached: streams === undefined,
    })
    recordContainerEvent(store, `exec_start: ${label}`, container, { execID: execId })
    if ((await streams?.attach(execution)) === 'detached') {
      recordContainerEvent(store, 'exec_detach', container, { execID: execId })
      return 'detached'
    }
    const exitCode = await execution.exited
    if (streams !== undefined)
      recordContainerEvent(store, 'exec_die', container, { execID: execId, exitCode: String(exitCode) })
    return exitCode
  } catch (error) {
    if (isCairnError(error, 'RUNTIME_FAILED') && !isRunning(init)) throw notRunning(id)
    throw inDockersWords(error, streams === undefined)
  } finally {
    removeTree(directory)
  }
}

/** Calls `work`, which looks into a container that runs. Throws CONTAINER_STOPPED in place of what it throws where that has ended. */
function unlessEnded<Result>(id: string, init: ProcessIdentity, work: () => Result): Result {
  try {
    return work()
  } catch (error) {
    throw isRunning(init) ? error : notRunning(id)
  }
}

/** What docker puts before the reason. */
const execFailed = 'OCI runtime exec failed: exec failed: unable to start container process: '

/** Nobody who waits for a command gets its status: then it is that of any failure. */
function inDockersWords(error: unknown, isDetached: boolean): unknown {
  if (!isCairnError(error, 'COMMAND_NOT_FOUND') && !isCairnError(error, 'COMMAND_NOT_EXECUTABLE')) return error
  const { code, exitCode } = error
  return new CairnError(code, `${execFailed}${error.message}`, {
    exitCode: isDetached ? 1 : (exitCode ?? 1),
  })
}
