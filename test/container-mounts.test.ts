import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { existsSync, mkdirSync } from 'node:fs'
import { ContainerCairn } from './fixtures/cli/container-cairn.ts'

// A machine that is busy otherwise is no reason to fail.
setDefaultTimeout(60_000)

let cairn: ContainerCairn
/** A mount that shares what is mounted below it with others. */
let shared: string

beforeAll(async () => {
  cairn = new ContainerCairn()
  await cairn.image('busybox')
  shared = `${cairn.directory}/shared`
  mkdirSync(shared)
  mountTmpfs(shared, '--make-shared')
})

afterEach(async () => {
  await cairn.run(['rm', '-f', 'one'])
})

afterAll(() => {
  Bun.spawnSync(['umount', '-R', '-l', shared])
  cairn[Symbol.dispose]()
})

function mountTmpfs(path: string, ...more: string[]): void {
  mkdirSync(path, { recursive: true })
  Bun.spawnSync(['mount', '-t', 'tmpfs', 'none', path])
  if (more.length > 0) Bun.spawnSync(['mount', ...more, path])
}

async function detached(...flags: string[]): Promise<void> {
  await cairn.ok(['run', '-d', '--name', 'one', '--network', 'none', ...flags, 'busybox', 'sleep', '1000'])
}

const inside = async (...command: string[]): Promise<string> => (await cairn.run(['exec', 'one', ...command])).out

describe('bind mounts', () => {
  test('show a container what the host mounts later with rslave, and nothing the other way', async () => {
    await detached('--privileged', '-v', `${shared}:/m:rslave`)
    mountTmpfs(`${shared}/later`)
    mkdirSync(`${shared}/later/seen`)
    expect(await inside('ls', '/m/later')).toBe('seen\n')
    await inside('sh', '-c', 'mkdir /m/own; mount -t tmpfs none /m/own; mkdir /m/own/hidden')
    expect(existsSync(`${shared}/own`)).toBe(true)
    expect(existsSync(`${shared}/own/hidden`)).toBe(false)
    expect(
      await cairn.ok(['inspect', '-f', '{{(index .Mounts 0).Propagation}} {{json .HostConfig.Binds}}', 'one']),
    ).toBe(`rslave ["${shared}:/m:rslave"]\n`)
  })

  test('show the host what a container mounts with rshared', async () => {
    await detached('--privileged', '--mount', `type=bind,src=${shared},dst=/m,bind-propagation=rshared`)
    await inside('sh', '-c', 'mkdir -p /m/both; mount -t tmpfs none /m/both; mkdir /m/both/seen')
    expect(existsSync(`${shared}/both/seen`)).toBe(true)
  })

  test('of the foreground leave nothing of that behind', async () => {
    const flags = ['--rm', '--network', 'none', '-v', `${shared}:/m:rslave`]
    const { out, err } = await cairn.run([
      'run',
      ...flags,
      'busybox',
      'grep',
      '-c',
      ' /m .* master:',
      '/proc/self/mountinfo',
    ])
    expect([out, err]).toEqual(['1\n', ''])
  })

  test('are refused where the host shares nothing, and for unknown ways', async () => {
    const alone = `${cairn.directory}/alone`
    mountTmpfs(alone, '--make-private')
    try {
      const failing = async (mode: string): Promise<string> =>
        (await cairn.run(['run', '--rm', '--network', 'none', '-v', `${alone}:/m:${mode}`, 'busybox', 'true'])).err
      expect(await failing('rslave')).toContain(
        `path ${alone} is mounted on ${alone} but it is not a shared or slave mount`,
      )
      expect(await failing('shared')).toContain(`path ${alone} is mounted on ${alone} but it is not a shared mount`)
      expect(await failing('sideways')).toContain('invalid mode: sideways')
    } finally {
      Bun.spawnSync(['umount', alone])
    }
  })

  test('that are read-only are so below, too, unless told otherwise', async () => {
    mountTmpfs(`${shared}/deep`)
    const script = 'touch /m/x || touch /m/deep/x && echo written'
    const written = async (mount: string): Promise<string> => {
      const flags = ['--rm', '--network', 'none', '--mount', `type=bind,src=${shared},dst=/m,readonly${mount}`]
      return (await cairn.run(['run', ...flags, 'busybox', 'sh', '-c', script])).out
    }
    expect(await written('')).toBe('')
    expect(await written(',bind-recursive=readonly,bind-propagation=rprivate')).toBe('')
    expect(await written(',bind-recursive=writable')).toBe('written\n')
  })
})

describe('volume-subpath', () => {
  test('mounts a part of a volume, which no symlink in it leads out of', async () => {
    const script =
      'mkdir -p /v/a/b; echo text >/v/a/b/c; ln -s /etc /v/absolute; ln -s ../../../../../../etc /v/relative'
    const flags = ['run', '--rm', '--network', 'none']
    await cairn.ok([...flags, '-v', 'parts:/v', 'busybox', 'sh', '-c', script])
    const part = (subpath: string): string => `type=volume,src=parts,dst=/m,volume-subpath=${subpath}`
    expect(await cairn.ok([...flags, '--mount', part('a/b'), 'busybox', 'cat', '/m/c'])).toBe('text\n')
    expect(await cairn.ok([...flags, '--mount', part('a/b/c'), 'busybox', 'cat', '/m'])).toBe('text\n')
    for (const outside of ['absolute', 'relative', 'nothing']) {
      const { status, err } = await cairn.run([...flags, '--mount', part(outside), 'busybox', 'ls', '/m'])
      expect([status, err.includes(`/_data/${outside}: no such file or directory`)]).toEqual([125, true])
    }
    const { err } = await cairn.run([...flags, '--mount', part('../other'), 'busybox', 'ls', '/m'])
    expect(err).toContain('subpath must be a relative path within the volume')
  })
})
