import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { readdirSync } from 'node:fs'
import { BuildBench } from './fixtures/build-bench.ts'
import { cairnProgram } from './fixtures/suite.ts'

// A machine that is busy otherwise is no reason to fail.
setDefaultTimeout(60_000)

let bench: BuildBench
beforeAll(async () => {
  bench = await BuildBench.open()
})
afterAll(() => bench[Symbol.dispose]())

/** `cairn build` on a terminal of its own. */
function onTerminal(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  let shown = ''
  const decoder = new TextDecoder()
  const session = Bun.spawn([...cairnProgram, 'build', ...args, bench.context], {
    cwd: bench.directory,
    env: { PATH: process.env['PATH'], HOME: bench.directory, CAIRN_ROOT: bench.root, TERM: 'xterm', ...env },
    terminal: { cols: 200, rows: 40, data: (_, bytes) => void (shown += decoder.decode(bytes, { stream: true })) },
  })
  const child = bench.children.add(session)
  const { terminal } = child
  if (terminal === undefined) throw new Error('no terminal')
  const sees = async (text: string | RegExp): Promise<void> => {
    const found = (): boolean => (typeof text === 'string' ? shown.includes(text) : text.test(shown))
    while (!found()) {
      if (child.exitCode !== null) throw new Error(`ended without ${text}:\n${shown}`)
      await Bun.sleep(10)
    }
  }
  return { child, sees, type: (line: string) => void terminal.write(`${line}\n`), shown: () => shown }
}

describe('build --on-error shell', () => {
  test('opens a shell where a step failed, in its surroundings, and ends with its status', async () => {
    bench.file(
      'Dockerfile',
      `FROM busybox
ENV COLOR=green
WORKDIR /work
USER 5:6
RUN --mount=type=tmpfs,target=/t --mount=type=cache,target=/c,id=oe,uid=5 --mount=type=secret,id=s,uid=5 echo half > /t/half && echo c > /c/kept && exit 7
`,
    )
    const secret = ['--secret', 'id=s,env=HUSH']
    const build = onTerminal(['--on-error', 'shell', '--progress', 'plain', ...secret], { HUSH: 'hush-91' })
    await build.sees('exit code: 7')
    await build.sees('What you change is discarded')
    build.type('echo "<$COLOR $(id -u):$(id -g) $(pwd) $(cat /run/secrets/s) $(cat /c/kept) $(test -t 0 && echo tty)>"')
    await build.sees('<green 5:6 /work hush-91 c tty>')
    build.type('exit 3')
    expect(await build.child.exited).toBe(7)
    // The report stands before the shell, and the reason after it again.
    const [before = '', after = ''] = build.shown().split('What you change is discarded')
    expect(before).toContain('>>> RUN --mount')
    expect(after).toContain('did not complete successfully: exit code: 7')
    expect(after).not.toContain('>>> RUN')
    bench.closeStore()
    expect(readdirSync(`${bench.root}/tmp`)).toEqual([])
    expect(readdirSync(`${bench.root}/locks`)).toEqual([])
  })

  test('stops the steps beside, keeps nothing of what is done in the shell, and gives Ctrl-C to the shell', async () => {
    bench.file(
      'Dockerfile',
      `FROM busybox AS slow
RUN sleep 1000
FROM busybox
RUN sleep 0.3; echo tried; test -e /made
COPY --from=slow /etc/passwd /
`,
    )
    const build = onTerminal(['--on-error=shell'])
    await build.sees('What you change is discarded')
    build.type(`touch /made; trap 'echo "caught $((6 * 7))"' INT; echo "ready $((40 + 2))"`)
    await build.sees('ready 42')
    build.type('\u0003')
    await build.sees('caught 42')
    build.type('exit')
    expect(await build.child.exited).toBe(1)
    bench.file('Dockerfile', 'FROM busybox\nRUN sleep 0.3; echo tried; test -e /made\n')
    expect((await bench.cairn(['build', bench.context])).status).toBe(1)
  })

  test('says so where the file system has no shell', async () => {
    await bench.importBase('noshell')
    bench.file('Dockerfile', 'FROM noshell\nRUN ["/bin/busybox", "rm", "/bin/sh", "/none"]\n')
    const build = onTerminal(['--on-error', 'shell'])
    await build.sees('There is no shell: ')
    expect(await build.child.exited).toBe(1)
  })

  test('opens nothing for a build that succeeds or that fails before a command runs', async () => {
    bench.file('Dockerfile', 'FROM busybox\nRUN true\n')
    expect(await onTerminal(['--on-error', 'shell']).child.exited).toBe(0)
    bench.file('Dockerfile', 'FROM busybox\nCOPY nowhere /\n')
    const build = onTerminal(['--on-error', 'shell'])
    expect(await build.child.exited).toBe(1)
    expect(build.shown()).not.toContain('What you change')
  })

  test('is refused without a terminal', async () => {
    const { status, err } = await bench.cairn(['build', '--on-error', 'shell', bench.context])
    expect(status).toBe(1)
    expect(err).toContain('--on-error shell: the input device is not a TTY')
  })
})
