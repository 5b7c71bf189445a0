import { CairnError, isCairnError } from '../errors/error.ts'
import { resolvePath } from '../layers/trees/layer-tree.ts'
import type { Tree, TreeEntry } from '../layers/tree.ts'
import type { ContainerSettings } from './container.ts'
import { commandLine, processEnvironment } from './settings.ts'

/**
 * Throws COMMAND_NOT_FOUND (status 127) or COMMAND_NOT_EXECUTABLE (126), in docker's words, for a command that the
 * image plainly does not have. The runtime would say so too, but later and into the container's own stderr. What a mount
 * may hide or bring is left to it.
 *
 * @param tree - the image's root file system
 * @param mountTargets - paths of the container that show something else
 */
export function checkExecutable(tree: Tree, settings: ContainerSettings, mountTargets: readonly string[]): void {
  const [command = ''] = commandLine(settings.config)
  const workingDirectory = settings.config.WorkingDir ?? '/'
  const look = (path: string): TreeEntry | 'unknown' | undefined => lookup(tree, path, mountTargets)
  if (command.includes('/')) {
    const path = command.startsWith('/') ? command : `${workingDirectory}/${command}`
    const entry = look(path)
    if (entry === undefined)
      throw failure('COMMAND_NOT_FOUND', command, `stat ${command}: no such file or directory`, 127)
    if (entry === 'unknown') return
    if (entry.type === 'directory')
      throw failure('COMMAND_NOT_EXECUTABLE', command, 'is a directory: permission denied', 126)
    if ((entry.mode & 0o111) === 0) throw failure('COMMAND_NOT_EXECUTABLE', command, 'permission denied', 126)
    return
  }
  const path = processEnvironment(settings)
    .find((variable) => variable.startsWith('PATH='))
    ?.slice('PATH='.length)
  if (path === undefined) return
  for (const directory of command === '' ? [] : path.split(':')) {
    const entry = look(`${directory.startsWith('/') ? directory : `${workingDirectory}/${directory}`}/${command}`)
    if (entry === 'unknown' || (entry !== undefined && entry.type !== 'directory' && (entry.mode & 0o111) !== 0)) return
  }
  throw failure('COMMAND_NOT_FOUND', command, 'executable file not found in $PATH', 127)
}

function lookup(tree: Tree, path: string, mountTargets: readonly string[]): TreeEntry | 'unknown' | undefined {
  let resolved: string
  try {
    resolved = resolvePath(tree, path, { followLast: true })
  } catch (error) {
    // A loop of symlinks leads nowhere.
    if (isCairnError(error, 'FILE_UNKNOWN')) return undefined
    throw error
  }
  const isMounted = mountTargets.some((target) => resolved === target || resolved.startsWith(`${target}/`))
  return isMounted ? 'unknown' : tree.lookup(resolved)
}

function failure(
  code: 'COMMAND_NOT_FOUND' | 'COMMAND_NOT_EXECUTABLE',
  command: string,
  reason: string,
  exitCode: number,
): CairnError {
  return new CairnError(code, `exec: ${JSON.stringify(command)}: ${reason}`, { exitCode })
}
