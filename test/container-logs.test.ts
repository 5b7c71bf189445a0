import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { eventually, processesWith } from './fixtures/container-bench.ts'
import { killProcess } from './faults/killable-cairn.ts'
import { ContainerCairn } from './fixtures/cli/container-cairn.ts'

setDefaultTimeout(60_000)

let cairn: ContainerCairn

beforeAll(async () => {
  cairn = new ContainerCairn()
  await cairn.image('busybox')
})

afterAll(() => {
  cairn[Symbol.dispose]()
})

async function ran(name: string, script: string, ...flags: string[]): Promise<void> {
  await cairn.ok(['run', '-d', '--name', name, ...flags, 'busybox', 'sh', '-c', script])
  await cairn.ok(['wait', name])
}

describe('`cairn logs`', () => {
  test('gives every byte, also of a line of 300 KB and of one without an end', async () => {
    const script = 'seq 1 20000; head -c 300000 /dev/zero | tr "\\0" x; echo; printf "\\377\\000end"'
    await ran('bytes', script)
    const out = await new Response(cairn.start(['logs', 'bytes']).stdout).bytes()
    const expected = `${Array.from({ length: 20_000 }, (_, index) => `${index + 1}\n`).join('')}${'x'.repeat(300_000)}\n`
    expect(out.length).toBe(expected.length + 5)
    expect(Buffer.from(out).toString('latin1')).toBe(`${expected}\xFF\0end`)
    expect(await cairn.ok(['logs', '--tail', '2', 'bytes'])).toStartWith('xxx')
    expect((await cairn.ok(['logs', '-n', '15002', 'bytes'])).split('\n')[0]).toBe('5001')
    await cairn.ok(['rm', 'bytes'])
  })

  test('keeps lines whole that came in parts between others', async () => {
    await ran('parts', 'echo 1; printf par; sleep 0.1; echo err >&2; sleep 0.1; echo tly; printf end')
    expect(await cairn.run(['logs', '--tail', '2', 'parts'])).toEqual({ status: 0, out: 'partly\nend', err: '' })
    expect(await cairn.run(['logs', '--tail', '3', 'parts'])).toEqual({ status: 0, out: 'partly\nend', err: 'err\n' })
    expect(await cairn.run(['logs', '--tail', '0', 'parts'])).toEqual({ status: 0, out: '', err: '' })
    expect(await cairn.ok(['logs', '-t', 'parts'])).toMatch(
      /^(?:\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z (?:1\n|partly\n|end)){3}$/,
    )
    await cairn.ok(['rm', 'parts'])
  })

  test('follows a container to its end and loses nothing of what it wrote last', async () => {
    await cairn.ok([
      'run',
      '-d',
      '--name',
      'live',
      'busybox',
      'sh',
      '-c',
      'seq 1 5; sleep 0.5; seq 6 3000; printf last',
    ])
    const expected = `${Array.from({ length: 3000 }, (_, index) => `${index + 1}\n`).join('')}last`
    expect(await cairn.ok(['logs', '-f', 'live'])).toBe(expected)
    expect(await cairn.ok(['logs', '-f', '--since', '1h', '--until', '0s', 'live'])).toBe(expected)
    expect(await cairn.ok(['logs', '--since', '0s', 'live'])).toBe('')
    await cairn.ok(['rm', 'live'])
  })

  test('that follows, stats and wait end without a word when they are interrupted', async () => {
    await cairn.ok(['run', '-d', '--name', 'on', 'busybox', 'sh', '-c', 'while :; do echo on; sleep 0.1; done'])
    const ended = [
      ['logs', '-f', 'on'],
      ['stats', 'on'],
      ['wait', 'on'],
    ].map(async (args) => {
      const child = cairn.start(args)
      await Bun.sleep(1500)
      child.kill('SIGINT')
      return [await new Response(child.stderr).text(), await child.exited] as const
    })
    expect(await Promise.all(ended)).toEqual([
      ['', 130],
      ['', 130],
      ['', 130],
    ])
    await cairn.ok(['rm', '-f', 'on'])
  })

  test('begins anew at the size that was asked for, and has none where none was wanted', async () => {
    await ran('rotated', 'seq 1 20000', '--log-opt', 'max-size=50k')
    const lines = (await cairn.ok(['logs', 'rotated'])).trimEnd().split('\n')
    expect(lines.at(-1)).toBe('20000')
    expect(lines.length).toBeLessThan(2000)
    await ran('silent', 'echo x', '--log-driver', 'none')
    expect((await cairn.run(['logs', 'silent'])).err).toBe(
      'cairn: configured logging driver does not support reading\n',
    )
    await cairn.ok(['rm', 'rotated', 'silent'])
  })
})

describe('a log of several files', () => {
  const sizes = ['--log-opt', 'max-size=20k', '--log-opt', 'max-file=3']
  const numbers = (from: number, to: number): string =>
    Array.from({ length: to - from + 1 }, (_, index) => `${from + index}\n`).join('')
  const files = (id: string): string[] => cairn.entries('containers', id).filter((name) => /^log(\.\d+)?$/.test(name))

  test('keeps the last lines without a gap, and those who follow miss none', async () => {
    const script = 'for i in $(seq 1 40); do seq $((i * 100 - 99)) $((i * 100)); sleep 0.04; done; sleep 0.3'
    const id = (await cairn.ok(['run', '-d', '--name', 'kept', ...sizes, 'busybox', 'sh', '-c', script])).trim()
    expect(await cairn.ok(['logs', '-f', 'kept'])).toBe(numbers(1, 4000))
    expect(files(id)).toEqual(['log', 'log.1', 'log.2'])
    const out = await cairn.ok(['logs', 'kept'])
    const first = Number(out.split('\n')[0])
    expect(first).toBeGreaterThan(1)
    expect(first).toBeLessThan(4000 - (20_000 / 60) * 2)
    expect(out).toBe(numbers(first, 4000))
    for (const count of [1, 300, 700, 4000 - first])
      expect(await cairn.ok(['logs', '--tail', String(count), 'kept'])).toBe(numbers(4001 - count, 4000))
    expect(await cairn.ok(['logs', '--tail', '0', 'kept'])).toBe('')
    expect(await cairn.ok(['logs', '--tail', '100000', 'kept'])).toBe(out)
    await cairn.ok(['rm', 'kept'])
  })

  test('loses nothing when what looks after its size is killed, and is looked after again', async () => {
    const script = 'i=0; while :; do i=$((i + 1)); echo $i; [ $((i % 20)) != 0 ] || sleep 0.02; done'
    const flags = ['--log-opt', 'max-size=10k', '--log-opt', 'max-file=1000', '--name', 'struck']
    const id = (await cairn.ok(['run', '-d', ...flags, 'busybox', 'sh', '-c', script])).trim()
    for (let round = 0; round < 4; round++) {
      for (const pid of processesWith('rotate()').filter((pid) => cairn.attendants().includes(pid))) killProcess(pid)
      await cairn.ok(['ps'])
      const count = files(id).length
      expect(await eventually(() => files(id).length > count + 1, 15_000)).toBe(true)
    }
    await cairn.ok(['kill', 'struck'])
    const out = await cairn.ok(['logs', 'struck'])
    expect(out).toBe(numbers(1, Number(out.trimEnd().split('\n').at(-1))))
    await cairn.ok(['rm', 'struck'])
    expect(await eventually(() => cairn.attendants().length === 0)).toBe(true)
  })

  test('tells the labels, variables and tag that were asked for with --details', async () => {
    const chosen = ['labels=a,none', 'env=FOO', 'env-regex=^Z', 'tag=x y/{{.Name}}'].flatMap((one) => [
      '--log-opt',
      one,
    ])
    const given = ['--label', 'a=1 2&=/é', '--label', 'b=2', '-e', 'FOO=bar', '-e', 'Z1=q']
    await ran('detailed', 'echo hi', ...chosen, ...given)
    expect(await cairn.ok(['logs', '--details', 'detailed'])).toBe(
      'FOO=bar,Z1=q,a=1+2%26%3D%2F%C3%A9,tag=x+y%2Fdetailed hi\n',
    )
    await cairn.ok(['rm', 'detailed'])
  })
})

describe('`cairn run` without -d and --rm', () => {
  test('shows the output, hands the input over to its end, and keeps a log', async () => {
    const { status, out, err } = await cairn.run(
      ['run', '-i', '--name', 'cat', 'busybox', 'sh', '-c', 'cat; echo err >&2; exit 3'],
      { stdin: 'a line\n'.repeat(20_000) },
    )
    expect({ status, err, length: out.length }).toEqual({ status: 3, err: 'err\n', length: 140_000 })
    expect((await cairn.run(['logs', 'cat'])).out).toBe(out)
    expect(await cairn.run(['start', '-ai', 'cat'], { stdin: 'again\n' })).toEqual({
      status: 3,
      out: 'again\n',
      err: 'err\n',
    })
    await cairn.ok(['rm', 'cat'])
  })

  test('leaves a container with a terminal by the detach keys, and comes back to it', async () => {
    const script = 'stty size; while read line; do echo "got $line"; [ "$line" != quit ] || exit 6; done'
    using session = cairn.onTerminal(['run', '-it', '--name', 'shell', 'busybox', 'sh', '-c', script])
    await shows(session, '33 77')
    session.terminal.write('one\r')
    await shows(session, 'got one')
    session.terminal.write('\u0010\u0011')
    await shows(session, 'status 0')
    expect(await cairn.ok(['ps', '--format', '{{.Names}}'])).toBe('shell\n')
    using again = cairn.onTerminal(['attach', '--detach-keys', 'ctrl-a,x', 'shell'])
    await Bun.sleep(500)
    again.terminal.write('two\r')
    await shows(again, 'got two')
    again.terminal.write('quit\r')
    await shows(again, 'status 6')
    await cairn.ok(['rm', 'shell'])
  })
})

async function shows({ shown }: { readonly shown: () => string }, text: string): Promise<void> {
  const end = performance.now() + 20_000
  while (!shown().includes(text) && performance.now() < end) await Bun.sleep(20)
  expect(shown()).toContain(text)
}
