import { CairnError } from '../errors/error.ts'
import { fstat } from '../linux/file-status.ts'
import { AT_FDCWD, close, openAt, openAt2, openFlags, resolveFlags } from '../linux/files.ts'
import type { RuntimeProcess } from '../oci/runtime-spec.ts'
import { checkProgram, type FoundProgram } from './program-check.ts'

/**
 * Throws COMMAND_NOT_FOUND (status 127) or COMMAND_NOT_EXECUTABLE (126), in docker's words, for a command or a working
 * directory that is plainly not there. The runtime would say so too, but into the command's own stderr.
 *
 * @param init - pid of a process that sees the files which the command is looked for among
 */
export function checkExecProgram(init: number, { args, cwd, env }: RuntimeProcess): void {
  const root = openAt(AT_FDCWD, `/proc/${init}/root`, openFlags.O_PATH | openFlags.O_DIRECTORY)
  try {
    if (lookBelow(root, cwd) === 'nothing')
      throw new CairnError(
        'COMMAND_NOT_FOUND',
        `chdir to cwd (${JSON.stringify(cwd)}) set in config.json failed: no such file or directory`,
        { exitCode: 127 },
      )
    const path = env.find((variable) => variable.startsWith('PATH='))?.slice('PATH='.length) ?? ''
    checkProgram(args[0] ?? '', { path, workingDirectory: cwd, look: (at) => lookBelow(root, at) })
  } finally {
    close(root)
  }
}

function lookBelow(root: number, path: string): FoundProgram {
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
