import { CairnError, usageError } from '../../errors/error.ts'
import { close, open, openFlags, write } from '../../linux/files.ts'
import { tryLstat } from '../../linux/file-status.ts'
import { generateKeyPair } from '../../signing/key-pair.ts'
import { defineCommand } from '../command.ts'
import { keyPassword, keyPasswordFlag } from '../password-stdin.ts'

export default defineCommand({
  usage: '[OPTIONS]',
  description: `Makes a pair of keys for \`cairn image sign\` and \`cairn image verify\`, in cosign's format: ECDSA on P-256, the private key
encrypted with the password in COSIGN_PASSWORD, which may be empty, or from stdin.`,
  examples: [
    {
      text: 'Makes cosign.key and cosign.pub',
      command: 'read -rs COSIGN_PASSWORD && export COSIGN_PASSWORD && cairn image generate-key-pair',
    },
  ],
  args: { max: 0 },
  flags: {
    'output-key-prefix': { type: 'string', default: 'cosign', summary: 'What the names of the two files begin with' },
    ...keyPasswordFlag,
  },
  async run(ctx, flags) {
    const password = await keyPassword(ctx, flags['password-stdin'])
    if (password === undefined)
      throw usageError('COSIGN_PASSWORD is not set', {
        hint: 'Set it to the password that the private key is to have. It may be empty. Or give --password-stdin.',
      })
    const prefix = flags['output-key-prefix']
    const [privatePath, publicPath] = [`${prefix}.key`, `${prefix}.pub`]
    for (const path of [privatePath, publicPath])
      if (tryLstat(path) !== undefined)
        throw new CairnError('NAME_IN_USE', `${path} is there already`, { hint: 'Choose another --output-key-prefix.' })
    const { privatePem, publicPem } = await generateKeyPair(password)
    writeNew(privatePath, privatePem, 0o600)
    writeNew(publicPath, publicPem, 0o644)
    ctx.stderr.write(`Private key written to ${privatePath}\nPublic key written to ${publicPath}\n`)
  },
})

function writeNew(path: string, text: string, mode: number): void {
  const fd = open(path, openFlags.O_WRONLY | openFlags.O_CREAT | openFlags.O_EXCL, mode)
  try {
    write(fd, new TextEncoder().encode(text), path)
  } finally {
    close(fd)
  }
}
