import { CairnError } from '../errors/error.ts'

/** What is at a path: `file` is one that may not be run; `unknown` where a mount may hide or bring it. */
export type FoundProgram = 'nothing' | 'directory' | 'file' | 'program' | 'unknown'

/** Where a command is looked for. */
export interface ProgramSearch {
  /** Of names without a slash; undefined where it is not known. */
  readonly path: string | undefined
  readonly workingDirectory: string
  /** `path` is absolute, and may lead through symlinks. */
  readonly look: (path: string) => FoundProgram
}

/** Throws COMMAND_NOT_FOUND (status 127) or COMMAND_NOT_EXECUTABLE (126), in docker's words, for a command that cannot be run. */
export function checkProgram(command: string, { path, workingDirectory, look }: ProgramSearch): void {
  const absolute = (text: string): string => (text.startsWith('/') ? text : `${workingDirectory}/${text}`)
  if (command.includes('/')) {
    const found = look(absolute(command))
    if (found === 'nothing') throw notFound(command, `stat ${command}: no such file or directory`)
    if (found === 'directory') throw notExecutable(command, 'is a directory: permission denied')
    if (found === 'file') throw notExecutable(command, 'permission denied')
    return
  }
  if (path === undefined) return
  const isThere = (directory: string): boolean => {
    const found = look(`${absolute(directory)}/${command}`)
    return found === 'program' || found === 'unknown'
  }
  if (command === '' || !path.split(':').some(isThere)) throw notFound(command, 'executable file not found in $PATH')
}

function notFound(command: string, reason: string): CairnError {
  return new CairnError('COMMAND_NOT_FOUND', `exec: ${JSON.stringify(command)}: ${reason}`, { exitCode: 127 })
}

function notExecutable(command: string, reason: string): CairnError {
  return new CairnError('COMMAND_NOT_EXECUTABLE', `exec: ${JSON.stringify(command)}: ${reason}`, { exitCode: 126 })
}
