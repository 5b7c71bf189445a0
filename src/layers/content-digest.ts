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
    const { path, type, mode, uid, gid, size, linkname, devMajor, devMinor } = record
    this.#lines.push(
      JSON.stringify([path, type, mode, uid, gid, size, linkname, devMajor, devMinor, xattrsOf(record), content ?? '']),
    )
  }

  /** The digest of all entries so far. */
  digest(): Digest {
    const digester = new Digester().update('cairn layer content 1\n')
    for (const line of this.#lines.sort()) digester.update(`${line}\n`)
    return digester.digest()
  }
}

function xattrsOf(record: ContentRecord): readonly (readonly [string, string])[] {
  if (record.xattrs.size === 0) return []
  return [...record.xattrs.keys()].sort().map((name) => [name, hex(record.xattrs.get(name))])
}

function hex(bytes: Uint8Array | undefined): string {
  return bytes === undefined ? '' : Buffer.from(bytes).toString('hex')
}
