import { CairnError } from '../../errors/error.ts'
import { TaskSlots } from '../client/task-slots.ts'

/** Users and what their passwords hash to. */
export type Passwords = ReadonlyMap<string, string>

/**
 * Reads a password file as `htpasswd -B` writes it: lines of NAME:HASH, with bcrypt hashes, empty ones and comments.
 * Throws CONFIG_INVALID naming the line, also for hashes of other kinds, which are broken too quickly.
 */
export function parsePasswords(text: string, path: string): Passwords {
  const passwords = new Map<string, string>()
  for (const [index, line] of text.split('\n').entries()) {
    const entry = line.trim()
    if (entry === '' || entry.startsWith('#')) continue
    const colon = entry.indexOf(':')
    const [name, hash] = [entry.slice(0, colon), entry.slice(colon + 1)]
    const where = `${path}, line ${index + 1}`
    if (colon < 1) throw new CairnError('CONFIG_INVALID', `${where}: not NAME:HASH`)
    if (!/^\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}$/.test(hash))
      throw new CairnError('CONFIG_INVALID', `${where}: the hash of ${JSON.stringify(name)} is not bcrypt`, {
        hint: 'Make it with htpasswd -B.',
      })
    if (passwords.has(name)) throw new CairnError('CONFIG_INVALID', `${where}: ${JSON.stringify(name)} is there twice`)
    passwords.set(name, hash)
  }
  return passwords
}

/** How long a password that was right is not hashed again, in milliseconds; bcrypt takes longer than any other part of a request. */
const memory = 5 * 60_000
const mostRemembered = 10_000
/** A hash of nothing anybody knows, so that unknown users take as long as known ones. */
const decoy = '$2b$10$abcdefghijklmnopqrstuuLvIkzz6pSkFQ7vKDDfXbPvMc5rQxXa6'

/** Passwords hashed at once: the threads that do it read files, too. */
const hashesAtOnce = 2

/** Tells whether passwords are right. */
export class PasswordCheck {
  readonly #key = crypto.getRandomValues(new Uint8Array(32))
  /** Keyed digest of user, password and hash → when it stops counting. Passwords themselves are not kept. */
  readonly #right = new Map<string, number>()
  /** By the same digest: what is being hashed. */
  readonly #underWay = new Map<string, Promise<boolean>>()
  readonly #slots = new TaskSlots(hashesAtOnce)

  /**
   * Calls `beforeHashing` when a password's turn comes to be hashed, which may be a while after the call; what that
   * throws is thrown. Passwords that were right lately are not hashed, and one that is asked about many times at once is
   * hashed once.
   */
  async isRight(
    passwords: Passwords,
    name: string,
    password: string,
    beforeHashing: () => void = () => {},
  ): Promise<boolean> {
    const hash = passwords.get(name)
    const mark = this.#mark(name, password, hash ?? decoy)
    const until = this.#right.get(mark)
    if (until !== undefined && until > Date.now()) return true
    const known = this.#underWay.get(mark)
    if (known !== undefined) return await known
    const own = this.#slots
      .run(() => {
        beforeHashing()
        return this.#hash(mark, password, hash)
      })
      .finally(() => this.#underWay.delete(mark))
    this.#underWay.set(mark, own)
    return await own
  }

  async #hash(mark: string, password: string, hash: string | undefined): Promise<boolean> {
    // The same algorithm under the name that Bun knows.
    const isMatch = await Bun.password
      .verify(password, (hash ?? decoy).replace(/^\$2[ay]\$/, '$2b$'))
      .catch(() => false)
    if (!isMatch || hash === undefined) return false
    if (this.#right.size >= mostRemembered) this.#right.clear()
    this.#right.set(mark, Date.now() + memory)
    return true
  }

  #mark(name: string, password: string, hash: string): string {
    return new Bun.CryptoHasher('sha256', this.#key).update(JSON.stringify([name, password, hash])).digest('base64')
  }
}
