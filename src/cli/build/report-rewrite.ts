import type { Rewritten } from '../../images/rewrite-image.ts'
import type { CommandContext } from '../context.ts'

/** Prints what came of rewriting an image: its digest on stdout, the rest on stderr. */
export function reportRewrite(ctx: CommandContext, { target, platforms, droppedAttestations }: Rewritten): void {
  ctx.stderr.write(platforms.length === 0 ? 'Nothing changed\n' : `Changed ${platforms.join(', ')}\n`)
  if (droppedAttestations > 0)
    ctx.stderr.write(
      `WARNING: ${droppedAttestations} attestations are left out: they speak of the images as they were\n`,
    )
  ctx.stdout.write(`${target.digest}\n`)
}

/** The definition of `--tag` for commands that make an image of another. */
export const newTagFlag = {
  type: 'stringArray',
  short: 't',
  value: 'name',
  summary: 'Name of the result (default: the image loses its name to it)',
} as const
