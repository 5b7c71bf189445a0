import { usageError } from '../errors/error.ts'
import type { CommandContext } from './context.ts'

/** Bytes. */
const longestPassword = 64 * 1024

/** All that stdin has, for a flag `--password-stdin`. Throws a usage error for more than a password would be. */
export async function passwordFromStdin(ctx: CommandContext): Promise<string> {
  const pieces: Uint8Array[] = []
  let size = 0
  for await (const piece of ctx.stdin.bytes()) {
    size += piece.length
    if (size > longestPassword) throw usageError('the password on stdin is too long')
    pieces.push(piece.slice())
  }
  return Buffer.concat(pieces).toString('utf8')
}

/** The password of a private key: what stdin has, without the line's end, or COSIGN_PASSWORD; undefined where that is not set. */
export async function keyPassword(ctx: CommandContext, isFromStdin: boolean): Promise<string | undefined> {
  return isFromStdin ? (await passwordFromStdin(ctx)).replace(/\r?\n$/, '') : ctx.env['COSIGN_PASSWORD']
}

/** The flag that goes with {@link keyPassword}. */
export const keyPasswordFlag = {
  'password-stdin': {
    type: 'bool',
    summary: 'Take the password of the private key from stdin, not from COSIGN_PASSWORD',
  },
} as const
