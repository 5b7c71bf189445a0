import { afterEach, beforeEach, expect, test } from 'bun:test'
import { createHash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { listComposedBlobs } from '../src/content/composed-blobs.ts'
import { openStore } from '../src/content/store.ts'
import { ContainerCairn } from './fixtures/cli/container-cairn.ts'

let maker: ContainerCairn
let user: ContainerCairn
let host: string

beforeEach(async () => {
  maker = new ContainerCairn()
  user = new ContainerCairn()
  const server = maker.start(['registry', 'serve', '--addr', '127.0.0.1:0'])
  let text = ''
  for await (const chunk of server.stderr) {
    text += Buffer.from(chunk).toString()
    const url = /Registry at (\S+)/.exec(text)?.[1]
    if (url === undefined) continue
    host = new URL(url).host
    return
  }
  throw new Error(`the server ended: ${text}`)
})
afterEach(() => {
  maker[Symbol.dispose]()
  user[Symbol.dispose]()
})

const big = Array.from({ length: 32 }, () => crypto.getRandomValues(new Uint8Array(65_536)).toBase64()).join('')
const words = 'words that compress, '.repeat(200_000)

/** Builds and pushes a version of an image: of its large layer one small file is another. */
async function publish(version: string): Promise<string> {
  const context = join(maker.directory, version)
  mkdirSync(join(context, 'data'), { recursive: true })
  for (const [name, text] of Object.entries({ big, words, small: `version ${version}\n` }))
    writeFileSync(join(context, 'data', name), text)
  writeFileSync(join(context, 'Dockerfile'), 'FROM base\nCOPY data /data\nCOPY Dockerfile /after\n')
  const name = `${host}/app:${version}`
  await maker.ok(['build', '-q', '-t', name, context])
  await maker.ok(['push', '-q', '--compression', 'zstd:chunked', name])
  return name
}

function sum(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

test('the next version of an image is pulled in part, and runs, is saved and goes on to others as any', async () => {
  await maker.image('base')
  const [first, second] = [await publish('1'), await publish('2')]
  await user.ok(['pull', '-q', first])
  await user.ok(['pull', '-q', second])
  expect(await user.ok(['system', 'check'])).toContain(': ok; 2 images')
  {
    using store = openStore(user.root)
    expect(listComposedBlobs(store)).toHaveLength(1)
  }

  const run = ['run', '--rm', second, 'sh', '-c', 'cat /data/small; sha256sum /data/big /data/words']
  const said = `version 2\n${sum(big)}  /data/big\n${sum(words)}  /data/words\n`
  expect(await user.ok(run)).toBe(said)
  // What a container writes to a file that two layers have is its own.
  const write = ['run', '--rm', first, 'sh', '-c', 'echo changed >> /data/big; tail -n 1 /data/big | tail -c 8']
  expect(await user.ok(write)).toBe('changed\n')
  expect(await user.ok(run)).toBe(said)

  await user.ok(['rmi', first])
  expect(await user.ok(['system', 'check'])).toContain(': ok; 1 images')
  await user.ok(['tag', second, `${host}/copy:2`])
  await user.ok(['push', '-q', `${host}/copy:2`])
  expect(await user.ok(['registry', 'digest', `${host}/copy:2`])).toBe(await user.ok(['registry', 'digest', second]))

  const archive = join(user.directory, 'saved.tar')
  await user.ok(['save', '-o', archive, second])
  await user.ok(['rmi', '-f', second, `${host}/copy:2`])
  expect(await user.ok(['system', 'check'])).toContain(': ok; 0 images, 0 blobs')
  await user.ok(['load', '-q', '-i', archive])
  expect(await user.ok(run)).toBe(said)
}, 120_000)
