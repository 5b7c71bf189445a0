import { removeContainers, removeLink } from '../../engine/containers/remove-containers.ts'
import { defineCommand } from '../command.ts'
import { containerNames } from '../containers/container-names.ts'
import { forEachName } from '../containers/each-container.ts'
import { openStoreOf, openStoreToFree } from '../open-store.ts'

export default defineCommand({
  usage: '[OPTIONS] CONTAINER [CONTAINER...]',
  examples: [
    { text: 'End a container and remove it', command: 'cairn rm -f web' },
    { text: 'Remove a container with the volumes that only it had', command: 'cairn rm -v web' },
  ],
  args: { min: 1 },
  flags: {
    force: { type: 'bool', short: 'f', summary: 'Force the removal of a running container (uses SIGKILL)' },
    link: { type: 'bool', short: 'l', summary: 'Remove the specified link' },
    volumes: { type: 'bool', short: 'v', summary: 'Remove anonymous volumes associated with the container' },
  },
  complete: (ctx) => containerNames(ctx),
  async run(ctx, flags, names) {
    if (flags.link) {
      const store = await ctx.use(openStoreOf)
      return await forEachName(ctx, names, async (name) => removeLink(store, name))
    }
    const failures = await removeContainers(await ctx.use(openStoreToFree), names, {
      force: flags.force,
      volumes: flags.volumes,
      signal: ctx.signal,
      onRemoval: (name) => ctx.stdout.write(`${name}\n`),
    })
    for (const { error } of failures) ctx.stderr.write(`cairn: ${error.message}\n`)
    return failures.some(({ isIgnored }) => !isIgnored) ? 1 : 0
  },
})
