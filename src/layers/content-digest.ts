import { type Digest, Digester } from '../oci/digest.ts'
import type { TarEntry } from '../tar/entry.ts'

/** What of an entry counts for the content digest: everything but times. A whiteout is an entry of its own type. */
export interface ContentRecord extends Pick<
  TarEntry,
  'path' | 'mode' | 'uid' | 'gid' | 'size' | 'linkname' | 'devMajor' | 'devMinor' | 'xattrs'
> {
  readonly type: TarEntry['type']
}

/**
 * Digest of what a layer holds, whenever its files were made: sha256 over one line per entry, sorted by path, each
 * the JSON array [path, type, mode, uid, gid, size, linkname, major, minor, [[attribute, hex]…], sha256 of content].
 * Entries may come in any order; the same set gives the same digest on every machine.
 */
export class ContentDigester {
  readonly #lines: string[] = []

  /** Takes one entry; `content` is the digest of a file's bytes, undefined for all else. */
  add(record: ContentRecord, content: Digest | undefined): void {
    this.addLine(contentLine(record, content))
  }

  /** Takes an entry as {@link contentLine} puts it. */
  addLine(line: string): void {
    this.#lines.push(line)
  }

  /** The digest of all entries so far. */
  digest(): Digest {
    const digester = new Digester().update('cairn layer content 1\n')
    for (const line of this.#lines.sort()) digester.update(`${line}\n`)
    return digester.digest()
  }
}

/** All of an entry that counts for the content digest, in a line. */
export function contentLine(record: ContentRecord, content: Digest | undefined): string {
  const { path, type, mode, uid, gid, size, linkname, devMajor, devMinor } = record
  return JSON.stringify([
    path,
    type,
    mode,
    uid,
    gid,
    size,
    linkname,
    devMajor,
    devMinor,
    record.xattrs.size === 0 ? [] : xattrsOf(record),
    content ?? '',
  ])
}

function xattrsOf(record: ContentRecord): readonly (readonly [string, string])[] {
  return [...record.xattrs.keys()].sort().map((name) => [name, hex(record.xattrs.get(name))])
}

function hex(bytes: Uint8Array | undefined): string {
  return bytes === undefined ? '' : Buffer.from(bytes).toString('hex')
}
