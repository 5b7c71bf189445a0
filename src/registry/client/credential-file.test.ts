import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { chmodSync, chownSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isCairnError } from '../../errors/error.ts'
import { eraseCredentials, storeCredentials } from './credential-file.ts'
import { type CredentialPlaces, CredentialStore } from './credentials.ts'

const basic = { kind: 'password', username: 'me', password: 'secret' } as const

let directory: string
let places: CredentialPlaces
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'cairn-credentials-'))
  places = { configDir: directory, env: { HOME: directory, PATH: `${directory}:/usr/bin:/bin` } }
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const config = (value: unknown): void => writeFileSync(join(directory, 'config.json'), JSON.stringify(value))
const written = (): unknown => JSON.parse(readFileSync(join(directory, 'config.json'), 'utf8'))

function helper(name: string, script: string): void {
  const path = join(directory, `docker-credential-${name}`)
  writeFileSync(path, script)
  chmodSync(path, 0o755)
}

async function failureOf(work: Promise<unknown>): Promise<string> {
  const failed = await work.catch((error: unknown) => error)
  return isCairnError(failed) ? `${failed.code}: ${failed.message}` : `no error: ${String(failed)}`
}

describe('storeCredentials()', () => {
  test('loses no entry where several processes log in at once', async () => {
    const program = `
      const { storeCredentials } = await import(${JSON.stringify(join(import.meta.dir, 'credential-file.ts'))})
      const [id] = process.argv.slice(1)
      for (let index = 0; index < 10; index++)
        await storeCredentials(\`host-\${id}-\${index}\`, ${JSON.stringify(basic)}, { configDir: ${JSON.stringify(directory)}, env: {} })`
    const children = ['a', 'b', 'c'].map((id) =>
      Bun.spawn([process.execPath, '-e', program, id], { stderr: 'inherit' }),
    )
    expect(await Promise.all(children.map((child) => child.exited))).toEqual([0, 0, 0])
    expect(Object.keys((written() as { auths: object }).auths)).toHaveLength(30)
    expect(readdirSync(directory)).toEqual(['config.json'])
  }, 60_000)

  test.skipIf(process.geteuid?.() !== 0)('leaves the file to whom it belongs', async () => {
    config({})
    chownSync(join(directory, 'config.json'), 1234, 4321)
    await storeCredentials('host', basic, places)
    const { uid, gid, mode } = statSync(join(directory, 'config.json'))
    expect([uid, gid, mode & 0o777]).toEqual([1234, 4321, 0o600])
  })
})

describe('CredentialStore', () => {
  const found = (): Promise<unknown> => new CredentialStore(places).for('host', '')

  test('takes null for nothing, as docker does', async () => {
    config({ auths: null, credsStore: null, credHelpers: null, HttpHeaders: null })
    expect(await found()).toBeUndefined()
  })

  test('says why a helper cannot be run', async () => {
    config({ credsStore: 'text' })
    helper('text', 'no program')
    expect(await failureOf(found())).toBe(
      'CREDENTIALS_INVALID: the credential helper docker-credential-text cannot be run: ENOEXEC',
    )
  })

  test('does not wait for what a helper leaves behind, nor for it to read', async () => {
    config({ credsStore: 'agent' })
    helper(
      'agent',
      `#!/bin/sh\nexec 0<&-\nsleep 20 &\necho $! > ${directory}/pid\necho '{"Username":"me","Secret":"secret"}'\n`,
    )
    const began = performance.now()
    try {
      expect(await found()).toEqual(basic)
      expect(performance.now() - began).toBeLessThan(15_000)
    } finally {
      process.kill(Number(readFileSync(join(directory, 'pid'), 'utf8')))
    }
  })

  test('takes no answer that has no end, no secret or no sense', async () => {
    for (const [name, script] of Object.entries({ endless: 'exec yes', empty: 'exit 0', odd: 'echo []' })) {
      config({ credsStore: name })
      helper(name, `#!/bin/sh\n${script}\n`)
      expect(await failureOf(found())).toStartWith(`CREDENTIALS_INVALID: docker-credential-${name}: it`)
    }
  })
})

describe('eraseCredentials()', () => {
  test('tells whether the helper had any', async () => {
    config({ credsStore: 'some' })
    helper('some', '#!/bin/sh\ncat > /dev/null\n')
    expect(await eraseCredentials('host', places)).toBe(true)
    helper('some', '#!/bin/sh\ncat > /dev/null; echo credentials not found in native keychain; exit 1\n')
    expect(await eraseCredentials('host', places)).toBe(false)
  })
})
