import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { completionScripts } from './completion-scripts.ts'

const sample = join(import.meta.dir, '../../test/fixtures/cli/sample-cli.ts')

/** What `cairn __complete` answers to `words`. */
function complete(...words: string[]): readonly string[] {
  const { stdout, exitCode } = Bun.spawnSync([process.execPath, sample, '__complete', ...words], {
    env: { HOME: '/home/me', CAIRN_ROOT: '/store' },
  })
  expect(exitCode).toBe(0)
  return stdout.toString().trimEnd().split('\n')
}

describe('__complete', () => {
  test('offers commands and groups with their summaries, hidden ones left out', () => {
    expect(complete('')).toEqual([
      'fail\tFail',
      'flood\tWrite much',
      'image\tManage images',
      'images\tList images',
      'run\tRun',
      'system\tManage Cairn',
      'tag\tCreate a tag',
      'version\tShow the version',
      'wait\tWait',
      ':4',
    ])
    expect(complete('image', 'l')).toEqual(['ls\tList images', ':4'])
    expect(complete('--debug', '--root', '/x', 'imag')).toEqual(['image\tManage images', 'images\tList images', ':4'])
  })

  test('leaves descriptions out when asked', () => {
    const { stdout } = Bun.spawnSync([process.execPath, sample, '__completeNoDesc', 'image', ''])
    expect(stdout.toString()).toBe('ls\ntag\n:4\n')
  })

  test('offers the flags of a command with the first line of what they do', () => {
    expect(complete('images', '--f')).toEqual([
      '--filter\tFilter output based on conditions provided',
      '--format\tFormat output using a custom template:',
      ':4',
    ])
    expect(complete('images', '-')).toContain('-q\tOnly show image IDs')
  })

  test('does not offer again a flag that is given, unless it may repeat', () => {
    expect(complete('images', '-q', '--filter', 'x', '--quiet')).toEqual([':4'])
    expect(complete('images', '-q', '--filter', 'x', '--filt')).toHaveLength(2)
  })

  test('offers the values of a flag, after a space and after =', () => {
    const levels = ['debug', 'info', 'warn', 'error', 'fatal', ':4']
    expect(complete('--log-level', '')).toEqual(levels)
    expect(complete('-l', 'd')).toEqual(['debug', ':4'])
    expect(complete('--log-level=d')).toEqual(['debug', ':4'])
    expect(complete('images', '--quiet=')).toEqual(['true', 'false', ':4'])
  })

  test('asks a command for what it alone knows, with the context it would run in', () => {
    expect(complete('tag', 'al')).toEqual(['alpine:3', 'alpine:edge', ':4'])
    expect(complete('tag', 'alpine:3', '')).toEqual([':4'])
    expect(complete('tag', 'a', 'b', '')).toEqual([':4'])
    expect(complete('images', '--filter', 'x')).toEqual(['xfilter=in-/store', ':4'])
    expect(complete('--root=/other', 'images', '--filter=')).toEqual(['filter=in-/other', ':4'])
  })

  test('lets the shell complete folders, and files where nothing is known', () => {
    expect(complete('run', '-v', '')).toEqual([':16'])
    expect(complete('--root', '')).toEqual([':16'])
    expect(complete('nonsense', '')).toEqual([':0'])
    expect(complete('images', '--nonsense', '')).toEqual([':0'])
  })

  test('offers no flags where a command has none: after --, and after the image of run', () => {
    expect(complete('run', 'alpine', '--r')).toEqual([':4'])
    expect(complete('images', '--', '--f')).toEqual([':4'])
    expect(complete('run', '--r')).toContain('--rm\tRemove the container when it exits')
  })

  test('offers topics to help', () => {
    expect(complete('help', 'im')).toEqual(['image\tManage images', 'images\tList images', ':4'])
    expect(complete('help', 'image', '')).toEqual(['ls\tList images', 'tag\tCreate a tag', ':4'])
  })
})

describe('completion scripts', () => {
  let folder: string

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'cairn-completion-'))
    const program = join(folder, 'cairn')
    writeFileSync(program, `#!/bin/sh\nexec '${process.execPath}' '${sample}' "$@"\n`)
    chmodSync(program, 0o755)
    for (const name of ['some-folder', 'other-folder']) mkdirSync(join(folder, name))
    writeFileSync(join(folder, 'some-file'), '')
  })

  afterEach(() => rmSync(folder, { recursive: true }))

  /** Runs a shell in the folder, where `cairn` is the sample command line. */
  function shell(argv: readonly string[]): string {
    const env = { PATH: `${folder}:${process.env['PATH']}`, HOME: folder, TERM: 'dumb' }
    const { stdout, stderr } = Bun.spawnSync([...argv], { cwd: folder, env })
    expect(stderr.toString()).toBe('')
    return stdout.toString()
  }

  test('bash completes words that it cuts at = and : itself', () => {
    const script = `${completionScripts.bash}
# What readline hands over: the line, and its words cut at the characters of COMP_WORDBREAKS.
try() {
  COMP_LINE="$1" COMP_POINT=\${#1} COMP_WORDS=() COMP_CWORD=0
  local word
  for word in $(sed -E 's/([=:]+)/ \\1 /g' <<<"$1"); do COMP_WORDS+=("$word"); done
  [[ $1 == *[[:space:]=:] ]] && COMP_WORDS+=("")
  COMP_CWORD=$((\${#COMP_WORDS[@]} - 1))
  __cairn_complete
  echo "\${COMPREPLY[*]}"
}
try 'cairn imag'
try 'cairn image '
try 'cairn --log-level=d'
try 'cairn --log-level '
try 'cairn tag alpine:e'
try 'cairn tag alpine:'
try 'cairn run -v some'
try 'cairn nonsense some-fi'
try 'cairn images --filter=a'
`
    expect(shell(['bash', '--norc', '-c', script])).toBe(`image images
ls tag
debug
debug info warn error fatal
edge
3 edge
some-folder
some-file
afilter=in-/var/lib/cairn
`)
  })

  test.skipIf(Bun.which('fish') === null)('fish completes with descriptions', () => {
    const ask = (line: string): string =>
      shell(['fish', '--no-config', '-c', `${completionScripts.fish}\ncomplete -C '${line}'`])
    expect(ask('cairn imag')).toBe('image\tManage images\nimages\tList images\n')
    expect(ask('cairn --log-level=d')).toBe('--log-level=debug\n')
    expect(ask('cairn tag alpine:')).toBe('alpine:3\nalpine:edge\n')
    expect(ask('cairn run -v some')).toBe('some-folder/\n')
  })

  test.skipIf(Bun.which('zsh') === null)('zsh completes in an interactive shell', async () => {
    writeFileSync(join(folder, 'completion.zsh'), completionScripts.zsh)
    let seen = ''
    const waiting: (() => void)[] = []
    const command = Bun.spawn(['zsh', '-f', '-i'], {
      cwd: folder,
      env: { PATH: `${folder}:${process.env['PATH']}`, HOME: folder, TERM: 'xterm' },
      terminal: {
        cols: 100,
        rows: 30,
        data(_terminal, data) {
          seen += Buffer.from(data).toString()
          for (const wake of waiting.splice(0)) wake()
        },
      },
    })
    const until = async (text: string): Promise<void> => {
      const deadline = Date.now() + 10_000
      while (!Bun.stripANSI(seen).includes(text)) {
        if (Date.now() > deadline) throw new Error(`${text} did not appear in ${JSON.stringify(seen)}`)
        await Promise.race([new Promise<void>((resolve) => waiting.push(resolve)), Bun.sleep(100)])
      }
    }
    try {
      command.terminal?.write('PS1=; autoload -U compinit; compinit -u -D; source ./completion.zsh; echo rea""dy\n')
      await until('ready')
      command.terminal?.write('cairn vers\t')
      await until('cairn version')
      command.terminal?.write('\u0015cairn --log-level=d\t')
      await until('--log-level=debug')
      command.terminal?.write('\u0015cairn tag alpine:e\t')
      await until('alpine:edge')
    } finally {
      command.kill('SIGKILL')
      await command.exited
      command.terminal?.close()
    }
  })
})
