import { CairnError } from '../errors/error.ts'
import { fstat } from '../linux/file-status.ts'
import { AT_FDCWD, close, openAt, openAt2, openFlags, resolveFlags } from '../linux/files.ts'
import type { RuntimeProcess } from '../oci/runtime-spec.ts'

/**
 * Throws COMMAND_NOT_FOUND (status 127) or COMMAND_NOT_EXECUTABLE (126), in docker's words, for a command or a working
 * directory that is plainly not there. The runtime would say so too, but into the command's own stderr.
 *
 * @param init - pid of a process that sees the files which the command is looked for among
 */
export function checkExecProgram(init: number, { args, cwd, env }: RuntimeProcess): void {
  const [command = ''] = args
  const root = openAt(AT_FDCWD, `/proc/${init}/root`, openFlags.O_PATH | openFlags.O_DIRECTORY)
  try {
    if (look(root, cwd) === 'nothing')
      throw new CairnError(
        'COMMAND_NOT_FOUND',
        `chdir to cwd (${JSON.stringify(cwd)}) set in config.json failed: no such file or directory`,
        { exitCode: 127 },
      )
    if (command.includes('/')) return checkPath(root, command, command.startsWith('/') ? command : `${cwd}/${command}`)
    const path = env.find((variable) => variable.startsWith('PATH='))?.slice('PATH='.length) ?? ''
    const found = (command === '' ? [] : path.split(':')).some(
      (directory) =>
        look(root, `${directory.startsWith('/') ? directory : `${cwd}/${directory}`}/${command}`) === 'program',
    )
    if (!found) throw failure('COMMAND_NOT_FOUND', command, 'executable file not found in $PATH', 127)
  } finally {
    close(root)
  }
}

function checkPath(root: number, command: string, path: string): void {
  const found = look(root, path)
  if (found === 'nothing')
    throw failure('COMMAND_NOT_FOUND', command, `stat ${command}: no such file or directory`, 127)
  if (found === 'directory') throw failure('COMMAND_NOT_EXECUTABLE', command, 'is a directory: permission denied', 126)
  if (found === 'file') throw failure('COMMAND_NOT_EXECUTABLE', command, 'permission denied', 126)
}

function look(root: number, path: string): 'nothing' | 'directory' | 'file' | 'program' {
  const fd = openAt2(root, path, openFlags.O_PATH, resolveFlags.IN_ROOT | resolveFlags.NO_MAGICLINKS)
  if (fd < 0) return 'nothing'
  try {
    const { type, mode } = fstat(fd)
    if (type === 'directory') return 'directory'
    return (mode & 0o111) === 0 ? 'file' : 'program'
  } finally {
    close(fd)
  }
}

function failure(
  code: 'COMMAND_NOT_FOUND' | 'COMMAND_NOT_EXECUTABLE',
  command: string,
  reason: string,
  exitCode: number,
): CairnError {
  return new CairnError(code, `exec: ${JSON.stringify(command)}: ${reason}`, { exitCode })
}
