import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { killTree } from '../../test/fixtures/children.ts'
import { ContainerBench, eventually, outcomeOf, processesWith } from '../../test/fixtures/container-bench.ts'
import { removeCgroup } from './cgroups.ts'
import { detectRuntime } from './runtime.ts'

// A machine that is busy otherwise is no reason to fail.
setDefaultTimeout(60_000)

const root = join(import.meta.dir, '../..')

/** A Cairn process of its own on a terminal of its own, which runs `args` in a container on that terminal. */
function onTerminal(box: ContainerBench, runtime: string, args: readonly string[]) {
  const id = basename(box.directory)
  const script = `${box.directory}/on-terminal.ts`
  writeFileSync(
    script,
    `
    import { mkdirSync } from 'node:fs'
    import { run } from '${root}/src/runtime/run.ts'
    import { detectRuntime } from '${root}/src/runtime/runtime.ts'
    import { containerSpec } from '${root}/src/runtime/spec.ts'
    const bundle = ${JSON.stringify(box.directory)} + '/bundle-' + process.pid
    mkdirSync(bundle)
    const spec = containerSpec({
      rootfs: ${JSON.stringify(box.rootfs)}, args: ${JSON.stringify(args)}, env: ['PATH=/bin'], cwd: '/',
      hostname: 'box', network: 'none', terminal: true,
    })
    const container = run({
      id: ${JSON.stringify(id)}, spec, bundle, stateDirectory: ${JSON.stringify(box.stateDirectory)},
      runtime: detectRuntime(${JSON.stringify(runtime)}), forwardSignals: true,
    })
    const status = await container.exited
    console.log('status ' + status)
    `,
  )
  let shown = ''
  const decoder = new TextDecoder()
  const child = Bun.spawn(['sh', '-c', '"$@"; stty -a', 'sh', process.execPath, script], {
    terminal: { cols: 77, rows: 33, data: (_, bytes) => void (shown += decoder.decode(bytes, { stream: true })) },
  })
  const terminal = child.terminal
  if (terminal === undefined) throw new Error('no terminal')
  return {
    child,
    terminal,
    shown: () => shown,
    sees: async (text: string) => eventually(() => shown.includes(text)),
    [Symbol.dispose]: () => {
      killTree(child.pid)
      terminal.close()
      // Cairn, which would remove it, may have been killed.
      removeCgroup(`/cairn-${id}`)
    },
  }
}

describe.each(['crun', 'runc'] as const)('a terminal of %s', (name) => {
  test('is the user’s own: its size, resizing, raw keys, and its modes set back at the end', async () => {
    using box = new ContainerBench()
    const script =
      'trap "stty size" WINCH; tty; echo $TERM; stty size; while :; do read -r line || continue; echo "got<$line>"; [ "$line" = end ] && exit 6; done'
    using session = onTerminal(box, name, ['sh', '-c', script])
    expect(await session.sees('33 77\r\n')).toBe(true)
    expect(session.shown()).toMatch(/\/dev\/(pts\/0|console)\r\nxterm\r\n33 77\r\n/)
    session.terminal.resize(100, 40)
    expect(
      await eventually(() => {
        session.terminal.write('again\r')
        return session.shown().includes('40 100\r\n')
      }),
    ).toBe(true)
    session.terminal.write('end\r')
    expect(await session.child.exited).toBe(0)
    expect(session.shown()).toContain('got<again>\r\n')
    expect(session.shown()).toContain('status 6\r\n')
    const modes = session.shown().slice(session.shown().lastIndexOf('status 6'))
    expect(modes).toMatch(/(?<!-)isig/)
    expect(modes).toMatch(/(?<!-)icanon/)
  })

  test('hands Ctrl-C to the container as a key, not to Cairn as a signal', async () => {
    using box = new ContainerBench()
    using session = onTerminal(box, name, [
      'sh',
      '-c',
      'trap "echo interrupted; exit 9" INT; echo ready; while :; do sleep 0.05; done',
    ])
    expect(await session.sees('ready')).toBe(true)
    session.terminal.write('\u0003')
    expect(await session.child.exited).toBe(0)
    expect(session.shown()).toContain('interrupted\r\n')
    expect(session.shown()).toContain('status 9\r\n')
  })

  test('is set back when Cairn is killed, and the container is gone', async () => {
    using box = new ContainerBench()
    const marker = `311${process.pid}`
    using session = onTerminal(box, name, ['sh', '-c', `echo ready; sleep ${marker}; true`])
    expect(await session.sees('ready')).toBe(true)
    const cairn = processesWith(`${box.directory}/on-terminal.ts`).find((pid) => pid !== session.child.pid)
    if (cairn === undefined) throw new Error('no Cairn process')
    process.kill(cairn, 'SIGKILL')
    expect(await session.child.exited).toBe(0)
    expect(await eventually(() => processesWith(marker).length === 0)).toBe(true)
  })

  test('can be the caller’s: bytes in, bytes out, its size', async () => {
    using box = new ContainerBench(detectRuntime(name))
    let shown = ''
    const script =
      'stty size; trap "stty size; exit 4" WINCH; echo ready; read -r line; echo "<$line>"; while :; do sleep 0.02; done'
    const container = box.start(
      ['sh', '-c', script],
      { terminal: true },
      {
        terminal: { columns: 61, rows: 17, onData: (bytes) => void (shown += new TextDecoder().decode(bytes)) },
      },
    )
    const outcome = outcomeOf(container)
    expect(await eventually(() => shown.includes('ready'))).toBe(true)
    expect(shown).toContain('17 61\r\n')
    await container.stdin?.write(new TextEncoder().encode('typed\r'))
    expect(await eventually(() => shown.includes('<typed>'))).toBe(true)
    container.resize(120, 50)
    expect((await outcome).status).toBe(4)
    expect(shown).toContain('50 120\r\n')
  })
})
