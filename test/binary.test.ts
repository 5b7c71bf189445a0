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

  const environment = (): Readonly<Record<string, string>> => ({
    PATH: process.env['PATH'] ?? '',
    HOME: directory,
    CAIRN_ROOT: join(directory, 'store'),
    CAIRN_NETWORK: 'host',
  })

  /** Runs the program away from the sources; gives its stdout. */
  function cairn(
    args: readonly string[],
    { stdin, cwd = directory }: { readonly stdin?: Uint8Array; readonly cwd?: string } = {},
  ): string {
    const ended = Bun.spawnSync([program, ...args], { cwd, env: environment(), stdin: stdin ?? 'ignore' })
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
    cairn(['import', '-', 'base'], { stdin: busyboxArchive() })
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
    const project = join(directory, 'project')
    mkdirSync(project)
    writeFileSync(join(project, 'bunfig.toml'), 'preload = ["./preloaded.ts"]\n')
    writeFileSync(join(project, 'preloaded.ts'), "console.log('preloaded')\n")
    writeFileSync(join(project, '.env'), 'CAIRN_DEBUG=1\n')
    const redirected = '{ "compilerOptions": { "paths": { "*": ["./preloaded.ts"] } } }'
    for (const name of ['tsconfig.json', 'jsconfig.json']) writeFileSync(join(project, name), redirected)
    const shown = cairn(['info', '--format', '{{json .}}'], { cwd: project })
    expect(shown).not.toContain('preloaded')
    expect(shown).toContain('"Debug":false')
  })

  test('verifies servers and shows no request whatever the environment tells programs of Node.js and Bun', async () => {
    const [key, cert] = [join(directory, 'key.pem'), join(directory, 'cert.pem')]
    const words = `req -x509 -newkey rsa:2048 -nodes -keyout ${key} -out ${cert} -days 2 -subj /CN=localhost`
    const subject = ['-addext', 'subjectAltName=DNS:localhost']
    expect(Bun.spawnSync(['openssl', ...words.split(' '), ...subject], { stderr: 'ignore' }).exitCode).toBe(0)
    await using server = Bun.serve({
      port: 0,
      tls: { key: Bun.file(key), cert: Bun.file(cert) },
      fetch: () => new Response('reached'),
    })
    writeFileSync(join(directory, 'Fetching'), `FROM scratch\nADD https://localhost:${server.port}/file /\n`)
    const build = async (env: Readonly<Record<string, string>>): Promise<string> => {
      const ended = Bun.spawn([program, 'build', '--no-cache', '-f', 'Fetching', '.'], {
        cwd: directory,
        env: { ...environment(), ...env },
        stdout: 'pipe',
        stderr: 'pipe',
      })
      const [stdout, stderr] = await Promise.all([ended.stdout.text(), ended.stderr.text()])
      await ended.exited
      return stdout + stderr
    }
    expect(await build({ NODE_TLS_REJECT_UNAUTHORIZED: '0' })).toContain('self signed certificate')
    const trusted = await build({ SSL_CERT_FILE: cert, BUN_CONFIG_VERBOSE_FETCH: 'curl' })
    expect(trusted).toContain('exporting to image')
    expect(trusted).not.toContain('User-Agent')
  })

  test('leaves no temporary file in its store', () => {
    expect(readdirSync(join(directory, 'store/tmp'))).toEqual([])
  })
})
