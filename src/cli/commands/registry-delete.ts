import { deleteRemote } from '../../engine/registry/delete-remote.ts'
import { defineCommand } from '../command.ts'
import { imageNames } from '../images/image-names.ts'
import { registryAccessOf } from '../registry-access.ts'

export default defineCommand({
  usage: '[OPTIONS] NAME:TAG|NAME@DIGEST...',
  description:
    'Deletes a tag, and no other that leads to the same image; by a digest the manifest with all its tags. Where a registry cannot\ndelete a tag, the tag is moved to a manifest of its own, which is then deleted. Blobs go when the registry collects garbage.',
  examples: [
    { text: 'One tag', command: 'cairn registry delete registry.example.com/app:old' },
    {
      text: 'What would go of an image with its signatures',
      command: 'cairn registry delete --dry-run --referrers registry.example.com/app@sha256:…',
    },
  ],
  args: { min: 1 },
  flags: {
    'dry-run': { type: 'bool', summary: 'Only tell what would be deleted' },
    referrers: { type: 'bool', summary: 'With a digest, also delete what refers to it' },
  },
  complete: (ctx) => imageNames(ctx),
  async run(ctx, flags, names) {
    const options = {
      access: registryAccessOf(ctx),
      isDryRun: flags['dry-run'],
      withReferrers: flags.referrers,
    }
    const verb = flags['dry-run'] ? 'Would delete' : 'Deleted'
    for (const name of names) {
      let last: string | undefined
      // What is told of before it goes is printed once it has gone.
      // oxlint-disable-next-line no-await-in-loop -- in the order of the names, as far as that goes
      for await (const { name: shown, digest } of deleteRemote(name, options)) {
        if (last !== undefined) ctx.stdout.write(last)
        last = `${verb}: ${shown}${shown.includes('@') ? '' : ` (${digest})`}\n`
      }
      if (last !== undefined) ctx.stdout.write(last)
    }
  },
})
