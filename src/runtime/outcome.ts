import { CairnError } from '../errors/error.ts'
import type { OciRuntime } from './runtime.ts'

/**
 * The error that a runtime's own message means, in docker's words and with its exit statuses (docker run §Exit status):
 * 127 COMMAND_NOT_FOUND, 126 COMMAND_NOT_EXECUTABLE, 125 RUNTIME_FAILED with the message as it is.
 *
 * @param message - what the runtime logged, one line
 * @param command - `process.args[0]` of the container
 */
export function runtimeError(runtime: OciRuntime['name'], message: string, command: string): CairnError {
  const quoted = JSON.stringify(command)
  const isPath = command.includes('/')
  const notFound = (): CairnError => {
    const reason = isPath ? `stat ${command}: no such file or directory` : 'executable file not found in $PATH'
    return new CairnError('COMMAND_NOT_FOUND', `exec: ${quoted}: ${reason}`, { exitCode: 127 })
  }
  const notExecutable = (reason: string): CairnError =>
    new CairnError('COMMAND_NOT_EXECUTABLE', `exec: ${quoted}: ${reason}`, { exitCode: 126 })

  if (runtime === 'crun') {
    if (/^executable file `.*` not found/s.test(message)) return notFound()
    // For an empty name crun takes the directory it is in.
    if (message.startsWith('open executable: Operation not permitted'))
      return command === '' ? notFound() : notExecutable('is a directory: permission denied')
    // In PATH docker sees only what can be executed.
    if (message.startsWith('open executable: Permission denied') || /exists but it is not executable/.test(message))
      return isPath ? notExecutable('permission denied') : notFound()
  } else {
    const reason = /exec: "(?:[^"\\]|\\.)*": (.*)$/s.exec(message)?.[1]
    if (reason !== undefined) {
      if (/not found in \$PATH|no such file or directory/.test(reason)) return notFound()
      if (/permission denied|is a directory/.test(reason)) return notExecutable(reason)
    }
  }
  return new CairnError('RUNTIME_FAILED', `${runtime}: ${message}`, { exitCode: 125 })
}

/** The last error in a runtime's log; undefined in one without. */
export function lastLoggedError(runtime: OciRuntime['name'], log: string): string | undefined {
  const lines = log.split('\n').filter((line) => line.trim() !== '')
  return lines.map((line) => loggedError(runtime, line)).findLast((message) => message !== undefined)
}

/** crun: `2026-01-31T12:00:00.000000Z: message`. runc: a line of JSON. */
function loggedError(runtime: OciRuntime['name'], line: string): string | undefined {
  if (runtime === 'crun') return line.replace(/^\d{4}-\d\d-\d\dT[\d:.]+Z:\s*/, '').trim()
  try {
    const { level, msg } = JSON.parse(line) as { level?: unknown; msg?: unknown }
    if ((level !== 'error' && level !== 'fatal') || typeof msg !== 'string') return undefined
    return msg.replace(/^runc (?:run|create) failed: /, '')
  } catch {
    return undefined
  }
}
