import { makeRaw } from '../../linux/terminal.ts'
import type { CommandContext } from '../context.ts'
import { DetachKeys } from './detach-keys.ts'

/**
 * Hands on what is typed until the input ends or the detach keys come, which are not handed on themselves.
 *
 * @param detachKeys - bytes of {@link import('./detach-keys.ts').parseDetachKeys}; undefined where nothing leaves
 */
export async function passInput(
  { stdin }: CommandContext,
  detachKeys: readonly number[] | undefined,
  write: (bytes: Uint8Array) => Promise<void> | void,
): Promise<'ended' | 'detached'> {
  const keys = detachKeys === undefined ? undefined : new DetachKeys(detachKeys)
  for await (const chunk of stdin.bytes()) {
    const taken = keys?.take(chunk)
    await write(taken?.bytes ?? chunk)
    if (taken?.isComplete === true) return 'detached'
  }
  return 'ended'
}

/** Makes the terminal at file descriptor 0 raw until the result is called, or the process ends. */
export function makeRawUntilExit(): () => void {
  const restore = makeRaw(0)
  process.on('exit', restore)
  return () => {
    process.off('exit', restore)
    restore()
  }
}
