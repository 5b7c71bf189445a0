import { isCairnError } from '../errors/error.ts'
import { resolvePath } from '../layers/trees/resolve-path.ts'
import type { Tree } from '../layers/tree.ts'
import type { ContainerSettings } from './container.ts'
import { checkProgram, type FoundProgram } from './program-check.ts'
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
  const variable = processEnvironment(settings).find((one) => one.startsWith('PATH='))
  checkProgram(commandLine(settings.config)[0] ?? '', {
    path: variable?.slice('PATH='.length),
    workingDirectory: settings.config.WorkingDir ?? '/',
    look: (path) => lookIn(tree, path, mountTargets),
  })
}

function lookIn(tree: Tree, path: string, mountTargets: readonly string[]): FoundProgram {
  let resolved: string
  try {
    resolved = resolvePath(tree, path, { followLast: true })
  } catch (error) {
    // A loop of symlinks leads nowhere.
    if (isCairnError(error, 'FILE_UNKNOWN')) return 'nothing'
    throw error
  }
  if (mountTargets.some((target) => resolved === target || resolved.startsWith(`${target}/`))) return 'unknown'
  const entry = tree.lookup(resolved)
  if (entry === undefined) return 'nothing'
  if (entry.type === 'directory') return 'directory'
  return (entry.mode & 0o111) === 0 ? 'file' : 'program'
}
