import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { chownSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { checkoutTime } from './commit-time.ts'

describe('checkoutTime()', () => {
  let directory: string
  const env = { PATH: process.env['PATH'], HOME: '/nonexistent' }
  const git = (...argv: string[]): void => {
    const identity = ['-c', 'user.name=n', '-c', 'user.email=e', '-c', 'safe.directory=*']
    const dates = { GIT_COMMITTER_DATE: '@1500000000 +0000', GIT_AUTHOR_DATE: '@1400000000 +0000' }
    const done = Bun.spawnSync(['git', '-C', `${directory}/repo`, ...identity, ...argv], { env: { ...env, ...dates } })
    if (!done.success) throw new Error(done.stderr.toString())
  }
  beforeAll(() => {
    directory = mkdtempSync('/tmp/cairn-commit-')
    mkdirSync(`${directory}/repo/sub`, { recursive: true })
    git('init', '-q')
  })
  afterAll(() => rmSync(directory, { recursive: true }))

  test('is undefined outside of a repository, before its first commit, and without git', () => {
    expect(checkoutTime(directory, env)).toBeUndefined()
    expect(checkoutTime(`${directory}/repo`, env)).toBeUndefined()
    expect(checkoutTime(`${directory}/repo`, { PATH: '/nonexistent' })).toBeUndefined()
  })

  test('is when the commit that is checked out was committed, also below the top and where GIT_DIR is another', () => {
    writeFileSync(`${directory}/repo/f`, 'f')
    git('add', '.')
    git('commit', '-q', '-m', 'one')
    for (const at of ['repo', 'repo/sub']) expect(checkoutTime(`${directory}/${at}`, env)).toBe(1_500_000_000)
    expect(checkoutTime(`${directory}/repo`, { ...env, GIT_DIR: '/elsewhere' })).toBe(1_500_000_000)
  })

  test('runs no program: neither one that the repository names for what is missing, nor one of a relative PATH', () => {
    const repository = `${directory}/hostile`
    mkdirSync(repository)
    const run = (...argv: string[]): string => {
      const identity = ['-c', 'user.name=n', '-c', 'user.email=e', '-c', 'safe.directory=*']
      return Bun.spawnSync(['git', '-C', repository, ...identity, ...argv])
        .stdout.toString()
        .trim()
    }
    run('init', '-q')
    run('commit', '-q', '--allow-empty', '-m', 'gone')
    const commit = run('rev-parse', 'HEAD')
    rmSync(`${repository}/.git/objects/${commit.slice(0, 2)}`, { recursive: true })
    const settings = [
      ['core.repositoryFormatVersion', '1'],
      ['extensions.partialClone', 'far'],
      ['protocol.ext.allow', 'always'],
      ['remote.far.promisor', 'true'],
      ['remote.far.url', `ext::sh -c "touch% ${directory}/was-run"`],
    ] as const
    for (const [key, value] of settings) run('config', key, value)
    writeFileSync(`${directory}/git`, `#!/bin/sh\ntouch ${directory}/was-run\n`, { mode: 0o755 })
    const relative = process.cwd().replaceAll(/[^/]+/g, '..').slice(1) + directory
    // An old git that does not know the variable which forbids to fetch.
    const old = `${directory}/old`
    mkdirSync(old)
    writeFileSync(`${old}/git`, '#!/bin/sh\nunset GIT_NO_LAZY_FETCH\nexec /usr/bin/git "$@"\n', { mode: 0o755 })
    for (const path of [process.env['PATH'], `${old}:/usr/bin:/bin`, `${relative}:/usr/bin:/bin`])
      expect(checkoutTime(repository, { ...env, PATH: path })).toBeUndefined()
    expect(existsSync(`${directory}/was-run`)).toBe(false)
  })

  test('does not wait for a repository that never answers', () => {
    const repository = `${directory}/waiting`
    mkdirSync(`${repository}/.git`, { recursive: true })
    expect(Bun.spawnSync(['mkfifo', `${repository}/.git/HEAD`]).exitCode).toBe(0)
    expect(() => checkoutTime(repository, env, 300)).toThrow('git did not tell the commit of')
  })

  test('says how to trust a repository of another user', () => {
    chownSync(`${directory}/repo`, 4242, 4242)
    chownSync(`${directory}/repo/.git`, 4242, 4242)
    expect(() => checkoutTime(`${directory}/repo`, env)).toThrow('git does not trust the repository of')
  })
})
