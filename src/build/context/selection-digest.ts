import { type Digest, Digester } from '../../oci/digest.ts'
import type { FileDigests } from '../explain/file-changes.ts'
import { childPath, parentPath } from '../paths.ts'
import type { SelectedPath, Selection } from './source-selection.ts'

export interface SelectionDigest {
  readonly digest: Digest
  /** For explanations. */
  readonly files: FileDigests
}

/**
 * Digest of everything a source selected: names below the copied root, types, modes, owners, links, devices, extended
 * attributes and bytes. Times are left out, so a touched file is no change; so is the path above the copied root.
 */
export function digestSelections(
  selections: readonly Selection[],
  fileDigest: (path: string) => Digest,
): SelectionDigest {
  const digester = new Digester()
  /** Of each path, in the order of the selections. */
  const contents: PathContent[] = []
  /** Of the further names of a file, the first one. */
  const firstNames = new Map<SelectedPath, string>()
  let lines = ''
  for (const selection of selections) {
    lines += `${selection.directory ? 'directory' : `file ${JSON.stringify(selection.name)}`}\n`
    const names = new Map<string, string>()
    for (const selected of selection.paths) {
      const { relative, path, entry } = selected
      let bytes = ''
      if (entry.type === 'file') bytes = fileDigest(path)
      else if (entry.type === 'symlink') bytes = entry.linkname
      else if (entry.type !== 'directory') bytes = `${entry.devMajor}:${entry.devMinor}`
      let content = bytes
      if (entry.xattrs.size > 0)
        for (const [name, value] of [...entry.xattrs].sort(([a], [b]) => (a < b ? -1 : 1)))
          content += ` ${name}=${Buffer.from(value).toString('hex')}`
      // Which of the names copied are one file is part of the layer; names elsewhere and the inode's number are not.
      const inode = entry.type === 'file' ? entry.inode : undefined
      const first = inode === undefined ? undefined : names.get(inode)
      if (first !== undefined) {
        content += ` link ${first}`
        firstNames.set(selected, first)
      } else if (inode !== undefined) names.set(inode, relative)
      // Of a plain file it is a digest, in which there is nothing to escape.
      const quoted = entry.type === 'file' && !content.includes(' ') ? `"${content}"` : JSON.stringify(content)
      lines += `${JSON.stringify(relative)} ${entry.type} ${attributesOf(selected)} ${quoted}\n`
      if (lines.length > lineBytes) {
        digester.update(encoder.encode(lines))
        lines = ''
      }
      contents.push(bytes === content ? content : { content, bytes })
    }
  }
  digester.update(encoder.encode(lines))
  let files: FileDigests | undefined
  return {
    digest: digester.digest(),
    get files() {
      return (files ??= fileDigests(selections, contents, firstNames))
    },
  }
}

function attributesOf({ relative, entry, implied }: SelectedPath): string {
  // The root of a copied directory lends nothing but its time to the destination.
  if (relative === '' && entry.type === 'directory') return 'root'
  return `${entry.mode.toString(8)} ${entry.uid}:${entry.gid}${implied ? ' implied' : ''}`
}

/** A path in the source; of a symlink that was named and led to a file, where that link is. */
function shownPath({ directory, name }: Selection, path: string): string {
  return (directory ? path : childPath(parentPath(path), name)).slice(1)
}

const encoder = new TextEncoder()

/** How much text is hashed at once: a call for each line costs more than the hash. */
const lineBytes = 64 * 1024

/** What counts of a path besides its attributes: with extended attributes, and where these say something also without. */
type PathContent = string | { readonly content: string; readonly bytes: string }

/** Most builds need none of it, so it is made when asked for. */
function fileDigests(
  selections: readonly Selection[],
  contents: readonly PathContent[],
  firstNames: ReadonlyMap<SelectedPath, string>,
): FileDigests {
  const files = new Map<string, string>()
  let index = 0
  for (const selection of selections)
    for (const selected of selection.paths) {
      const { relative, path, entry } = selected
      const item = contents[index++] ?? ''
      const { content, bytes } = typeof item === 'string' ? { content: item, bytes: undefined } : item
      if (relative === '' && selection.directory) continue
      const first = firstNames.get(selected)
      const facts = `${first === undefined ? entry.type : 'hardlink'} ${attributesOf(selected)}`
      const rest = first === undefined && bytes !== undefined ? ` ${fingerprint(bytes)}` : ''
      const target = entry.type === 'symlink' ? ` -> ${entry.linkname}` : ''
      files.set(shownPath(selection, path), `${facts}:${fingerprint(first ?? content)}${rest}${target}`)
    }
  return files
}

function fingerprint(text: string): string {
  return Bun.hash.xxHash64(text).toString(36)
}
