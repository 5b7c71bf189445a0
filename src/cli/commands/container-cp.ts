import {
  copyArchiveToContainer,
  copyAsArchive,
  copyFromContainer,
  type CopyOptions,
  copyToContainer,
} from '../../engine/containers/copy-container.ts'
import { CairnError, usageError } from '../../errors/error.ts'
import { defineCommand } from '../command.ts'
import { containerNames } from '../containers/container-names.ts'
import { openStoreOf } from '../open-store.ts'
import { formatByteSize } from '../units.ts'

export default defineCommand({
  usage: '[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\tcairn cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH',
  description:
    'A source goes into a directory that is there under its own name; DIR/. stands for what is in a directory. "-" is a tar archive on stdin or stdout.',
  examples: [
    { text: 'A file out of a container, whether it runs or not', command: 'cairn cp web:/etc/nginx/nginx.conf .' },
    { text: 'What is in a directory, into one of a container', command: 'cairn cp site/. web:/usr/share/nginx/html' },
  ],
  args: { min: 2, max: 2 },
  flags: {
    archive: { type: 'bool', short: 'a', summary: 'Archive mode (copy all uid/gid information)' },
    'follow-link': { type: 'bool', short: 'L', summary: 'Always follow symbol link in SRC_PATH' },
    quiet: {
      type: 'bool',
      short: 'q',
      summary:
        'Suppress progress output during copy. Progress output is automatically suppressed if no terminal is attached',
    },
  },
  complete: async (ctx) => (await containerNames(ctx)).map((name) => `${name}:`),
  async run(ctx, flags, [source = '', target = '']) {
    if (source === '') throw usageError('source can not be empty')
    if (target === '') throw usageError('destination can not be empty')
    const from = splitPath(source)
    const to = splitPath(target)
    if (to.container !== undefined && to.path === '') throw new CairnError('CONFIG_INVALID', 'no such directory')
    if (from.container !== undefined && to.container !== undefined)
      throw new CairnError('CONFIG_INVALID', 'copying between containers is not supported')
    const options: CopyOptions = { followLink: flags['follow-link'], archive: flags.archive }
    const store = await ctx.use(openStoreOf)
    const here = (path: string): string => (path.startsWith('/') ? path : `${ctx.cwd}/${path}`)
    let size: number
    if (from.container !== undefined) {
      if (to.path === '-') {
        if (ctx.stdout.isTTY) throw usageError('cowardly refusing to write an archive to a terminal')
        await copyAsArchive(store, from.container, from.path, options, (bytes) => ctx.stdout.write(bytes))
        return
      }
      size = await copyFromContainer(store, from.container, from.path, here(to.path), options)
    } else if (to.container !== undefined) {
      if (from.path === '-')
        return await copyArchiveToContainer(store, to.container, ctx.stdin.bytes(), to.path, options)
      size = await copyToContainer(store, to.container, here(from.path), to.path, options)
    } else throw new CairnError('CONFIG_INVALID', 'must specify at least one container source')
    if (!flags.quiet && ctx.stderr.isTTY)
      ctx.stderr.write(
        `Successfully copied ${formatByteSize(size, 3)} to ${to.container === undefined ? here(target) : target}\n`,
      )
  },
})

/** `container:path`, unless it begins like a path: then a colon is part of a name. */
function splitPath(text: string): { readonly container?: string; readonly path: string } {
  if (text === '-' || text.startsWith('/')) return { path: text }
  const colon = text.indexOf(':')
  if (colon <= 0 || text.startsWith('.')) return { path: text }
  return { container: text.slice(0, colon), path: text.slice(colon + 1) }
}
