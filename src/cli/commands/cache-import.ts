import { archiveInput } from '../../engine/build/archive-input.ts'
import { importCacheMount } from '../../engine/build/transfer-cache-mount.ts'
import { CairnError, usageError } from '../../errors/error.ts'
import { cacheMountIds } from '../build/cache-names.ts'
import { defineCommand } from '../command.ts'
import { openStoreOf } from '../open-store.ts'

export default defineCommand({
  usage: '[OPTIONS] ID [FILE | URL | -]',
  description:
    'Makes the cache mount ID of the files in a tar, plain or compressed, from FILE or standard input. What it held before\nis gone then. Steps find it that mount a cache with this id, owner and mode, and that do not begin it with files of\na stage (from=).',
  examples: [
    { text: 'Bring back what a CI job kept', command: 'cairn cache import /root/.npm npm.tar.zst' },
    {
      text: 'For RUN --mount=type=cache,id=deps,uid=1000',
      command: 'tar -c -C deps . | cairn cache import --uid 1000 deps',
    },
  ],
  args: { min: 1, max: 2 },
  flags: {
    gid: { type: 'int', summary: "Group that steps ask for (default: that of the archive's root, else 0)" },
    mode: {
      type: 'string',
      summary: "Permissions that steps ask for (default: those of the archive's root, else 0755)",
    },
    uid: { type: 'int', summary: "Owner that steps ask for (default: that of the archive's root, else 0)" },
  },
  complete: (ctx, _text, args) => (args.length === 0 ? cacheMountIds(ctx) : 'file'),
  async run(ctx, flags, [id = '', from = '-']) {
    if (from === '-' && ctx.stdin.isTTY)
      throw usageError('cannot import from a terminal', { hint: 'Pipe an archive in, or give its path.' })
    const { source, name } = archiveInput(from, { stdin: () => ctx.stdin.bytes(), signal: ctx.signal })
    const owner = {
      ...(flags.uid === undefined ? {} : { uid: checkedOwner(flags.uid, '--uid') }),
      ...(flags.gid === undefined ? {} : { gid: checkedOwner(flags.gid, '--gid') }),
      ...(flags.mode === undefined ? {} : { mode: parseMode(flags.mode) }),
    }
    const mount = await importCacheMount(await ctx.use(openStoreOf), id, source, {
      name,
      owner,
      signal: ctx.signal,
      onWait: (holder) => ctx.stderr.write(`waiting for ${holder} to release the cache mount\n`),
    })
    ctx.stdout.write(`${mount.name}\n`)
  },
})

/** IDs of Linux end before 2^32 - 1. */
function checkedOwner(value: number, flag: string): number {
  if (value >= 0 && value < 0xffff_ffff) return value
  throw new CairnError('USAGE', `invalid argument "${value}" for "${flag}" flag: not an ID of a user or group`)
}

function parseMode(text: string): number {
  if (/^[0-7]{1,4}$/.test(text)) return Number.parseInt(text, 8)
  throw new CairnError(
    'USAGE',
    `invalid argument ${JSON.stringify(text)} for "--mode" flag: not permissions such as 0755`,
  )
}
