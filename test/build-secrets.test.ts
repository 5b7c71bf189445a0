import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { parseAgents } from '../src/engine/build/build-agents.ts'
import { parseSecrets } from '../src/engine/build/build-secrets.ts'
import { isCairnError } from '../src/errors/error.ts'
import { type BenchOptions, BuildBench, type Built } from './fixtures/build-bench.ts'

// A machine that is busy otherwise is no reason to fail.
setDefaultTimeout(60_000)

let bench: BuildBench
beforeAll(async () => {
  bench = await BuildBench.open()
})
afterAll(() => bench[Symbol.dispose]())

const settings = { secrets: new Map(), shmSize: undefined, packLayer: undefined }

/** Builds with these values of `--secret`. */
async function build(
  dockerfile: string,
  secrets: readonly string[],
  env: Readonly<Record<string, string>> = {},
  options: BenchOptions = {},
): Promise<Built> {
  const run = { ...settings, secrets: parseSecrets(secrets, env, bench.directory) }
  return await bench.build(dockerfile, { run, ...options })
}

/** Files of the store that hold `text` as it is, in base64 or in hex. */
function filesWith(text: string): string {
  bench.closeStore()
  const forms = [text, Buffer.from(text).toString('base64').replace(/=+$/, ''), Buffer.from(text).toString('hex')]
  const digest = new Bun.CryptoHasher('sha256').update(text).digest('hex')
  const patterns = [...forms, digest].flatMap((form) => ['-e', form])
  return Bun.spawnSync(['grep', '-rlaF', ...patterns, bench.root]).stdout.toString()
}

describe('a secret', () => {
  test('that is bytes arrives as it is', async () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, value) => value)
    writeFileSync(`${bench.directory}/bytes`, bytes)
    const sum = new Bun.CryptoHasher('sha256').update(bytes).digest('hex')
    const { shown } = await build('FROM busybox\nRUN --mount=type=secret,id=b sha256sum /run/secrets/b\n', [
      'id=b,src=bytes',
    ])
    expect(shown.at(-1)?.log).toBe(`${sum}  /run/secrets/b\n`)
    const run = { ...settings, secrets: parseSecrets(['id=b,src=bytes'], {}, bench.directory) }
    const asVariable = await bench.failure('FROM busybox\nRUN --mount=type=secret,id=b,env=B true\n', { run })
    expect(asVariable.message).toBe('secret b holds a zero byte, which no variable can hold')
  })

  test('is in memory only, and can be neither written nor run', async () => {
    const command = "grep ' /run/secrets/s ' /proc/mounts; (echo x > /run/secrets/s) 2>&1; stat -c %a /run/secrets/s"
    const { shown } = await build(`FROM busybox\nRUN --mount=type=secret,id=s ${command}\n`, ['id=s,env=S'], { S: 's' })
    const log = shown.at(-1)?.log ?? ''
    expect(log).toMatch(/^tmpfs \/run\/secrets\/s tmpfs ro,nosuid,nodev,noexec/)
    expect(log).toContain('Read-only file system')
    expect(log).toEndWith('400\n')
  })

  test('appears where the mount says: below WORKDIR, over a file, by the last part of its id', async () => {
    const { shown, files } = await build(
      `FROM busybox
WORKDIR /w
RUN --mount=type=secret,id=a/b/c --mount=type=secret,id=t,target=sub/t --mount=type=secret,id=t,target=/etc/passwd cat /run/secrets/c sub/t /etc/passwd
`,
      ['id=a/b/c,env=C', 'id=t,env=T'],
      { C: 'c\n', T: 't\n' },
    )
    expect(shown.at(-1)?.log).toBe('c\nt\nt\n')
    expect(files).toEqual({ '/w': 'dir 755 0:0' })
    const root = await bench.failure('FROM busybox\nRUN --mount=type=secret,id=s,target=/ true\n')
    expect(root.message).toBe('invalid mount type SECRET for /')
  })

  test('that is a variable is shown as asterisks in the title of the step, also over a variable of the stage', async () => {
    const { shown } = await build(
      'FROM busybox\nENV TOKEN=public\nRUN --mount=type=secret,id=s,env=TOKEN test "$TOKEN" = hidden-5e1\n',
      ['id=s,env=S'],
      { S: 'hidden-5e1' },
    )
    expect(shown.at(-1)?.title).toEndWith('test "****" = hidden-5e1')
  })

  test('leaves nothing in the store: neither its value nor a plain digest of it', async () => {
    const value = 'a-value-that-nobody-else-has-77f1'
    const { config } = await build(
      `FROM busybox
RUN --mount=type=secret,id=s --mount=type=secret,id=s,env=S test "$(cat /run/secrets/s)" = "$S"
RUN --mount=type=secret,id=s,env=S false || true
`,
      ['id=s,env=S,cache=key'],
      { S: value },
    )
    expect(JSON.stringify(config)).not.toContain(value)
    expect(filesWith(value)).toBe('')
  })

  test('does not count for the cache, unless it is to: then its change runs the step again, and says so', async () => {
    const dockerfile = 'FROM busybox\nRUN --mount=type=secret,id=s true\nRUN echo after\n'
    const reasons = async (flag: string, value: string): Promise<(string | undefined)[]> =>
      (await build(dockerfile, [flag], { S: value })).shown
        .slice(1)
        .map(({ cached, reason }) => (cached ? 'cached' : reason))
    const plain = 'id=s,env=S'
    await reasons(plain, 'one')
    expect(await reasons(plain, 'two')).toEqual(['cached', 'cached'])
    const keyed = `${plain},cache=key`
    // The step's own layer came out the same, so that the one after it is spared.
    expect(await reasons(keyed, 'two')).toEqual(['secret s was added', 'cached'])
    expect(await reasons(keyed, 'two')).toEqual(['cached', 'cached'])
    expect(await reasons(keyed, 'three')).toEqual(['secret s changed', 'cached'])
    expect(await reasons(keyed, 'two')).toEqual(['cached', 'cached'])
    expect(await reasons(plain, 'four')).toEqual(['cached', 'cached'])
  })

  test('stands for something else in every store', async () => {
    using other = await BuildBench.open()
    const key = (store: BuildBench): string => readFileSync(`${store.root}/builds/secret-key`, 'utf8')
    const run = { ...settings, secrets: parseSecrets(['id=s,env=S,cache=key'], { S: 'x' }, bench.directory) }
    for (const store of [bench, other]) await store.build('FROM busybox\nRUN --mount=type=secret,id=s true\n', { run })
    expect(key(bench)).toMatch(/^[0-9a-f]{64}$/)
    expect(key(other)).not.toBe(key(bench))
  })
})

describe('`--secret`', () => {
  const failure = (text: string): string => {
    try {
      parseSecrets([text], { SET: 'x' }, bench.directory)
    } catch (error) {
      if (isCairnError(error)) return error.message
      throw error
    }
    return 'none'
  }

  test('takes a value from a variable or a file, and without either from what has its name', () => {
    writeFileSync(`${bench.directory}/SET`, 'file')
    writeFileSync(`${bench.directory}/file`, 'file')
    const env = { SET: 'set' }
    const source = (text: string): unknown => parseSecrets([text], env, bench.directory).values().next().value
    const file = (name: string): unknown => ({ from: 'file', path: `${bench.directory}/${name}` })
    expect(source('id=SET')).toEqual({ from: 'env', value: 'set' })
    expect(source('id=file')).toEqual(file('file'))
    expect(source('id=x,src=SET')).toEqual(file('SET'))
    expect(source('id=SET,type=file')).toEqual({ from: 'env', value: 'set' })
    expect(source('type=env,id=x,src=SET')).toEqual({ from: 'env', value: 'set' })
    expect(source('id=x,src=file,env=SET')).toEqual({ from: 'env', value: 'set' })
    expect(source('id=x,env=UNSET')).toEqual({ from: 'env', value: '' })
    expect(source('"id=x","src=file"')).toEqual(file('file'))
    expect([...parseSecrets(['id=x,env=SET', 'id=x,env=UNSET'], env, '/').keys()]).toEqual(['x'])
  })

  test.each([
    ['src=file', 'secret missing ID'],
    ['id=nowhere', 'failed to stat nowhere: stat nowhere: no such file or directory'],
    ['id=x,src=/', 'read /: is a directory'],
    ['id=x,foo=y', "unexpected key 'foo' in 'foo=y'"],
    ['id', "invalid field 'id' must be a key=value pair"],
    ['id=x,type=vault', 'unsupported secret type "vault"'],
    ['id=x,cache=yes', "invalid field 'cache=yes': a secret can only have cache=key"],
    ['id="x', 'failed to parse csv secret: parse error on line 1, column 4: bare " in non-quoted-field'],
  ])('%s is refused as buildx refuses it', (text, message) => {
    expect(failure(text)).toBe(message)
  })
})

describe('RUN --mount=type=ssh', () => {
  let keys: string
  beforeAll(() => {
    keys = mkdtempSync(`${tmpdir()}/cairn-keys-`)
    for (const name of ['one', 'two'])
      Bun.spawnSync(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', `${name}@test`, '-f', `${keys}/${name}`])
  })
  afterAll(() => rmSync(keys, { recursive: true, force: true }))

  const withAgents = async (given: readonly string[], env: Readonly<Record<string, string>> = {}) => ({
    ...settings,
    agents: await parseAgents(given, env, keys),
  })

  /** Puts ssh-add of this machine into the context, with what it needs, below `ssh-add`. */
  function shareSshAdd(): void {
    const lines = Bun.spawnSync(['ldd', '/usr/bin/ssh-add']).stdout.toString()
    const libraries = [...lines.matchAll(/(?:=> |^\s+)(\/\S+)/gm)].map(([, path = '']) => path)
    for (const path of ['/usr/bin/ssh-add', ...libraries]) bench.file(`ssh-add${path}`, readFileSync(path), 0o755)
  }

  test('gives the step a socket with its mode and owner, and the variable; nothing of it remains', async () => {
    const command = "stat -c '%F %a %u:%g' $SSH_AUTH_SOCK /s; echo $SSH_AUTH_SOCK"
    const mounts = '--mount=type=ssh,uid=5,gid=6,mode=0640 --mount=type=ssh,id=two,target=/s'
    const { shown, files, config } = await bench.build(`FROM busybox\nRUN ${mounts} ${command}\n`, {
      run: await withAgents(['default=one', 'two=two']),
    })
    expect(shown.at(-1)?.log).toBe('socket 640 5:6\nsocket 600 0:0\n/run/buildkit/ssh_agent.0\n')
    expect(files).toEqual({})
    expect(config.config?.Env?.filter((entry) => entry.includes('SSH'))).toEqual([])
  })

  test('lets a program of the step list the keys and sign with them, and not add one or remove them', async () => {
    shareSshAdd()
    bench.file('more', readFileSync(`${keys}/two`), 0o600)
    bench.file('one.pub', readFileSync(`${keys}/one.pub`))
    const { shown } = await bench.build(
      `FROM busybox
COPY ssh-add /
COPY --chmod=600 more /more
COPY one.pub /one.pub
RUN --mount=type=ssh ssh-add -L; ssh-add -T /one.pub && echo signed; ssh-add /more 2>&1; ssh-add -D 2>&1; ssh-add -L | wc -l
`,
      { run: await withAgents(['default=one']) },
    )
    const log = shown.at(-1)?.log ?? ''
    expect(log).toStartWith(`${readFileSync(`${keys}/one.pub`, 'utf8')}signed\n`)
    expect(log).toContain('agent refused operation')
    expect(log).toEndWith('\n1\n')
  })

  test('is quietly absent without an agent, but for the variable, unless it is required', async () => {
    const { shown } = await bench.build(
      'FROM busybox\nRUN --mount=type=ssh echo $SSH_AUTH_SOCK; ls $SSH_AUTH_SOCK 2>&1 || true\n',
    )
    expect(shown.at(-1)?.log).toMatch(/^\/run\/buildkit\/ssh_agent\.0\nls: .*No such file/)
    const error = await bench.failure('FROM busybox\nRUN --mount=type=ssh,id=main,required true\n')
    expect(error.message).toBe('unset ssh forward key main')
    const own = await bench.build('FROM busybox\nENV SSH_AUTH_SOCK=/mine\nRUN --mount=type=ssh echo $SSH_AUTH_SOCK\n')
    expect(own.shown.at(-1)?.log).toBe('/mine\n')
  })

  test('is part of the key, and what the agent is is not', async () => {
    const source = 'FROM busybox\nRUN --mount=type=ssh true\n'
    await bench.build(source, { run: await withAgents(['default=one']) })
    expect((await bench.build(source, { run: await withAgents(['default=two']) })).shown.at(-1)?.cached).toBe(true)
    const { shown } = await bench.build('FROM busybox\nRUN --mount=type=ssh,id=other true\n')
    expect(shown.at(-1)?.cached).toBe(false)
  })

  test('`--ssh` says what is wrong in the words of BuildKit', async () => {
    const failure = async (text: string): Promise<string> =>
      await parseAgents([text], {}, keys).then(
        () => 'none',
        (error: Error) => error.message,
      )
    writeFileSync(`${keys}/no-key`, 'nothing')
    expect(await failure('default')).toBe('invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set')
    expect(await failure('default=nowhere')).toEndWith('ID: "default": stat nowhere: no such file or directory')
    expect(await failure('x=no-key')).toBe('failed to parse no-key: ssh: no key found')
    expect(await failure('x=/tmp')).toContain('failed to read /tmp: is a directory')
    const twice = parseAgents(['a=one', 'a=two'], {}, keys).then(
      () => 'none',
      (error: Error) => error.message,
    )
    expect(await twice).toBe('duplicate agent ID "a"')
  })
})

describe('a whole build', () => {
  const values = {
    file: 'value-of-a-file-0b71',
    variable: 'value-of-a-variable-93ce',
    keyed: 'value-that-counts-e55d',
    token: 'value-of-a-token-4a08',
    user: 'value-in-a-url-17fa',
    proxy: 'value-in-a-proxy-c6d2',
  }

  /** What could carry a value: as it is, in base64 at each of its three alignments, in hex, its digest. */
  function formsOf(value: string): string[] {
    const aligned = ['', 'x', 'xy'].map((before) =>
      Buffer.from(before + value)
        .toString('base64')
        .slice(before === '' ? 0 : 4, -4),
    )
    return [
      value,
      Buffer.from(value).toString('hex'),
      new Bun.CryptoHasher('sha256').update(value).digest('hex'),
      ...aligned,
    ]
  }

  test('shows and keeps no value: not in the output, records, traces, history, nor an image of it', async () => {
    using own = await BuildBench.open()
    using server = Bun.serve({
      port: 0,
      hostname: '127.0.0.1',
      fetch: (request) =>
        new Response('file', { status: request.headers.get('authorization') === `Bearer ${values.token}` ? 200 : 401 }),
    })
    const traces: Buffer[] = []
    using collector = Bun.serve({
      port: 0,
      hostname: '127.0.0.1',
      async fetch(request) {
        traces.push(Buffer.from(await request.arrayBuffer()))
        return new Response()
      },
    })
    writeFileSync(`${own.directory}/secret`, values.file)
    Bun.spawnSync(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', `${own.directory}/key`])
    const key = readFileSync(`${own.directory}/key`, 'utf8').split('\n')[1] ?? ''
    const url = `127.0.0.1:${server.port}`
    const steps = `FROM busybox
ADD http://me:${values.user}@${url}/file /file
RUN --mount=type=secret,id=f --mount=type=secret,id=v,env=V --mount=type=ssh test "$V" && test -s /run/secrets/f
RUN --mount=type=secret,id=k,target=/root/.netrc env | grep -q ${values.proxy.slice(0, -4)}
`
    own.file('Dockerfile', steps)
    own.file('Fails', `${steps}RUN --mount=type=secret,id=v,env=V false\n`)
    own.file(
      'Missing',
      `FROM busybox\nADD --checksum=sha256:${'0'.repeat(64)} http://me:${values.user}@${url}/none /\n`,
    )
    const flags = [
      ['--secret', 'id=f,src=secret', '--secret', 'id=v,env=VARIABLE', '--secret', 'id=k,env=KEYED,cache=key'],
      ['--secret', 'id=HTTP_AUTH_TOKEN_127.0.0.1,env=TOKEN', '--ssh', 'default=key'],
      ['--build-arg', `https_proxy=http://me:${values.proxy}@127.0.0.1:1`],
    ].flat()
    const env = {
      VARIABLE: values.variable,
      KEYED: values.keyed,
      TOKEN: values.token,
      OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${collector.port}`,
      OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
      CAIRN_DEBUG: '1',
      NO_PROXY: '127.0.0.1',
    }
    const statuses: number[] = []
    let shown = ''
    const run = async (...argv: string[]): Promise<string> => {
      const { status, out, err } = await own.cairn(argv, { env })
      statuses.push(status)
      shown += out + err
      return out
    }
    for (const file of ['Dockerfile', 'Fails', 'Missing'])
      for (const progress of ['plain', 'rawjson'])
        // oxlint-disable-next-line no-await-in-loop -- the second time most of it is known
        await run('build', ...flags, '--progress', progress, '-t', 'made', '-f', `context/${file}`, 'context')
    expect(statuses).toEqual([0, 0, 1, 1, 1, 1])
    for (const id of (await run('builds', 'ls', '-q')).split('\n').filter(Boolean))
      // oxlint-disable-next-line no-await-in-loop -- one process is enough
      for (const verb of ['inspect', 'logs']) await run('builds', verb, id)
    await run('history', '--no-trunc', 'made')
    await run('inspect', 'made')
    await run('save', '-o', `${own.root}/made.tar`, 'made')
    expect(statuses.slice(6)).not.toContain(1)
    own.closeStore()
    const patterns = [...Object.values(values), key].flatMap(formsOf).flatMap((form) => ['-e', form])
    expect(Bun.spawnSync(['grep', '-rlaF', ...patterns, own.root]).stdout.toString()).toBe('')
    expect(Buffer.concat(traces).length).toBeGreaterThan(0)
    for (const [name, value] of [...Object.entries(values), ['ssh', key] as const])
      for (const form of formsOf(value)) {
        expect(`${name} shown: ${shown.includes(form)}`).toBe(`${name} shown: false`)
        expect(`${name} traced: ${Buffer.concat(traces).includes(form)}`).toBe(`${name} traced: false`)
      }
  })
})
