import { CairnError } from '../errors/error.ts'
import { cleanMemberPath, parentPath } from '../layers/member-path.ts'
import type { TarHandler } from '../tar/decoder.ts'
import type { TarMember } from '../tar/member.ts'

/** Links followed on the way to one path before it counts as a loop, as Linux counts. */
const mostLinks = 40

/**
 * Looks at the members of an archive of a whole root filesystem as they come and refuses what could not be unpacked
 * safely: paths and hard links that lead out of it, hard links to what is not there, a root that is no directory.
 * Throws LAYER_UNSAFE or TAR_INVALID naming the member.
 */
export class RootfsCheck implements TarHandler {
  readonly #name: string
  /** Everything but directories, where it really is. */
  readonly #files = new Set<string>()
  readonly #symlinks = new Map<string, string>()
  #entries = 0

  /** `name` is the archive in messages. */
  constructor(name: string) {
    this.#name = name
  }

  /** Members so far. */
  get entries(): number {
    return this.#entries
  }

  /** True when this is what `docker save` writes: images, not the files of one. */
  get looksLikeImages(): boolean {
    const has = (path: string): boolean => this.#files.has(path)
    return (
      (has('manifest.json') && (has('repositories') || has('oci-layout'))) || (has('index.json') && has('oci-layout'))
    )
  }

  entry({ entry }: TarMember): boolean {
    this.#entries++
    const written = cleanMemberPath(entry.path)
    if (written === undefined) throw this.#refuse('LAYER_UNSAFE', entry.path, 'its path leads out of the archive')
    if (written === '' && entry.type !== 'directory')
      throw this.#refuse('LAYER_UNSAFE', entry.path, `the root cannot be a ${entry.type}`)
    const path = this.#resolve(written, entry.path)
    if (entry.type === 'hardlink') this.#checkLink(entry.path, path, entry.linkname)
    if (entry.type === 'directory') this.#files.delete(path)
    else this.#files.add(path)
    if (entry.type === 'symlink') this.#symlinks.set(path, entry.linkname)
    else if (entry.type !== 'directory') this.#symlinks.delete(path)
    return false
  }

  content(): void {}

  end(): void {}

  #checkLink(member: string, path: string, linkname: string): void {
    const cleaned = cleanMemberPath(linkname)
    if (cleaned === undefined || cleaned === '')
      throw this.#refuse('LAYER_UNSAFE', member, `it is a hard link to ${linkname}, out of the archive`)
    const target = this.#resolve(cleaned, member)
    if (target === path) throw this.#refuse('TAR_INVALID', member, 'it is a hard link to itself')
    if (!this.#files.has(target))
      throw this.#refuse('TAR_INVALID', member, `it is a hard link to ${linkname}, which is no file before it`)
  }

  /** Where `path` really is, symlinks of the archive followed in all but its last component, never above the root. */
  #resolve(path: string, member: string): string {
    if (this.#symlinks.size === 0) return path
    let todo = path.split('/')
    let done = ''
    for (let links = 0; todo.length > 1;) {
      const [component = '', ...rest] = todo
      todo = rest
      if (component === '' || component === '.') continue
      if (component === '..') {
        done = parentPath(done)
        continue
      }
      const next = done === '' ? component : `${done}/${component}`
      const link = this.#symlinks.get(next)
      if (link === undefined) {
        done = next
        continue
      }
      if (++links > mostLinks)
        throw this.#refuse('LAYER_UNSAFE', member, 'its path goes through too many symbolic links')
      if (link.startsWith('/')) done = ''
      todo = [...link.split('/'), ...todo]
    }
    const [last = ''] = todo
    return done === '' ? last : `${done}/${last}`
  }

  #refuse(code: 'LAYER_UNSAFE' | 'TAR_INVALID', member: string, why: string): CairnError {
    return new CairnError(code, `${this.#name}: ${JSON.stringify(member)} is refused: ${why}`)
  }
}
