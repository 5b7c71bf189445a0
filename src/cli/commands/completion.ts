import { usageError } from '../../errors/error.ts'
import { defineCommand } from '../command.ts'
import { completionScripts } from '../completion-scripts.ts'

const shells = Object.keys(completionScripts) as (keyof typeof completionScripts)[]

export default defineCommand({
  usage: '[bash|zsh|fish]',
  args: { min: 1, max: 1 },
  flags: {},
  examples: [
    { text: 'Complete in this bash', command: 'source <(cairn completion bash)' },
    { text: 'Complete in every zsh', command: 'cairn completion zsh > "${fpath[1]}/_cairn"' },
    { text: 'Complete in every fish', command: 'cairn completion fish > ~/.config/fish/completions/cairn.fish' },
  ],
  output: 'collected',
  complete: () => shells,
  run(ctx, _flags, [name = '']) {
    const shell = shells.find((one) => one === name)
    if (shell === undefined)
      throw usageError(`no completion for the shell ${JSON.stringify(name)}`, {
        hint: `Choose one of: ${shells.join(', ')}.`,
      })
    ctx.stdout.write(completionScripts[shell])
    return Promise.resolve()
  },
})
