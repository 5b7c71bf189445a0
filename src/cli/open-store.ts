import { parseLimits } from '../content/limits.ts'
import { openStore, type Store, type StoreOptions } from '../content/store.ts'
import { exitAtOnce } from '../linux/exit.ts'
import type { CommandContext } from './context.ts'

/** The store a command works on, for `ctx.use`. What is waited for is told on stderr, save with `--quiet`. */
export function openStoreOf(ctx: CommandContext): Store {
  return open(ctx, false)
}

/** As {@link openStoreOf} for a command that removes things: it works on a full disk. */
export function openStoreToFree(ctx: CommandContext): Store {
  return open(ctx, true)
}

/**
 * As {@link openStoreOf} for a command that often changes nothing. Its database is left as it is then, which saves four
 * fsyncs: two to begin its log, two to bring that in.
 */
export function openStoreToBuild(ctx: CommandContext): { readonly store: Store } & Disposable {
  const store = openStoreOf(ctx)
  return {
    store,
    [Symbol.dispose]: () => {
      if (store.leaveUnchanged()) leaveDatabaseAtExit()
    },
  }
}

let isLeft = false

/** Keeps Bun from closing a database when the process ends. */
export function leaveDatabaseAtExit(): void {
  if (!isLeft) process.once('exit', exitAtOnce)
  isLeft = true
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
