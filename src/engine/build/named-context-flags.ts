import { contextName } from '../../build/plan/named-contexts.ts'
import { CairnError, isCairnError, usageError } from '../../errors/error.ts'
import { tryStat } from '../../linux/file-status.ts'
import { type Digest, isDigest } from '../../oci/digest.ts'
import { layoutPaths } from '../../oci/layout.ts'
import { isTag } from '../../oci/reference.ts'
import { headOfFile, looksLikeArchive } from './archive-context.ts'
import { absolutePath, parseContextUrl, type ContextUrl } from './context-argument.ts'

/** What a `--build-context` gives for its name. */
export type NamedSource =
  | ContextUrl
  | { readonly kind: 'directory'; readonly path: string }
  | { readonly kind: 'archive'; readonly path: string }
  /** An image by the name as it was written; `scratch` is the empty one. */
  | { readonly kind: 'image'; readonly reference: string }
  | LayoutSource

/** An image of an OCI layout. */
export interface LayoutSource {
  readonly kind: 'layout'
  /** The value of the flag. */
  readonly text: string
  readonly path: string
  readonly tag: string | undefined
  readonly digest: Digest | undefined
}

/**
 * Values of `--build-context`: `NAME=VALUE`, the last one of a name winning. What is local has to be there. Texts of
 * errors are buildx's. Throws USAGE, CONTEXT_INVALID, REFERENCE_INVALID.
 */
export function parseNamedContexts(given: readonly string[], cwd: string): ReadonlyMap<string, NamedSource> {
  const sources = new Map<string, NamedSource>()
  for (const text of given) {
    if (text === '') continue
    const equals = text.indexOf('=')
    if (equals < 0) throw usageError(`invalid context value: ${text}, expected key=value`)
    const name = nameOf(text.slice(0, equals))
    sources.set(name, parseSource(name, text.slice(equals + 1), cwd))
  }
  return sources
}

function nameOf(text: string): string {
  try {
    return contextName(text)
  } catch (error) {
    if (!isCairnError(error)) throw error
    throw usageError(`invalid context name ${text}: ${error.message}`, { cause: error })
  }
}

function parseSource(name: string, value: string, cwd: string): NamedSource {
  if (value.startsWith('docker-image://')) return { kind: 'image', reference: value.slice('docker-image://'.length) }
  if (value.startsWith('target:'))
    throw new CairnError(
      'CONTEXT_INVALID',
      `failed to find target ${value.slice('target:'.length)} for context ${name}`,
      {
        hint: 'Only bake files have targets.',
      },
    )
  if (value.startsWith('oci-layout://')) return parseLayout(value, cwd)
  return parseContextUrl(value) ?? localSource(name, value, cwd)
}

function localSource(name: string, value: string, cwd: string): NamedSource {
  const path = value === '' ? '' : absolutePath(value, cwd)
  const type = value === '' ? undefined : tryStat(path)?.type
  if (type === 'directory') return { kind: 'directory', path }
  if (type === 'file' && looksLikeArchive(headOfFile(path))) return { kind: 'archive', path }
  const why =
    type === undefined
      ? `failed to get build context ${name}: stat ${value}: no such file or directory`
      : `failed to get build context path ${value}: not a directory`
  throw new CairnError('CONTEXT_INVALID', why, {
    hint: 'Give a directory, a tar archive, a URL, docker-image://NAME or oci-layout://PATH.',
  })
}

/** `oci-layout://PATH[:TAG][@DIGEST]`, as buildx's ocilayout.Parse. */
function parseLayout(text: string, cwd: string): LayoutSource {
  let path = text.slice('oci-layout://'.length)
  let digest: Digest | undefined
  let tag: string | undefined
  const at = path.lastIndexOf('@')
  const written = path.slice(at + 1)
  if (at >= 0 && isDigest(written)) {
    digest = written
    path = path.slice(0, at)
  }
  const colon = path.lastIndexOf(':')
  if (colon >= 0 && isTag(path.slice(colon + 1))) {
    tag = path.slice(colon + 1)
    path = path.slice(0, colon)
  }
  const place = absolutePath(path, cwd)
  if (tryStat(`${place}/${layoutPaths.index}`)?.type !== 'file')
    throw new CairnError(
      'CONTEXT_INVALID',
      `oci-layout reference ${JSON.stringify(text)} could not be resolved: could not read ${path}/${layoutPaths.index}: no such file`,
      { hint: 'Give the directory that holds oci-layout and index.json.' },
    )
  return { kind: 'layout', text, path: place, tag: tag ?? (digest === undefined ? 'latest' : undefined), digest }
}
