import { parseEpoch } from '../../build/epoch.ts'
import { bootstrapImage } from '../../engine/images/bootstrap-image.ts'
import { CairnError, usageError } from '../../errors/error.ts'
import { parseReference } from '../../oci/reference.ts'
import { createDisplay } from '../../progress/create-display.ts'
import { defineCommand } from '../command.ts'
import { openStoreOf } from '../open-store.ts'

export default defineCommand({
  usage: '[OPTIONS] REPOSITORY[:TAG]',
  description:
    "Installs a distribution's packages, their signatures checked by apt, into a new image: Debian, Ubuntu, and what is\nmade like them. The same packages give the same image ID on every machine. Everything in it is dated by the archive\n(its newest Release file), or by SOURCE_DATE_EPOCH. Needs root and mmdebstrap (`apt-get install mmdebstrap`).",
  examples: [
    { text: 'Debian with what apt needs', command: 'cairn bootstrap debian:bookworm --suite bookworm' },
    {
      text: 'Without documentation, with certificates',
      command: 'cairn bootstrap --slim --suite bookworm --include ca-certificates debian:bookworm-slim',
    },
    {
      text: 'As the archive was on a day',
      command:
        'cairn bootstrap debian:then --suite trixie --mirror https://snapshot.debian.org/archive/debian/20260101T000000Z',
    },
  ],
  args: { min: 1, max: 1 },
  flags: {
    arch: { type: 'string', summary: "Architecture in Debian's words, such as arm64 (default: that of this machine)" },
    components: { type: 'stringSlice', summary: 'Parts of the archive (default "main")' },
    include: { type: 'stringSlice', summary: 'More packages to install' },
    keyring: {
      type: 'string',
      summary: 'Keyring that must have signed the archive (default: those apt trusts on this machine)',
      complete: 'file',
    },
    mirror: { type: 'stringArray', summary: 'URL of the archive, or a line of sources.list (may be repeated)' },
    quiet: { type: 'bool', short: 'q', summary: 'Only print the image ID' },
    slim: { type: 'bool', summary: 'Leave out documentation, manual pages and translations' },
    suite: { type: 'string', summary: 'Release of the distribution, such as bookworm, sid or noble' },
    variant: {
      type: 'string',
      default: 'minbase',
      oneOf: ['essential', 'apt', 'minbase', 'buildd', 'required', 'important', 'debootstrap', 'standard'],
      summary:
        'Which packages: only the essential ones ("essential"), and apt ("apt", "minbase"), or all of a priority ("required", "important", "standard")',
    },
  },
  complete: () => [],
  async run(ctx, flags, [name = '']) {
    const { suite } = flags
    if (suite === undefined || !/^[A-Za-z0-9][\w./+-]*$/.test(suite))
      throw usageError(suite === undefined ? 'required flag "suite" not set' : `invalid suite ${JSON.stringify(suite)}`)
    const reference = parseReference(name)
    if (reference.digest !== undefined) throw new CairnError('REFERENCE_INVALID', 'cannot name a new image by a digest')
    const epoch = parseEpoch(ctx.env['SOURCE_DATE_EPOCH'])
    const display = createDisplay(flags.quiet ? 'quiet' : 'auto', ctx.stderr, ctx.env)
    try {
      const { imageId } = await bootstrapImage(await ctx.use(openStoreOf), {
        reference,
        suite,
        variant: flags.variant,
        include: flags.include,
        components: flags.components.length === 0 ? ['main'] : flags.components,
        mirrors: flags.mirror,
        architecture: flags.arch,
        keyring: flags.keyring,
        slim: flags.slim,
        epoch,
        env: ctx.env,
        progress: (event) => display.handle(event),
        signal: ctx.signal,
      })
      display.finish()
      ctx.stdout.write(`${imageId}\n`)
    } finally {
      display.finish()
    }
  },
})
