import { afterEach, beforeEach, expect, test } from 'bun:test'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Children } from '../../test/fixtures/children.ts'
import { close, open, openAt, openFlags } from './files.ts'
import { makeDirectoryAt } from './names.ts'
import { removeTree } from './remove-tree.ts'

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'cairn-remove-'))
})
afterEach(() => {
  rmSync(root, { recursive: true, force: true })
})

test('removeTree() removes a tree with read-only directories and raw names', () => {
  mkdirSync(`${root}/t/a/b`, { recursive: true })
  mkdirSync(`${root}/t/closed`, { mode: 0o000 })
  writeFileSync(`${root}/t/a/b/f`, 'x')
  writeFileSync(Buffer.concat([Buffer.from(`${root}/t/a/`), Buffer.from([0xff, 0xfe])]), '')
  removeTree(`${root}/t`)
  expect(readdirSync(root)).toEqual([])
})

test('removeTree() removes symlinks and not what they lead to', () => {
  mkdirSync(`${root}/kept`)
  writeFileSync(`${root}/kept/f`, 'kept')
  mkdirSync(`${root}/t`)
  symlinkSync('../kept', `${root}/t/link`)
  symlinkSync(`${root}/kept`, `${root}/direct`)
  removeTree(`${root}/t`)
  removeTree(`${root}/direct`)
  expect(readFileSync(`${root}/kept/f`, 'utf8')).toBe('kept')
  expect(readdirSync(root)).toEqual(['kept'])
})

test('removeTree() does nothing when there is nothing, and removes a single file', () => {
  removeTree(`${root}/absent`)
  writeFileSync(`${root}/f`, '')
  removeTree(`${root}/f`)
  expect(existsSync(`${root}/f`)).toBe(false)
})

test('removeTree() removes a tree deeper than PATH_MAX', () => {
  let fd = open(root, openFlags.O_RDONLY | openFlags.O_DIRECTORY)
  for (let depth = 0; depth < 5000; depth++) {
    makeDirectoryAt(fd, 'deep', 0o755)
    const next = openAt(fd, 'deep', openFlags.O_RDONLY | openFlags.O_DIRECTORY)
    close(fd)
    fd = next
  }
  close(fd)
  removeTree(`${root}/deep`)
  expect(readdirSync(root)).toEqual([])
})

test('removeTree() leaves the content of another mount alone when one is inside', () => {
  mkdirSync(`${root}/t/mounted`, { recursive: true })
  mkdirSync(`${root}/source`)
  writeFileSync(`${root}/source/f`, 'kept')
  const program = `
    import { removeTree } from '${import.meta.dir}/remove-tree.ts'
    try { removeTree('${root}/t'); console.log('removed') } catch (error) { console.log(error.message) }
  `
  const script = `mount --bind ${root}/source ${root}/t/mounted && exec "$0" -e "$1"`
  const result = Bun.spawnSync(['unshare', '-m', 'sh', '-c', script, process.execPath, program])
  expect(result.stdout.toString()).toMatch(/errno|EXDEV/)
  expect(readFileSync(`${root}/source/f`, 'utf8')).toBe('kept')
})

test('`removeTree()` goes on when several processes remove the same tree', async () => {
  const script = `
      const { removeTree } = await import(${JSON.stringify(join(import.meta.dir, 'remove-tree.ts'))})
      process.stdin.once('data', () => {
        for (let tree = 0; tree < 40; tree++) removeTree(process.argv[1] + '/' + tree)
        process.exit(0)
      })
      console.log('ready')`
  using children = new Children()
  for (let tree = 0; tree < 40; tree++)
    for (let file = 0; file < 20; file++) mkdirSync(join(root, String(tree), String(file), 'deep'), { recursive: true })
  const removers = Array.from({ length: 4 }, () =>
    children.add(Bun.spawn([process.execPath, '-e', script, root], { stdin: 'pipe', stdout: 'pipe', stderr: 'pipe' })),
  )
  for (const child of removers) await child.stdout.getReader().read()
  for (const child of removers) {
    void child.stdin.write('go\n')
    void child.stdin.flush()
  }
  const ends = await Promise.all(removers.map(async (child) => [await child.exited, await child.stderr.text()]))
  expect(ends).toEqual(removers.map(() => [0, '']))
  expect(readdirSync(root)).toEqual([])
})
