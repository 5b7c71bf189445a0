import { describe, expect, test } from 'bun:test'
import { Children } from '../../test/fixtures/children.ts'
import { eventually } from '../../test/fixtures/container-bench.ts'
import { isAlive, ownIdentity, processStatus, signalGroup, signalProcess } from './processes.ts'
import { openPipe, readPipe } from './pipes.ts'
import { close, write } from './files.ts'
import { signalNumbers } from './signals.ts'
import { readTextFile, writeTextFile } from './text-file.ts'

describe('processes', () => {
  test('`processStatus()` reads parent and start, also of a process with an odd name', async () => {
    expect(processStatus(process.pid)?.parent).toBe(process.ppid)
    expect(isAlive(ownIdentity())).toBe(true)
    using children = new Children()
    const script = 'printf ") R 1 1" > /proc/self/comm; echo set; read -r line'
    const child = children.add(Bun.spawn(['sh', '-c', script], { stdin: 'pipe', stdout: 'pipe' }))
    await child.stdout.getReader().read()
    expect(processStatus(child.pid)?.parent).toBe(process.pid)
    child.kill('SIGKILL')
    await child.exited
    expect(processStatus(child.pid)).toBeUndefined()
  })

  test('`signalProcess()` signals the process that was meant, and no other with its number', async () => {
    using children = new Children()
    const child = children.add(Bun.spawn(['sleep', '60']))
    const startTime = processStatus(child.pid)?.startTime ?? 0
    expect(signalProcess({ pid: child.pid, startTime: startTime - 1 }, signalNumbers.SIGKILL)).toBe(false)
    expect(isAlive({ pid: child.pid, startTime })).toBe(true)
    expect(signalProcess({ pid: child.pid, startTime }, signalNumbers.SIGTERM)).toBe(true)
    await child.exited
    expect(child.signalCode).toBe('SIGTERM')
    expect(signalProcess({ pid: child.pid, startTime }, signalNumbers.SIGTERM)).toBe(false)
    expect(signalProcess({ pid: 2 ** 22 + 1, startTime: 1 }, signalNumbers.SIGTERM)).toBe(false)
  })

  test('`signalGroup()` signals what a process has started, too, and no other group with its number', async () => {
    using children = new Children()
    const leader = children.add(Bun.spawn(['sh', '-c', 'sleep 60 & echo $!; wait'], { detached: true, stdout: 'pipe' }))
    const first = await leader.stdout.getReader().read()
    const below = Number(new TextDecoder().decode(first.value))
    const startTime = processStatus(leader.pid)?.startTime ?? 0
    expect(signalGroup({ pid: leader.pid, startTime: startTime - 1 }, signalNumbers.SIGKILL)).toBe(false)
    expect(processStatus(below)?.isZombie).toBe(false)
    expect(signalGroup({ pid: leader.pid, startTime }, signalNumbers.SIGTERM)).toBe(true)
    await leader.exited
    expect(leader.signalCode).toBe('SIGTERM')
    expect(await eventually(() => processStatus(below)?.isZombie !== false)).toBe(true)
    expect(signalGroup({ pid: leader.pid, startTime }, signalNumbers.SIGTERM)).toBe(false)
  })
})

describe('pipes', () => {
  test('`readPipe()` gives all bytes and closes its end', async () => {
    const pipe = openPipe()
    write(pipe.write, new TextEncoder().encode('hello '))
    write(pipe.write, new TextEncoder().encode('world'))
    close(pipe.write)
    let text = ''
    for await (const chunk of readPipe(pipe.read)) text += new TextDecoder().decode(chunk)
    expect(text).toBe('hello world')
    expect(readTextFile(`/proc/self/fdinfo/${pipe.read}`)?.includes('pos') ?? false).toBe(false)
  })

  test('`readPipe()` left early breaks the pipe for its writer', async () => {
    const pipe = openPipe()
    using children = new Children()
    const child = children.add(Bun.spawn(['yes'], { stdout: pipe.write, stdin: 'ignore', stderr: 'ignore' }))
    close(pipe.write)
    for await (const chunk of readPipe(pipe.read)) if (chunk.length > 0) break
    await child.exited
    expect(child.signalCode).toBe('SIGPIPE')
  })
})

test('`readTextFile()` reads files of any size, cuts at the limit, and knows absence', () => {
  const path = `/tmp/cairn-text-${process.pid}`
  const text = 'ä line\n'.repeat(20_000)
  try {
    writeTextFile(path, text)
    expect(readTextFile(path)).toBe(text)
    expect(readTextFile(path, 10)).toBe('ä line\nä')
    writeTextFile(path, '')
    expect(readTextFile(path)).toBe('')
  } finally {
    Bun.spawnSync(['rm', '-f', path])
  }
  expect(readTextFile(path)).toBeUndefined()
  expect(readTextFile('/etc/passwd/x')).toBeUndefined()
  expect(() => readTextFile('/etc')).toThrow('is a directory')
})
