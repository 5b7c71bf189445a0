import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { ContainerCairn } from '../../../test/fixtures/cli/container-cairn.ts'
import { file, layerOf } from '../../../test/fixtures/layers.ts'
import { listEvents, recordEvent } from '../../content/events.ts'
import { openStore } from '../../content/store.ts'

// A machine that is busy otherwise is no reason to fail.
setDefaultTimeout(60_000)

let cairn: ContainerCairn
beforeAll(async () => {
  cairn = new ContainerCairn()
  await cairn.image('busybox')
})
afterAll(() => {
  cairn[Symbol.dispose]()
})

/** Type, action and name of each event that `args` shows. */
const events = async (...args: string[]): Promise<string[]> => {
  const format = ['--format', '{{.Type}} {{.Action}} {{.Actor.Attributes.name}}']
  return (await cairn.ok(['events', ...format, '--until', '0s', ...args])).trimEnd().split('\n')
}

/** The moment now, as --since takes it. */
const moment = (): string => ((performance.timeOrigin + performance.now()) / 1000).toFixed(6)

describe('`cairn events`', () => {
  test("tells what happens to images in docker's order and lines", async () => {
    const since = moment()
    const stdin = layerOf(file('a', 'text'))
    const id = (await cairn.ok(['import', '-c', 'LABEL k=v', '-c', 'LABEL a=b', '-', 'box:1'], { stdin })).trim()
    await cairn.ok(['tag', 'box:1', 'registry.example.com/box:2'])
    await cairn.ok(['save', '-o', 'box.tar', 'box:1'])
    await cairn.ok(['rmi', 'box:1', 'registry.example.com/box:2'])
    await cairn.ok(['load', '-i', 'box.tar'])
    await cairn.ok(['image', 'prune', '-f'])
    const lines = (await cairn.ok(['events', '--since', since, '--until', '0s'])).trimEnd().split('\n')
    expect(lines.map((line) => line.replace(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}000Z /, ''))).toEqual([
      `image tag ${id} (a=b, k=v, name=box:1)`,
      `image import ${id} (a=b, k=v, name=${id})`,
      `image tag ${id} (a=b, k=v, name=registry.example.com/box:2)`,
      `image save ${id} (a=b, k=v, name=${id})`,
      `image untag ${id} (a=b, k=v, name=${id})`,
      `image untag ${id} (a=b, k=v, name=${id})`,
      `image delete ${id} (name=${id})`,
      `image load ${id} (a=b, k=v, name=${id})`,
      'image prune  (reclaimed=0)',
    ])
  })

  test('tells what happens to containers and volumes', async () => {
    const since = moment()
    await cairn.run(['run', '--name', 'one', '-l', 'k=v', '-v', 'data:/data', 'busybox', 'sh', '-c', 'exit 3'])
    await cairn.ok(['commit', '-m', 'why', 'one', 'two:1'])
    await cairn.ok(['export', '-o', 'one.tar', 'one'])
    await cairn.ok(['rm', 'one'])
    const told = await events('--since', since, '--filter', 'type=volume', '--filter', 'type=container')
    expect(told.filter((line) => line !== 'container attach one')).toEqual([
      'volume create <no value>',
      'container create one',
      'volume mount <no value>',
      'container start one',
      'volume unmount <no value>',
      'container die one',
      'container commit one',
      'container export one',
      'container destroy one',
    ])
    const died = await cairn.ok(['events', '--since', since, '--until', '0s', '--filter', 'event=die'])
    expect(died).toMatch(/ container die [0-9a-f]{64} \(execDuration=\d, exitCode=3, image=busybox, k=v, name=one\)\n$/)
  })

  test("prints docker's JSON, with what older clients look for", async () => {
    const since = moment()
    await cairn.ok(['run', '--rm', '--name', 'json', '-v', '/anonymous', 'busybox', 'true'])
    const args = ['events', '--since', since, '--until', '0s', '--format', 'json']
    const [volume, create] = (await cairn.ok(args)).split('\n').map((line) => line && (JSON.parse(line) as object))
    expect(volume).toMatchObject({ Type: 'volume', Action: 'create', Actor: { Attributes: { driver: 'local' } } })
    expect(Object.keys(volume as object)).toEqual(['Type', 'Action', 'Actor', 'scope', 'time', 'timeNano'])
    expect(create).toMatchObject({ status: 'create', from: 'busybox', Type: 'container', scope: 'local' })
    expect(Object.keys(create as object).slice(0, 4)).toEqual(['status', 'id', 'from', 'Type'])
    expect(await cairn.ok([...args.slice(0, -1), '{{.Status}} {{.From}} {{.Scope}}', '-f', 'event=die'])).toBe(
      'die busybox local\n',
    )
  })

  test('filters as docker does', async () => {
    const since = moment()
    await cairn.ok(['tag', 'busybox', 'copy:1'])
    await cairn.ok(['run', '--rm', '--name', 'filtered', '-l', 'a=b', 'busybox', 'true'])
    const select = (...filters: string[]) => events('--since', since, ...filters.flatMap((one) => ['-f', one]))
    expect(await select('event=tag', 'event=start')).toEqual(['image tag copy:1', 'container start filtered'])
    expect(await select('image=copy')).toEqual(['image tag copy:1'])
    expect(await select('image=busybox', 'event=die')).toEqual(['container die filtered'])
    expect(await select('container=filt', 'event=create')).toEqual(['container create filtered'])
    expect(await select('label=a=b', 'event=destroy')).toEqual(['container destroy filtered'])
    expect(await select('label=a=c')).toEqual([''])
    expect(await select('type=network')).toEqual([''])
  })

  test('follows other processes until it is interrupted, each event once', async () => {
    const format = ['--format', '{{.Actor.Attributes.name}}']
    const child = cairn.start(['events', ...format, '--filter', 'event=tag'])
    // It tells only what comes after it began, which a first name proves.
    const reader = child.stdout.getReader()
    const decoder = new TextDecoder()
    let shown = ''
    const until = async (text: string): Promise<void> => {
      while (!shown.includes(text)) {
        const { value, done } = await reader.read()
        if (done) throw new Error(`ended after ${JSON.stringify(shown)}`)
        shown += decoder.decode(value, { stream: true })
      }
    }
    const begun = until('begun:')
    for (let index = 0; !shown.includes('begun:'); index++) await cairn.ok(['tag', 'busybox', `begun:${index}`])
    await begun
    const names = Array.from({ length: 8 }, (_, index) => `many:${index}`)
    await Promise.all(names.map((name) => cairn.ok(['tag', 'busybox', name])))
    await cairn.ok(['tag', 'busybox', 'last:1'])
    await until('last:1\n')
    child.kill('SIGINT')
    expect(await child.exited).toBe(130)
    expect(await new Response(child.stderr).text()).toBe('')
    const many = shown.split('\n').filter((name) => name.startsWith('many:'))
    expect(many.toSorted()).toEqual(names)
  })

  test('refuses moments and filters that are wrong', async () => {
    const fails = async (...args: string[]): Promise<string> => {
      const { status, err } = await cairn.run(['events', ...args])
      expect(status).not.toBe(0)
      return err
    }
    expect(await fails('--until', 'xyz')).toContain('failed to parse value as time or duration: "xyz"')
    expect(await fails('--since', '2026-01-02T00:00:00Z', '--until', '2026-01-01T00:00:00Z')).toContain(
      '`since` time (1767312000.000000000) cannot be after `until` time (1767225600.000000000)',
    )
    expect(await fails('--filter', 'foo=bar')).toContain("invalid filter 'foo'")
    expect(await fails('--filter', 'foo')).toContain('bad format of filter (expected name=value)')
    expect(await fails('--format', '{{.Foo}}', '--since', '1h', '--until', '0s')).toContain("can't evaluate field Foo")
  })
})

describe('events in the store', () => {
  test('are there when what they tell of is, and not otherwise', () => {
    using store = openStore(`${cairn.directory}/other`)
    const failing = (): void => {
      store.database.transaction(() => {
        recordEvent(store, 'image', 'tag', 'sha256:x', { name: 'never' })
        throw new Error('undone')
      })
    }
    expect(failing).toThrow('undone')
    expect(listEvents(store, 0)).toEqual([])
  })

  test('are ten thousand at most, the oldest going first', () => {
    using store = openStore(`${cairn.directory}/full`)
    store.database.transaction(() => {
      for (let index = 1; index <= 10_250; index++) recordEvent(store, 'volume', 'create', `v${index}`, {})
    })
    const kept = listEvents(store, 0)
    expect(kept).toHaveLength(10_000)
    expect(kept.at(0)?.actor).toBe('v251')
    expect(kept.at(-1)?.actor).toBe('v10250')
  })
})
