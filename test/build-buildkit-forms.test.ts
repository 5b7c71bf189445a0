import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { chmodSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { digestOf } from '../src/oci/digest.ts'
import { BuildBench } from './fixtures/build-bench.ts'
import { type Outcome, outcomeOf } from './fixtures/build-outcome.ts'
import { formCount, formsDockerfile, FormSources, writeForms } from './fixtures/buildkit-cache/forms.ts'
import { buildkitCaches, tinyRootfs } from './fixtures/buildkit-cache/project.ts'
import { hasGit } from './fixtures/git-server.ts'

// A machine that is busy otherwise is no reason to fail.
setDefaultTimeout(60_000)

let bench: BuildBench
let sources: FormSources
beforeEach(async () => {
  bench = await BuildBench.open()
  await bench.importBase('tiny', [], tinyRootfs())
  bench.closeStore()
  writeForms(bench.context)
  sources = new FormSources(bench.directory)
})
afterEach(async () => {
  await sources[Symbol.asyncDispose]()
  bench[Symbol.dispose]()
})

async function build(...flags: readonly string[]): Promise<Outcome> {
  const ended = await bench.cairn(['build', '--progress', 'plain', ...sources.flags, ...flags, bench.context])
  expect(ended).toMatchObject({ status: 0 })
  return outcomeOf(ended)
}

const from = ['--cache-from', `type=local,src=${buildkitCaches}/forms`]

/** What ran, without what only shows that a source was asked for. */
function ran({ rebuilt }: Outcome): string[] {
  const titles = Object.keys(rebuilt).filter((title) => !title.startsWith('[context '))
  return titles.map((title) => title.replace(/^\[.*?\] /, ''))
}

function replace(before: string, after: string): void {
  expect(formsDockerfile).toContain(before)
  writeFileSync(`${bench.context}/Dockerfile`, formsDockerfile.replace(before, after))
}

function write(path: string, text: string): void {
  writeFileSync(`${bench.context}/${path}`, text)
}

const isPossible = process.arch === 'x64' && hasGit

// The keys have the processor in them.
describe.if(isPossible)('a cache that docker buildx wrote of instructions in all their forms', () => {
  test('spares all steps', async () => {
    const outcome = await build(...from)
    expect(outcome.cached).toBe(formCount)
    expect(ran(outcome).filter((title) => !title.startsWith('ADD'))).toEqual([])
  })

  test.each<[string, string, () => void, string]>([
    ['files', 'a file of a context that is mounted', () => write('sub/y.txt', 'else\n'), 'RUN --mount=target=/m whole'],
    ['files', 'the mode of one', () => chmodSync(`${bench.context}/b.sh`, 0o755), 'RUN --mount=target=/m whole'],
    ['files', 'where it is mounted', () => replace('target=/m/', 'target=/o/'), 'RUN --mount=source=sub'],
    ['files', 'what is mounted', () => replace('source=sub,', 'source=sub/deep,'), 'RUN --mount=source=sub'],
    ['files', 'that it can be written', () => replace('/n.txt,rw', '/n.txt'), 'RUN --mount=source=sub'],
    ['files', 'a named context', () => writeFileSync(`${bench.directory}/named/n`, 'else\n'), 'RUN --mount=from=named'],
    ['files', 'a stage that is mounted', () => replace('RUN other', 'RUN another'), 'RUN --mount=from=other'],
    ['files', 'what is mounted of it', () => replace('source=/etc --', 'source=/bin --'), 'RUN --mount=from=other'],
    ['itself', 'what is mounted of itself', () => replace('other,source=/etc,', 'other,'), 'RUN --mount=from=other'],
    ['itself', 'what is copied of itself', () => replace('COPY --from=other /etc', 'COPY --from=other /bin'), 'COPY'],
    ['grants', 'which secret it is', () => replace('id=k secret', 'id=o secret'), 'RUN --mount=type=secret,id=o'],
    ['grants', 'the mode of a secret', () => replace('mode=0440', 'mode=0400'), 'RUN --mount=type=secret,id=k,target'],
    ['grants', 'the owner of a secret', () => replace('uid=5 --', 'uid=6 --'), 'RUN --mount=type=secret,id=k,target'],
    ['grants', 'that it is required', () => replace('required,', ''), 'RUN --mount=type=secret,id=k,target'],
    ['grants', 'the variable of a secret', () => replace('env=KEY', 'env=KEYS'), 'RUN --mount=type=secret,id=k,target'],
    [
      'grants',
      'which agent it is',
      () => replace('type=ssh agent', 'type=ssh,id=a agent'),
      'RUN --mount=type=ssh,id=a',
    ],
    ['grants', 'the mode of an agent', () => replace('mode=0666', 'mode=0600'), 'RUN --mount=type=ssh,id=default'],
    ['caches', 'where a cache is', () => replace('target=/c/', 'target=/c'), 'RUN --mount=type=cache,target=/c cache'],
    [
      'caches',
      'the owner of a cache',
      () => replace('uid=5,gid=6', 'uid=5,gid=7'),
      'RUN --mount=type=cache,target=/c,u',
    ],
    ['caches', 'the mode of a cache', () => replace('mode=0700', 'mode=0755'), 'RUN --mount=type=cache,target=/c,u'],
    [
      'caches',
      'what a cache begins with',
      () => replace('RUN other', 'RUN more'),
      'RUN --mount=type=cache,target=/c,f',
    ],
    ['caches', 'the size of memory', () => replace('size=1m', 'size=2m'), 'RUN --mount=type=tmpfs'],
    ['caches', 'a script', () => replace('script\nEOT', 'scripts\nEOT'), 'RUN <<EOT'],
    ['texts', 'a text', () => replace('text\nEOT', 'texts\nEOT'), 'COPY <<EOT'],
    [
      'texts',
      'the name of a text',
      () => replace('<<two /t/\n1\none\n2\ntwo', '<<tow /t/\n1\none\n2\ntow'),
      'COPY --chmod',
    ],
    ['texts', 'the file beside texts', () => write('a.txt', 'else\n'), 'COPY --chmod'],
    ['texts', 'a text of a link', () => replace('linked\nEOT', 'link\nEOT'), 'COPY --link'],
    ['picked', 'a file that is left', () => write('sub/x.js', 'else\n'), 'COPY --exclude=*.txt'],
    ['picked', 'a directory that is left', () => chmodSync(`${bench.context}/sub`, 0o700), 'COPY --exclude=*.txt'],
    ['picked', 'what is left out', () => replace('--exclude=*.txt', '--exclude=*.md'), 'COPY --exclude=*.md'],
    ['picked', 'a file that another pattern leaves', () => write('b.sh', 'else\n'), 'COPY --exclude=deep'],
    ['picked', 'a file of matches', () => write('sub/y.txt', 'else\n'), 'COPY --exclude=deep'],
    ['parents', 'a file', () => write('sub/deep/z.txt', 'else\n'), 'COPY --parents sub/deep'],
    [
      'parents',
      'the mode of a directory above',
      () => chmodSync(`${bench.context}/sub/deep`, 0o700),
      'COPY --parents sub/deep',
    ],
    ['parents', 'a file of matches', () => write('sub/x.js', 'else\n'), 'COPY --parents sub/./'],
    ['parents', 'a file more that matches', () => bench.file('sub/new.js'), 'COPY --parents sub/./'],
    ['parents', 'where parents begin', () => replace('--parents sub/./', '--parents ./sub/'), 'COPY --parents ./sub'],
    ['picked', 'the owner by name', () => replace('seven:seven', 'seven:root'), 'COPY --chown'],
    ['picked', 'a symbolic mode', () => replace('go= ', 'go=r '), 'COPY --chmod'],
    ['picked', 'whose a directory is', () => replace('USER seven', 'USER 7'), 'WORKDIR'],
  ])('gives nothing to a step of %s where it is another: %s', async (stage, _, change, step) => {
    change()
    const [first = ''] = ran(await build(...from, '--target', stage)).filter(
      (title) => !/^RUN (?:other|another|more)$/.test(title),
    )
    expect(first).toStartWith(step)
  })

  test.each<[string, () => void, string]>([
    ['a file that is fetched', () => put('/f.txt', 'other\n'), 'ADD http'],
    ['its date', () => put('/f.txt', 'fetched\n', 'Sat, 02 Mar 2024 10:00:00 GMT'), 'ADD http'],
    [
      'a checksum',
      () => {
        replace(digestOf('pinned\n'), digestOf('other\n'))
        put('/g.txt', 'other\n')
      },
      'ADD --checksum',
    ],
    ['a commit', () => moveTag(), 'ADD http'],
    ['a directory of a repository', () => replace('#v1:d', '#v1'), 'ADD http'],
    ['the directory of git', () => replace('--keep-git-dir=true', '--keep-git-dir=false'), 'ADD --keep-git-dir'],
  ])('gives nothing to ADD where it is another: %s', async (what, change, step) => {
    change()
    const { cached, text } = await build(...from, '--target', 'remote')
    // All from that step on, but for what does not depend on the steps below it.
    expect({ what, cached }).toEqual({
      what,
      cached: { file: 0, checksum: 1, commit: 3, git: 4 }[kindOf(what)] as number,
    })
    expect(text).toContain(step)
  })

  function kindOf(what: string): 'file' | 'checksum' | 'commit' | 'git' {
    if (what.includes('git')) return 'git'
    if (what.includes('commit') || what.includes('repository')) return 'commit'
    return what.includes('checksum') ? 'checksum' : 'file'
  }

  function put(path: string, text: string, lastModified = 'Fri, 01 Mar 2024 10:00:00 GMT'): void {
    sources.files.set(path, { text, lastModified })
  }

  function moveTag(): void {
    sources.git.commit('r', { 'd/one': 'else\n' })
    sources.git.git('r', 'tag', '-f', 'v1')
  }

  test('gives all where only what is left out is another', async () => {
    write('sub/y.txt', 'else\n')
    writeFileSync(
      `${bench.context}/Dockerfile`,
      'FROM tiny AS picked\nCOPY --exclude=*.txt sub /s\n'.replace('FROM', '# syntax=docker/dockerfile:1-labs\nFROM'),
    )
    const { cached, rebuilt } = await build(...from)
    expect({ cached, rebuilt }).toEqual({ cached: 1, rebuilt: {} })
  })

  test('gives nothing to a step with the value of a secret in its key', async () => {
    const { cached } = await build(
      ...from,
      '--target',
      'grants',
      '--secret',
      `id=k,src=${bench.directory}/secret,cache=key`,
    )
    expect(cached).toBe(0)
  })
})

// What it is read by here are BuildKit's records alone; that BuildKit computes the same keys the tests above show.
describe.if(isPossible)('a cache that Cairn wrote of instructions in all their forms', () => {
  test('has all steps for BuildKit', async () => {
    const cache = `${bench.directory}/cache`
    await build('--cache-to', `type=local,dest=${cache},mode=max`)
    withoutOwn(cache)
    rmSync(bench.root, { recursive: true })
    await bench.importBase('tiny', [], tinyRootfs())
    bench.closeStore()
    const { cached } = await build('--cache-from', `type=local,src=${cache}`)
    expect(cached).toBe(formCount)
  })

  test('has in the image of each platform what the platforms share', async () => {
    const platforms = ['--platform', 'linux/amd64,linux/arm64']
    bench.file(
      'Dockerfile',
      'FROM --platform=$BUILDPLATFORM tiny AS made\nRUN made\nFROM scratch\nCOPY --from=made /ran /ran\nCOPY a.txt /\n',
    )
    const layout = `${bench.directory}/image`
    await build(...platforms, '--cache-to', 'type=inline', '-o', `type=oci,tar=false,dest=${layout}`)
    const read = (digest: string): Document => JSON.parse(readFileSync(blob(layout, digest), 'utf8')) as Document
    const { manifests = [] } = JSON.parse(readFileSync(`${layout}/index.json`, 'utf8')) as Document
    const images = read(manifests[0]?.digest ?? '').manifests ?? []
    const counts = images.map(({ digest }) => {
      const records = read(read(digest).config?.digest ?? '')['moby.buildkit.cache.v0'] ?? ''
      const parsed = JSON.parse(Buffer.from(records, 'base64').toString()) as { layers?: unknown }[]
      return parsed.filter(({ layers }) => layers !== undefined).length
    })
    expect(counts).toEqual([2, 2])
  })
})

interface Document {
  readonly manifests?: readonly { readonly digest: string }[]
  readonly config?: { readonly digest: string }
  readonly layers?: readonly { readonly mediaType: string }[]
  readonly 'moby.buildkit.cache.v0'?: string
}

function blob(layout: string, digest: string): string {
  return `${layout}/blobs/${digest.replace(':', '/')}`
}

/** Leaves what BuildKit looks at. */
function withoutOwn(layout: string): void {
  const index = JSON.parse(readFileSync(`${layout}/index.json`, 'utf8')) as {
    manifests: [{ digest: string; size: number }]
  }
  const manifest = JSON.parse(readFileSync(blob(layout, index.manifests[0].digest), 'utf8')) as Document
  const layers = (manifest.layers ?? []).filter(({ mediaType }) => !mediaType.includes('cairn'))
  const text = JSON.stringify({ ...manifest, layers })
  index.manifests[0] = { ...index.manifests[0], digest: digestOf(text), size: Buffer.byteLength(text) }
  writeFileSync(blob(layout, digestOf(text)), text)
  writeFileSync(`${layout}/index.json`, JSON.stringify(index))
}
