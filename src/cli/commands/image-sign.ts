import { signImage } from '../../engine/images/sign-image.ts'
import { parsePrivateKey } from '../../signing/key-pair.ts'
import { defineCommand } from '../command.ts'
import { imageNames } from '../images/image-names.ts'
import { readKeyFile, requireKey } from '../key-file.ts'
import { openStoreOf } from '../open-store.ts'
import { keyPassword, keyPasswordFlag } from '../password-stdin.ts'
import { registryAccessOf } from '../registry-access.ts'

export default defineCommand({
  usage: '--key KEY IMAGE [IMAGE...]',
  description: `Signs images with a private key, as cosign does: a sigstore bundle that refers to the image. It is kept in the store with
the image, and \`cairn push\` takes it along; of docker://NAME it is put into the registry. No network is needed otherwise:
there is no certificate and no transparency log. The password of an encrypted key is taken from COSIGN_PASSWORD or from stdin.`,
  examples: [
    {
      text: 'Sign, and push with the signature',
      command: 'cairn image sign --key cosign.key app:1 && cairn push app:1',
    },
    {
      text: 'With the password from a file',
      command: 'cairn image sign --key cosign.key --password-stdin app:1 < password',
    },
    { text: 'Sign in the registry', command: 'cairn image sign --key cosign.key docker://registry.example/app:1' },
  ],
  args: { min: 1 },
  flags: { key: { type: 'string', value: 'file', complete: 'file', summary: 'Private key (PEM)' }, ...keyPasswordFlag },
  complete: (ctx) => imageNames(ctx),
  async run(ctx, flags, names) {
    const path = requireKey(flags.key)
    const password = await keyPassword(ctx, flags['password-stdin'])
    const key = await parsePrivateKey(readKeyFile(path), path, () => password)
    const store = await ctx.use(openStoreOf)
    for (const name of names) ctx.stdout.write(`${await signImage(store, name, key, registryAccessOf(ctx))}\n`)
  },
})
