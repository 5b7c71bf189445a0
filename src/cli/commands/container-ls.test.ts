import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { ContainerCairn } from '../../../test/fixtures/cli/container-cairn.ts'

// A machine that is busy otherwise is no reason to fail.
setDefaultTimeout(60_000)

let cairn: ContainerCairn

beforeAll(async () => {
  cairn = new ContainerCairn()
  await cairn.image('busybox', { config: { Cmd: ['sh'], Labels: { from: 'image' } } })
  await cairn.ok(['run', '--name', 'fine', '-l', 'a=b', '-v', 'named:/n', '-v', '/anonymous', 'busybox', 'true'])
  await cairn.run(['run', '--name', 'failed', 'busybox', 'sh', '-c', 'echo twelve bytes >/x; exit 3'])
  await cairn.run(['run', '--name', 'unstarted', 'busybox', 'nosuch'])
})

afterAll(() => {
  cairn[Symbol.dispose]()
})

/** A container that runs until it is disposed of. */
async function running(name: string) {
  const child = cairn.start(['run', '--rm', '--name', name, 'busybox', 'sh', '-c', 'echo up; exec sleep 99'])
  await child.stdout.getReader().read()
  return {
    child,
    [Symbol.asyncDispose]: async () => {
      await cairn.run(['rm', '-f', name])
      await child.exited
    },
  }
}

const names = async (...args: string[]): Promise<string[]> =>
  (await cairn.ok(['ps', '--format', '{{.Names}}', ...args])).split('\n').filter((name) => name !== '')

describe('`cairn ps`', () => {
  test('lists what runs, and with -a all containers, the newest first, in docker’s columns', async () => {
    await using _up = await running('up')
    const [header, line, ...others] = (await cairn.ok(['ps'])).split('\n')
    expect(header).toMatch(/^CONTAINER ID {3}IMAGE {5}COMMAND +CREATED +STATUS +PORTS +NAMES$/)
    expect(line).toMatch(/^[0-9a-f]{12} {3}busybox {3}"sh -c 'echo up; exe…" .* ago +Up .* {10,}up$/)
    expect(others).toEqual([''])
    expect(await names('-a')).toEqual(['up', 'unstarted', 'failed', 'fine'])
    const statuses = await cairn.ok(['ps', '-a', '--format', '{{.Names}} {{.State}} {{.Status}}'])
    expect(statuses).toMatch(
      /^up running Up [^\n]*\nunstarted created Created\nfailed exited Exited \(3\) [^\n]* ago\nfine exited Exited \(0\) /,
    )
  })

  test('shows whole IDs, only IDs, JSON, sizes and labels', async () => {
    const ids = (await cairn.ok(['ps', '-aq', '--no-trunc'])).trimEnd().split('\n')
    expect(ids).toHaveLength(3)
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{64}$/)
    const [json = ''] = (await cairn.ok(['ps', '-a', '--filter', 'name=fine', '--format', 'json'])).split('\n')
    expect(JSON.parse(json)).toMatchObject({
      Command: '"true"',
      Image: 'busybox',
      Labels: 'a=b,from=image',
      LocalVolumes: '2',
      Mounts: expect.stringMatching(/^(?:named,[0-9a-f]{14}…|[0-9a-f]{14}…,named)$/) as string,
      Names: 'fine',
      Networks: 'host',
      Size: '0B',
      State: 'exited',
    })
    expect(await cairn.ok(['ps', '-as', '--filter', 'name=failed', '--format', '{{.Size}}'])).toMatch(
      /^13B \(virtual [\d.]+MB\)\n$/,
    )
    expect(await cairn.ok(['ps', '-a', '--filter', 'name=fine', '--format', '{{.Label "a"}}'])).toBe('b\n')
  })

  test('filters as docker does', async () => {
    const [id = ''] = (await cairn.ok(['ps', '-aq', '--filter', 'name=^fine$'])).split('\n')
    expect(await names('-a', '--filter', `id=${id}`)).toEqual(['fine'])
    expect(await names('--filter', 'status=exited')).toEqual(['failed', 'fine'])
    expect(await names('--filter', 'status=exited', '--filter', 'status=created')).toHaveLength(3)
    expect(await names('--filter', 'exited=3')).toEqual(['failed'])
    expect(await names('-a', '--filter', 'label=a=b')).toEqual(['fine'])
    expect(await names('-a', '--filter', 'before=failed')).toEqual(['fine'])
    expect(await names('-a', '--filter', 'since=failed')).toEqual(['unstarted'])
    expect(await names('-a', '--filter', 'volume=named')).toEqual(['fine'])
    expect(await names('-a', '--filter', 'ancestor=busybox')).toHaveLength(3)
    expect(await names('-a', '--filter', 'ancestor=other')).toEqual([])
    expect(await names('-n', '2')).toEqual(['unstarted', 'failed'])
    expect(await names('-l')).toEqual(['unstarted'])
  })

  test('fails with docker’s words for filters that make no sense', async () => {
    expect((await cairn.run(['ps', '--filter', 'foo=1'])).err).toStartWith("cairn: invalid filter 'foo'\n")
    expect((await cairn.run(['ps', '--filter', 'status=foo'])).err).toStartWith(
      "cairn: invalid filter 'status=foo': invalid value for state (foo): must be one of created, running, paused, restarting, removing, exited, dead\n",
    )
    expect(await cairn.run(['ps', '--filter', 'before=nosuch'])).toMatchObject({
      status: 1,
      err: 'cairn: No such container: nosuch\n',
    })
  })
})

describe('`cairn rm`', () => {
  test('removes by name, ID and beginning of an ID, and goes on after a failure', async () => {
    await cairn.ok(['run', '--name', 'first', 'busybox', 'true'])
    await cairn.ok(['run', '--name', 'second', 'busybox', 'true'])
    const id = (await cairn.ok(['ps', '-aq', '--no-trunc', '--filter', 'name=second'])).trim()
    expect(await cairn.run(['rm', 'nosuch', 'first', id.slice(0, 9)])).toEqual({
      status: 1,
      out: `first\n${id.slice(0, 9)}\n`,
      err: 'cairn: No such container: nosuch\n',
    })
    expect(cairn.entries('containers')).not.toContain(id)
  })

  test('says that one is not there without failing where it is forced', async () => {
    expect(await cairn.run(['rm', '-f', 'nosuch'])).toEqual({
      status: 0,
      out: '',
      err: 'cairn: No such container: nosuch\n',
    })
  })

  test('leaves a running container alone, and kills it where it is forced', async () => {
    const child = cairn.start(['run', '--name', 'busy', 'busybox', 'sh', '-c', 'echo up; exec sleep 99'])
    await child.stdout.getReader().read()
    expect(await cairn.run(['rm', 'busy'])).toEqual({
      status: 1,
      out: '',
      err: 'cairn: cannot remove container "busy": container is running: stop the container before removing or force remove\n',
    })
    expect(await cairn.ok(['rm', '-f', 'busy'])).toBe('busy\n')
    expect(await child.exited).toBe(137)
    expect(await names('-a', '--filter', 'name=busy')).toEqual([])
  })

  test('removes volumes without a name of their own only where that is asked for', async () => {
    const volumes = cairn.entries('volumes')
    await cairn.ok(['run', '--name', 'keeper', '-v', '/v', 'busybox', 'true'])
    await cairn.ok(['rm', 'keeper'])
    expect(cairn.entries('volumes')).toHaveLength(volumes.length + 1)
    await cairn.ok(['run', '--name', 'sweeper', '-v', '/v', '-v', 'mine:/m', 'busybox', 'true'])
    await cairn.ok(['rm', '-v', 'sweeper'])
    expect(cairn.entries('volumes')).toHaveLength(volumes.length + 2)
    expect(cairn.entries('volumes')).toContain('mine')
  })
})

describe('`cairn rmi`', () => {
  test('keeps an image that containers need; their files stay even where it is forced', async () => {
    await cairn.image('needed', { files: { only: 'here' } })
    await cairn.ok(['run', '--name', 'user', 'needed', 'touch', '/written'])
    const refused = await cairn.run(['rmi', 'needed'])
    expect(refused.status).toBe(1)
    expect(refused.err).toMatch(
      /^cairn: conflict: unable to remove repository reference "needed" \(must force\) - container [0-9a-f]{12} is using its referenced image [0-9a-f]{12}\n/,
    )
    await cairn.ok(['rmi', '-f', 'needed'])
    expect(await cairn.ok(['ps', '-a', '--filter', 'name=user', '--format', '{{.Image}}'])).toMatch(/^[0-9a-f]{12}\n$/)
    await cairn.ok(['rm', 'user'])
  })

  test('cannot be forced while a container runs', async () => {
    await cairn.image('inuse')
    const id = (await cairn.ok(['images', '-q', 'inuse'])).trim()
    const child = cairn.start(['run', '--rm', '--name', 'runs', 'inuse', 'sh', '-c', 'echo up; exec sleep 99'])
    await child.stdout.getReader().read()
    expect((await cairn.run(['rmi', '-f', id])).err).toContain(
      '(cannot be forced) - image is being used by running container',
    )
    await cairn.ok(['rm', '-f', 'runs'])
    await child.exited
  })
})

describe('`cairn container prune`', () => {
  test('asks first, then removes all that does not run and suits the filters', async () => {
    using other = new ContainerCairn()
    await other.image('busybox')
    await other.ok(['run', '--name', 'labelled', '-l', 'keep', 'busybox', 'true'])
    await other.ok(['run', '--name', 'plain', 'busybox', 'sh', '-c', 'echo four >/f'])
    const question = 'WARNING! This will remove all stopped containers.\nAre you sure you want to continue? [y/N] '
    expect(await other.ok(['container', 'prune'], { stdin: 'n\n' })).toBe(question)
    const id = (await other.ok(['ps', '-aq', '--no-trunc', '--filter', 'name=plain'])).trim()
    const pruned = await other.ok(['container', 'prune', '--filter', 'label!=keep'], { stdin: 'y\n' })
    expect(pruned).toStartWith(`${question}Deleted Containers:\n${id}\n\nTotal reclaimed space: `)
    expect(await other.ok(['container', 'prune', '-f', '--filter', 'until=1h'])).toBe('Total reclaimed space: 0B\n')
    expect(await other.ok(['container', 'prune', '-f'])).toMatch(/^Deleted Containers:\n[0-9a-f]{64}\n\nTotal/)
    expect(other.entries('containers')).toEqual(['run'])
  })
})
