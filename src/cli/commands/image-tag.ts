import { tagImage } from '../../images/records/tag-image.ts'
import { CairnError, isCairnError } from '../../errors/error.ts'
import { parseReference, type Reference } from '../../oci/reference.ts'
import { defineCommand } from '../command.ts'
import { imageNames } from '../images/image-names.ts'
import { openStoreOf } from '../open-store.ts'

export default defineCommand({
  usage: 'SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]',
  description: 'A target name that another image has is taken from it.',
  examples: [{ text: 'Name an image for a registry', command: 'cairn tag app registry.example.com/team/app:1.2' }],
  args: { min: 2, max: 2 },
  flags: {},
  output: 'collected',
  complete: (ctx) => imageNames(ctx),
  async run(ctx, _flags, [source = '', target = '']) {
    tagImage(await ctx.use(openStoreOf), source, parseTarget(target))
  },
})

function parseTarget(text: string): Reference {
  try {
    return parseReference(text)
  } catch (cause) {
    if (!isCairnError(cause)) throw cause
    const message = `Error parsing reference: ${JSON.stringify(text)} is not a valid repository/tag: ${cause.message}`
    throw new CairnError('REFERENCE_INVALID', message, { cause })
  }
}
