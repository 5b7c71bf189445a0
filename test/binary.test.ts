import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import manifest from '../package.json'
import { busyboxArchive } from './fixtures/build-bench.ts'

setDefaultTimeout(120_000)

const project = join(import.meta.dir, '..')
const binary = join(project, 'dist/cairn')

describe.each([
  ['the compiled binary', binary],
  ['the command of the package, which runs the sources', join(project, 'bin/cairn')],
])('%s', (_, program) => {
  let directory: string

  /** Runs the program away from the sources; gives its stdout. */
  function cairn(args: readonly string[], stdin?: Uint8Array): string {
    const ended = Bun.spawnSync([program, ...args], {
      cwd: directory,
      env: {
        PATH: process.env['PATH'] ?? '',
        HOME: directory,
        CAIRN_ROOT: join(directory, 'store'),
        CAIRN_NETWORK: 'host',
      },
      stdin: stdin ?? 'ignore',
    })
    if (ended.exitCode !== 0) throw new Error(`cairn ${args.join(' ')}: ${ended.exitCode}: ${ended.stderr.toString()}`)
    return ended.stdout.toString()
  }

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'cairn-binary-'))
    // `npm test` has just made it; a single test file may be run without that.
    if (!existsSync(binary)) Bun.spawnSync(['bash', join(project, 'scripts/build.sh')])
    const context = join(directory, 'context')
    mkdirSync(context)
    writeFileSync(join(context, 'greeting'), 'hello from the binary\n')
    writeFileSync(
      join(context, 'Dockerfile'),
      'FROM base\nCOPY greeting /srv/\nRUN cat /srv/greeting > /srv/copy && rm /srv/greeting\nCMD ["cat", "/srv/copy"]\n',
    )
    cairn(['import', '-', 'base'], busyboxArchive())
  })
  afterAll(() => rmSync(directory, { recursive: true, force: true }))

  test('tells the version of package.json', () => {
    expect(cairn(['--version'])).toContain(`Cairn version ${manifest.version}, build `)
  })

  test('builds with its own layer thread, runs what it built, and builds it again from the cache', () => {
    const first = cairn(['build', '-q', '-t', 'app', 'context'])
    expect(first).toMatch(/^sha256:[0-9a-f]{64}\n$/)
    expect(cairn(['run', '--rm', 'app'])).toBe('hello from the binary\n')
    expect(cairn(['build', '-q', '-t', 'app', 'context'])).toBe(first)
  })

  test('gives an archive that it loads again as the same image', () => {
    cairn(['build', '-q', '-t', 'kept', 'context'])
    const id = cairn(['images', '-q', '--no-trunc', 'kept'])
    cairn(['save', '-o', 'kept.tar', 'kept'])
    cairn(['rmi', '-f', 'kept'])
    expect(cairn(['load', '-q', '-i', 'kept.tar'])).toContain('kept:latest')
    expect(cairn(['images', '-q', '--no-trunc', 'kept'])).toBe(id)
  })

  test('takes neither code nor settings from the directory it is called in', () => {
    writeFileSync(join(directory, 'bunfig.toml'), 'preload = ["./preloaded.ts"]\n')
    writeFileSync(join(directory, 'preloaded.ts'), "console.log('preloaded')\n")
    writeFileSync(join(directory, '.env'), 'CAIRN_DEBUG=1\n')
    const shown = cairn(['info', '--format', '{{json .}}'])
    expect(shown).not.toContain('preloaded')
    expect(shown).toContain('"Debug":false')
  })

  test('leaves no temporary file in its store', () => {
    expect(readdirSync(join(directory, 'store/tmp'))).toEqual([])
  })
})
