import { parseLimits } from '../content/limits.ts'
import { openStore, type Store, type StoreOptions } from '../content/store.ts'
import type { CommandContext } from './context.ts'

/** The store a command works on, for `ctx.use`. What is waited for is told on stderr, save with `--quiet`. */
export function openStoreOf(ctx: CommandContext): Store {
  return open(ctx, false)
}

/** As {@link openStoreOf} for a command that removes things: it works on a full disk. */
export function openStoreToFree(ctx: CommandContext): Store {
  return open(ctx, true)
}

/** What every opening of the store is told by the command line. */
export function storeOptions(ctx: CommandContext): StoreOptions {
  return {
    limits: parseLimits(ctx.env['CAIRN_LIMITS']),
    command: `cairn ${ctx.path}`,
    ...(ctx.given('quiet') ? {} : { tell: (message) => ctx.stderr.write(`${message}\n`) }),
  }
}

function open(ctx: CommandContext, isFreeing: boolean): Store {
  return openStore(ctx.root, { ...storeOptions(ctx), isFreeing })
}
