import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { agentFailure, AgentFrames, framed, keyAgent, type SshAgent, socketAgent } from './agent.ts'
import { serveAgent, type ServedAgent } from './serve-agent.ts'
import { concatenated, uint32, wireString } from './wire.ts'

let directory: string
let served: ServedAgent[] = []

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'cairn-agent-'))
})
afterAll(() => {
  for (const { close } of served) close()
  rmSync(directory, { recursive: true, force: true })
})

/** Runs a program to its end beside what this process serves. */
async function ran(command: readonly string[], env: Record<string, string> = {}) {
  const child = Bun.spawn([...command], { env: { ...process.env, ...env }, stdout: 'pipe', stderr: 'pipe' })
  const [out, err, status] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited])
  return { out, err, status }
}

async function makeKey(name: string, ...args: readonly string[]): Promise<string> {
  const path = `${directory}/${name}`
  const { status, err } = await ran(['ssh-keygen', '-q', '-N', '', '-C', `${name}@test`, '-f', path, ...args])
  if (status !== 0) throw new Error(err)
  return path
}

const agentOf = async (...paths: readonly string[]): Promise<SshAgent> =>
  await keyAgent(paths.map((path) => ({ name: path, text: readFileSync(path, 'utf8') })))

let count = 0
function serve(agent: SshAgent, mode = 0o600): string {
  const home = `${directory}/socket-${count++}`
  mkdirSync(home)
  served.push(serveAgent(agent, home, 'agent', { mode, uid: 0, gid: 0 }))
  return `${home}/agent`
}

/** What the socket answers to `messages`, in order, until it has answered them all or hangs up. */
async function talk(path: string, ...messages: readonly Uint8Array[]): Promise<Uint8Array[]> {
  const frames = new AgentFrames()
  const replies: Uint8Array[] = []
  const over = Promise.withResolvers<void>()
  const socket = await Bun.connect({
    unix: path,
    socket: {
      data: (_, bytes) => {
        replies.push(...frames.take(bytes))
        if (replies.length >= messages.length) over.resolve()
      },
      close: () => over.resolve(),
    },
  })
  for (const message of messages) socket.write(framed(message))
  await over.promise
  socket.end()
  return replies
}

const types = [
  ['ed25519', ['-t', 'ed25519']],
  ['rsa', ['-t', 'rsa', '-b', '2048']],
  ['ecdsa-256', ['-t', 'ecdsa', '-b', '256']],
  ['ecdsa-384', ['-t', 'ecdsa', '-b', '384']],
  ['ecdsa-521', ['-t', 'ecdsa', '-b', '521']],
  ['rsa-pem', ['-t', 'rsa', '-b', '2048', '-m', 'PEM']],
  ['ecdsa-pem', ['-t', 'ecdsa', '-m', 'PEM']],
  ['rsa-pkcs8', ['-t', 'rsa', '-b', '2048', '-m', 'PKCS8']],
] as const

describe('`keyAgent()`', () => {
  test.each(types)(
    'lists and signs with a key of the type %s, as ssh-add and ssh-keygen see it',
    async (name, args) => {
      const path = await makeKey(name, ...args)
      const socket = serve(await agentOf(path))
      const env = { SSH_AUTH_SOCK: socket }
      const listed = await ran(['ssh-add', '-L'], env)
      expect(listed.out.split(' ')[1]).toBe(readFileSync(`${path}.pub`, 'utf8').split(' ')[1] as string)
      // Signs a file by the agent and verifies it with ssh-keygen alone.
      writeFileSync(`${path}.text`, 'to be signed\n')
      const signed = await ran(['ssh-keygen', '-Y', 'sign', '-n', 'file', '-f', `${path}.pub`, `${path}.text`], env)
      expect({ status: signed.status, err: signed.err }).toMatchObject({ status: 0 })
      writeFileSync(`${path}.allowed`, `me ${readFileSync(`${path}.pub`, 'utf8')}`)
      const verify = `ssh-keygen -Y verify -f "$1.allowed" -I me -n file -s "$1.text.sig" < "$1.text"`
      expect(await ran(['sh', '-c', verify, 'sh', path])).toMatchObject({ status: 0 })
      // ssh-add -T signs with each algorithm of the key and verifies.
      expect(await ran(['ssh-add', '-T', `${path}.pub`], env)).toMatchObject({ status: 0 })
    },
  )

  test('keeps the comments of the keys, in the order they were given', async () => {
    const [one, two] = [await makeKey('one', '-t', 'ed25519'), await makeKey('two', '-t', 'ed25519')]
    const { out } = await ran(['ssh-add', '-L'], { SSH_AUTH_SOCK: serve(await agentOf(two, one)) })
    expect(out.split('\n').map((line) => line.split(' ')[2])).toEqual(['two@test', 'one@test', undefined])
  })

  test('refuses to add, remove and lock, and unknown keys and nonsense', async () => {
    const socket = serve(await agentOf(await makeKey('fixed', '-t', 'ed25519')))
    const other = await makeKey('other', '-t', 'ed25519')
    const env = { SSH_AUTH_SOCK: socket }
    expect(await ran(['ssh-add', other], env)).toMatchObject({ status: 1 })
    expect(await ran(['ssh-add', '-D'], env)).toMatchObject({ status: 1 })
    expect((await ran(['ssh-add', '-L'], env)).out).toContain('fixed@test')
    const unknownKey = concatenated(new Uint8Array([13]), wireString('x'), wireString('data'), uint32(0))
    const cutOff = concatenated(new Uint8Array([13]), uint32(1000))
    const replies = await talk(socket, unknownKey, cutOff, new Uint8Array([22]), new Uint8Array([255]))
    expect(replies).toEqual([agentFailure, agentFailure, agentFailure, agentFailure])
  })

  test('says what is wrong with a key file', async () => {
    const locked = await makeKey('locked', '-t', 'ed25519')
    await ran(['ssh-keygen', '-q', '-p', '-P', '', '-N', 'secret', '-f', locked])
    const lockedPem = await makeKey('locked-pem', '-t', 'rsa', '-b', '2048', '-m', 'PEM')
    await ran(['ssh-keygen', '-q', '-p', '-P', '', '-N', 'secret', '-m', 'PEM', '-f', lockedPem])
    const failure = async (text: string): Promise<unknown> =>
      await keyAgent([{ name: 'k', text }]).then(
        () => 'none',
        (error: Error) => error.message,
      )
    const secret = 'failed to parse k: ssh: this private key is passphrase protected'
    expect(await failure(readFileSync(locked, 'utf8'))).toBe(secret)
    expect(await failure(readFileSync(lockedPem, 'utf8'))).toBe(secret)
    expect(await failure(readFileSync(`${locked}.pub`, 'utf8'))).toBe('failed to parse k: ssh: no key found')
    expect(await failure('')).toBe('failed to parse k: ssh: no key found')
    const text = readFileSync(await makeKey('whole', '-t', 'ed25519'), 'utf8')
    for (let length = 36; length < text.length - 36; length += 7) {
      const cut = `${text.slice(0, length)}\n-----END OPENSSH PRIVATE KEY-----\n`
      expect(await failure(cut)).toMatch(/^(failed to parse k: ssh: |k is cut off)/)
    }
  })
})

describe('`socketAgent()`', () => {
  /** A real ssh-agent with one key. */
  async function withRealAgent(run: (socket: string, key: string) => Promise<void>): Promise<void> {
    const key = await makeKey(`real-${count++}`, '-t', 'ed25519')
    const socket = `${key}.sock`
    const agent = Bun.spawn(['ssh-agent', '-D', '-a', socket], { stdout: 'ignore', stderr: 'ignore' })
    try {
      while (!existsSync(socket)) await Bun.sleep(5)
      await ran(['ssh-add', '-q', key], { SSH_AUTH_SOCK: socket })
      await run(socket, key)
    } finally {
      agent.kill()
      await agent.exited
    }
  }

  test('lets list and sign through to the agent, and nothing that changes it', async () => {
    await withRealAgent(async (real, key) => {
      const env = { SSH_AUTH_SOCK: serve(socketAgent(real)) }
      expect((await ran(['ssh-add', '-L'], env)).out).toBe((await ran(['ssh-add', '-L'], { SSH_AUTH_SOCK: real })).out)
      expect(await ran(['ssh-add', '-T', `${key}.pub`], env)).toMatchObject({ status: 0 })
      const other = await makeKey(`other-${count++}`, '-t', 'ed25519')
      expect(await ran(['ssh-add', other], env)).toMatchObject({ status: 1 })
      expect(await ran(['ssh-add', '-D'], env)).toMatchObject({ status: 1 })
      const lock = concatenated(new Uint8Array([22]), wireString('pass'))
      const bind = concatenated(new Uint8Array([27]), wireString('session-bind@openssh.com'))
      expect(await talk(env.SSH_AUTH_SOCK, lock, bind)).toEqual([agentFailure, agentFailure])
      expect((await ran(['ssh-add', '-L'], { SSH_AUTH_SOCK: real })).out.trim().split('\n')).toHaveLength(1)
    })
  })

  test('answers with a failure when the agent is gone', async () => {
    const socket = serve(socketAgent(`${directory}/nobody`))
    expect(await talk(socket, new Uint8Array([11]))).toEqual([agentFailure])
  })

  test('many clients at once each get their own answers', async () => {
    await withRealAgent(async (real) => {
      const socket = serve(socketAgent(real))
      const answers = await Promise.all(
        Array.from({ length: 20 }, () => talk(socket, new Uint8Array([11]), new Uint8Array([11]))),
      )
      expect(new Set(answers.flat().map((answer) => Buffer.from(answer).toString('hex'))).size).toBe(1)
      expect(answers.flat()).toHaveLength(40)
    })
  })
})

describe('`serveAgent()`', () => {
  test('makes a socket with its mode and owner, also where the path is longer than an address may be', async () => {
    const home = `${directory}/${'long/'.repeat(30)}`
    mkdirSync(home, { recursive: true })
    const agent = await agentOf(await makeKey('long-path', '-t', 'ed25519'))
    const { close } = serveAgent(agent, home, 'agent', { mode: 0o640, uid: 5, gid: 6 })
    try {
      const status = statSync(`${home}/agent`)
      expect({ isSocket: status.isSocket(), mode: status.mode & 0o777, uid: status.uid, gid: status.gid }).toEqual({
        isSocket: true,
        mode: 0o640,
        uid: 5,
        gid: 6,
      })
    } finally {
      close()
    }
  })

  test('hangs up on a message that is too long, and serves the others', async () => {
    const socket = serve(await agentOf(await makeKey('hang-up', '-t', 'ed25519')))
    const long = Promise.withResolvers<string>()
    const client = await Bun.connect({
      unix: socket,
      socket: { data: () => long.resolve('answered'), close: () => long.resolve('closed') },
    })
    client.write(uint32(0x7fff_ffff))
    expect(await long.promise).toBe('closed')
    // Another client is still served.
    expect((await talk(socket, new Uint8Array([11])))[0]?.[0]).toBe(12)
  })
})
