import { verifyImage } from '../../engine/images/verify-image.ts'
import { parsePublicKey } from '../../signing/key-pair.ts'
import { defineCommand } from '../command.ts'
import { imageNames } from '../images/image-names.ts'
import { readKeyFile, requireKey } from '../key-file.ts'
import { openStoreOf } from '../open-store.ts'
import { registryAccessOf } from '../registry-access.ts'

export default defineCommand({
  usage: '--key KEY IMAGE [IMAGE...]',
  description: `Checks that images are signed with a key, and that they are what was signed. Prints the digest of each. Signatures are
looked for in the store, or with docker://NAME in the registry. Certificates and transparency logs are not looked at.`,
  examples: [
    { text: 'An image of the store', command: 'cairn image verify --key cosign.pub app:1' },
    {
      text: 'Run exactly what was verified',
      command: 'cairn run registry.example/app@$(cairn image verify --key cosign.pub docker://registry.example/app:1)',
    },
  ],
  args: { min: 1 },
  flags: { key: { type: 'string', value: 'file', complete: 'file', summary: 'Public key (PEM)' } },
  complete: (ctx) => imageNames(ctx),
  async run(ctx, flags, names) {
    const path = requireKey(flags.key)
    const key = await parsePublicKey(readKeyFile(path), path)
    const store = await ctx.use(openStoreOf)
    for (const name of names) {
      const { digest, others } = await verifyImage(store, name, key, registryAccessOf(ctx))
      for (const reason of others) ctx.stderr.write(`WARNING: signature ${reason}\n`)
      ctx.stdout.write(`${digest}\n`)
    }
  },
})
