import { CairnError } from '../../../errors/error.ts'
import type { Bucket, FoundObject, ObjectInfo, WrittenObject } from '../../../object-storage/bucket.ts'

/** Seconds within which the server has to get to the deletion of an object. */
const deletionTime = 5
/** How old a tombstone is, in milliseconds, that whoever wrote it will not delete any more. */
const tombstoneLife = (deletionTime + 10) * 1000
/** How long it is waited for a tombstone to go or to grow old, in milliseconds. */
const longestWait = tombstoneLife + 10_000
const pause = 50

/** Bytes of every tombstone, and of no other guarded object. */
const tombstoneSize = 37

/** True for an object that stands for none. */
export function isTombstone({ size }: Pick<ObjectInfo, 'size'>): boolean {
  return size === tombstoneSize
}

/** Text that no other object has. */
export function freshMark(): string {
  return crypto.randomUUID()
}

/**
 * Small objects that any number of processes create, replace and remove, each step on the condition that the object is
 * still what it was seen to be. Few servers know conditions for DELETE, so a removal first replaces the object by a
 * tombstone, which counts as absent, and deletes that within seconds or leaves it. Whoever wants to write there waits
 * for one of the two; a deletion that is held up for longer is refused by the server, since its signature has run out.
 */
export class GuardedObjects {
  readonly #bucket: Bucket

  constructor(bucket: Bucket) {
    this.#bucket = bucket
  }

  async head(key: string): Promise<FoundObject | undefined> {
    const found = await this.#bucket.head(key)
    return found === undefined || isTombstone(found) ? undefined : found
  }

  async get(
    key: string,
  ): Promise<{ readonly object: FoundObject; readonly bytes: Uint8Array<ArrayBuffer> } | undefined> {
    const found = await this.#bucket.get(key)
    return found === undefined || isTombstone(found.object) ? undefined : found
  }

  /** Creates an object; undefined where there is one. Throws STORE_BUSY where a tombstone does not go. */
  async create(
    key: string,
    body: string | Uint8Array<ArrayBuffer>,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<WrittenObject | undefined> {
    for (const deadline = Date.now() + longestWait; ;) {
      const written = await this.#bucket.put({ key, body, headers, condition: 'absent' })
      if (written !== undefined) return written
      const found = await this.#bucket.head(key)
      if (found === undefined) continue
      if (!isTombstone(found)) return undefined
      if (found.age >= tombstoneLife) {
        const replaced = await this.replace(key, found.etag, body, headers)
        if (replaced !== undefined) return replaced
      } else if (Date.now() > deadline) {
        throw new CairnError('STORE_BUSY', `the object ${key} of the bucket is being removed for too long`)
      } else await Bun.sleep(pause)
    }
  }

  /** Replaces the object that has this entity tag; undefined where it has changed or is gone. */
  async replace(
    key: string,
    etag: string,
    body: string | Uint8Array<ArrayBuffer>,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<WrittenObject | undefined> {
    return await this.#bucket.put({ key, body, headers, condition: { etag } })
  }

  /** Creates an object or replaces one that is older than `age` milliseconds: in the end there is a young one. */
  async renew(key: string, age: number, body: () => string): Promise<void> {
    for (;;) {
      if ((await this.create(key, body())) !== undefined) return
      const found = await this.head(key)
      if (found === undefined) continue
      if (found.age < age || (await this.replace(key, found.etag, body())) !== undefined) return
    }
  }

  /**
   * Removes the object that has this entity tag. `isUnneeded` is asked when nobody sees it any more; where that says no,
   * the object is put back. False where it has changed, is gone, or was put back.
   */
  async remove(key: string, etag: string, isUnneeded?: () => Promise<boolean>): Promise<boolean> {
    const before = isUnneeded === undefined ? undefined : await this.#bucket.get(key)
    if (isUnneeded !== undefined && before?.object.etag !== etag) return false
    const tombstone = await this.#bury(key, etag)
    if (tombstone === undefined) return false
    if (before !== undefined && (await isUnneeded?.()) === false) {
      await this.replace(key, tombstone.etag, before.bytes)
      return false
    }
    await this.#bucket.deleteBefore(key, tombstone.time, deletionTime)
    return true
  }

  /** Deletes a tombstone whose process died. */
  async clear({ key, etag }: ObjectInfo): Promise<void> {
    const tombstone = await this.#bury(key, etag)
    if (tombstone !== undefined) await this.#bucket.deleteBefore(key, tombstone.time, deletionTime)
  }

  #bury(key: string, etag: string): Promise<WrittenObject | undefined> {
    return this.replace(key, etag, `-${freshMark()}`)
  }
}
