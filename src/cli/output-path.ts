import { SystemCallError } from '../linux/errno.ts'
import { stat, tryStat } from '../linux/file-status.ts'
import type { CommandContext } from './context.ts'
import { CairnError, usageError } from '../errors/error.ts'

/** `-o` of commands that write an archive. */
export const outputFlag = {
  type: 'string',
  short: 'o',
  default: '',
  summary: 'Write to a file, instead of STDOUT',
  complete: 'file',
} as const

/** Throws USAGE with docker's `message` where an archive would go to a terminal. */
export function refuseTerminal(ctx: CommandContext, output: string, message: string): void {
  if (output === '' && ctx.stdout.isTTY) throw usageError(message)
}

/**
 * Throws FILE_UNKNOWN with docker's text where the directory of a file that is to be written is not there, USAGE
 * (status 1) where the file is a directory. `failure` is what failed: `failed to save image`.
 */
export function checkOutputPath(path: string, failure: string): void {
  const slash = path.lastIndexOf('/')
  const directory = slash > 0 ? path.slice(0, slash) : '.'
  try {
    stat(directory)
  } catch (error) {
    if (!(error instanceof SystemCallError) || error.code !== 'FILE_UNKNOWN') throw error
    const message = `${failure}: invalid output path: stat ${directory}: no such file or directory`
    throw new CairnError('FILE_UNKNOWN', message, { cause: error })
  }
  if (tryStat(path)?.type === 'directory') throw usageError(`${failure}: cannot write to a directory`)
}
