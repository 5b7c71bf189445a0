import { parseLimits } from '../content/limits.ts'
import { openStore, type Store } from '../content/store.ts'
import type { CommandContext } from './context.ts'

/** The store a command works on, for `ctx.use`. */
export function openStoreOf(ctx: CommandContext): Store {
  return openStore(ctx.root, parseLimits(ctx.env['CAIRN_LIMITS']))
}
