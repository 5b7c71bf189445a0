import { rootedPath, joinPath } from '../../build/paths.ts'
import { CairnError } from '../../errors/error.ts'
import { tryStat } from '../../linux/file-status.ts'
import { type GitReference, parseGitReference } from '../../remote/git-reference.ts'

/** A git repository or a file of a server, as a build context. */
export type ContextUrl =
  | { readonly kind: 'git'; readonly reference: GitReference; readonly text: string }
  | { readonly kind: 'http'; readonly url: string }

/** What the PATH, URL or `-` of a build says. */
export type ContextArgument =
  | ContextUrl
  | { readonly kind: 'stdin' }
  | { readonly kind: 'directory'; readonly path: string }
  /** A file of this machine, which has to be an archive. */
  | { readonly kind: 'archive'; readonly path: string }

/**
 * Reads the context argument as buildx does: a directory that is there before anything else, then a git reference, then
 * a URL. Throws CONTEXT_INVALID for a path that leads nowhere, REFERENCE_INVALID for a git reference that is wrong.
 */
export function parseContextArgument(text: string, cwd: string): ContextArgument {
  if (text === '-') return { kind: 'stdin' }
  if (text === '')
    throw new CairnError('CONTEXT_INVALID', 'please specify build context (e.g. "." for the current directory)')
  const path = absolutePath(text, cwd)
  const type = tryStat(path)?.type
  if (type === 'directory') return { kind: 'directory', path }
  const remote = parseContextUrl(text)
  if (remote !== undefined) return remote
  if (type === 'file') return { kind: 'archive', path }
  if (type === undefined)
    throw new CairnError('CONTEXT_INVALID', `unable to prepare context: path ${JSON.stringify(text)} not found`)
  throw new CairnError('CONTEXT_INVALID', `unable to prepare context: ${JSON.stringify(text)} is a ${type}`, {
    hint: 'Give a directory, a tar archive, a URL, or - for stdin.',
  })
}

/** A git reference or URL, undefined for anything else. Throws REFERENCE_INVALID. */
export function parseContextUrl(text: string): ContextUrl | undefined {
  const reference = parseGitReference(text)
  if (reference !== undefined) return { kind: 'git', reference, text }
  return isHttpUrl(text) ? { kind: 'http', url: text } : undefined
}

/** True for what can only be meant as a URL of a server. */
export function isHttpUrl(text: string): boolean {
  return /^https?:\/\//.test(text)
}

/** A path that the command line names, from the directory the command was started in. */
export function absolutePath(path: string, cwd: string): string {
  return rootedPath(joinPath(cwd, path))
}
