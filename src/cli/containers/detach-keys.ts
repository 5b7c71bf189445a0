import { CairnError } from '../../errors/error.ts'
import type { CommandContext } from '../context.ts'

/** docker's default. */
const usual = 'ctrl-p,ctrl-q'

/** The bytes of `--detach-keys`: `ctrl-a`, `a`, `ctrl-@,x`. Throws CONFIG_INVALID in docker's words. */
export function parseDetachKeys(text: string | undefined): readonly number[] {
  const keys = text === undefined || text === '' ? usual : text
  return keys.split(',').map((key) => {
    const control = /^ctrl-([a-z@[\\\]^_])$/.exec(key)?.[1]
    if (control !== undefined) return control.toUpperCase().charCodeAt(0) - 64
    if (key.length === 1 && key.charCodeAt(0) < 128) return key.charCodeAt(0)
    throw new CairnError('CONFIG_INVALID', `invalid detach keys (${text ?? ''}): Unknown character: '${key}'`)
  })
}

/** What `exec` and `attach` say and end with when their user has left; docker's. */
export function detached({ stderr }: Pick<CommandContext, 'stderr'>): number {
  stderr.write('read escape sequence\n')
  return 1
}

/** Looks for a sequence of keys in what is typed. */
export class DetachKeys {
  readonly #keys: readonly number[]
  #matched = 0

  constructor(keys: readonly number[]) {
    this.#keys = keys
  }

  /**
   * The part of `bytes` that is to be handed on, with what was held back before where that was no beginning of the
   * sequence after all; `isComplete` when the sequence has been typed.
   */
  take(bytes: Uint8Array): { readonly bytes: Uint8Array; readonly isComplete: boolean } {
    const passed: number[] = []
    for (const byte of bytes) {
      if (byte !== this.#keys[this.#matched]) {
        passed.push(...this.#keys.slice(0, this.#matched))
        this.#matched = 0
      }
      if (byte === this.#keys[this.#matched]) this.#matched++
      else passed.push(byte)
      if (this.#matched === this.#keys.length) return { bytes: Uint8Array.from(passed), isComplete: true }
    }
    return { bytes: Uint8Array.from(passed), isComplete: false }
  }
}
