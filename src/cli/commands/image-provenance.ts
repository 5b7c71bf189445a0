import { knownPredicates } from '../../attest/find-statements.ts'
import { attachedStatements } from '../../engine/images/attached-statements.ts'
import { CairnError } from '../../errors/error.ts'
import { defineCommand } from '../command.ts'
import { imageNames } from '../images/image-names.ts'
import { openStoreOf } from '../open-store.ts'
import { platformFlag, platformOfFlag } from '../platform-flag.ts'
import { renderObjects } from '../printer.ts'
import { registryAccessOf } from '../registry-access.ts'

export default defineCommand({
  usage: '[OPTIONS] IMAGE',
  description: `Prints the SLSA provenance that is attached to an image: how, from what and by whom it was built. Whoever made the image
wrote it; only a signature says who that was.
IMAGE may also be oci:DIR[:TAG], oci-archive:FILE, docker-archive:FILE, dir:DIR or docker://NAME.`,
  examples: [
    { text: 'How an image was built', command: 'cairn provenance app:1' },
    {
      text: 'What it was built from',
      command:
        "cairn provenance --format '{{range .buildDefinition.resolvedDependencies}}{{println .uri}}{{end}}' app:1",
    },
  ],
  args: { min: 1, max: 1 },
  flags: {
    format: {
      type: 'string',
      default: '',
      summary: 'Format output using the given Go template, or "json" for one line',
    },
    platform: platformFlag,
  },
  complete: (ctx) => imageNames(ctx),
  async run(ctx, flags, [name = '']) {
    const found = await attachedStatements(await ctx.use(openStoreOf), name, knownPredicates.provenance, {
      platform: platformOfFlag(flags.platform),
      access: registryAccessOf(ctx),
    })
    if (found.length === 0)
      throw new CairnError('ATTESTATION_UNKNOWN', `${name} has no provenance attached`, {
        hint: 'cairn build --provenance=true attaches it.',
      })
    const predicates = found.map(({ predicate }) => predicate)
    ctx.stdout.write(
      flags.format === ''
        ? predicates.map((predicate) => `${JSON.stringify(predicate, undefined, 2)}\n`).join('')
        : renderObjects(predicates, flags.format),
    )
  },
})
