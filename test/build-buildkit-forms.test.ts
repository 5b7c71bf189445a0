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

/** The first step of each stage that ran. */
function firstOfStages({ rebuilt }: Outcome): Readonly<Record<string, string>> {
  const first: Record<string, string> = {}
  for (const title of Object.keys(rebuilt)) {
    const [, stage = '', text = ''] = /^\[(\S+) \d+\/\d+\] (.*)$/.exec(title) ?? []
    if (stage !== '') first[stage] ??= text
  }
  return first
}

/** Something that begins so. */
function begins(text: string): string {
  return expect.stringMatching(new RegExp(`^${RegExp.escape(text)}`)) as string
}

function replace(...changes: readonly (readonly [before: string, after: string])[]): void {
  let text = formsDockerfile
  for (const [before, after] of changes) {
    expect(text).toContain(before)
    text = text.replace(before, after)
  }
  writeFileSync(`${bench.context}/Dockerfile`, text)
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
    // Servers are asked for what they have.
    const { remote, ...others } = firstOfStages(outcome)
    expect({ remote, others }).toEqual({ remote: begins('ADD'), others: {} })
  })

  // One change of each stage at a time: steps above it are not found either.
  const rounds: readonly Readonly<Record<string, readonly [before: string, after: string, step: string]>>[] = [
    {
      files: ['target=/m/', 'target=/o/', 'RUN --mount=source=sub'],
      itself: ['other,source=/etc,', 'other,', 'RUN --mount=from=other'],
      grants: ['id=k secret', 'id=o secret', 'RUN --mount=type=secret,id=o'],
      caches: ['target=/c/', 'target=/c', 'RUN --mount=type=cache,target=/c cache'],
      texts: ['text\nEOT', 'texts\nEOT', 'COPY <<EOT'],
      picked: ['--exclude=*.txt', '--exclude=*.md', 'COPY --exclude=*.md'],
      parents: ['--parents sub/./', '--parents ./sub/', 'COPY --parents ./sub'],
    },
    {
      files: ['source=sub,', 'source=sub/deep,', 'RUN --mount=source=sub'],
      itself: ['COPY --from=other /etc', 'COPY --from=other /bin', 'COPY --from=other'],
      grants: ['mode=0440', 'mode=0400', 'RUN --mount=type=secret,id=k,target'],
      caches: ['uid=5,gid=6', 'uid=5,gid=7', 'RUN --mount=type=cache,target=/c,uid'],
      texts: ['<<two /t/\n1\none\n2\ntwo', '<<tow /t/\n1\none\n2\ntow', 'COPY --chmod'],
      picked: ['seven:seven', 'seven:root', 'COPY --chown'],
    },
    {
      files: ['/n.txt,rw', '/n.txt', 'RUN --mount=source=sub'],
      grants: ['uid=5 --', 'uid=6 --', 'RUN --mount=type=secret,id=k,target'],
      caches: ['mode=0700', 'mode=0755', 'RUN --mount=type=cache,target=/c,uid'],
      texts: ['linked\nEOT', 'link\nEOT', 'COPY --link'],
      picked: ['go= ', 'go=r ', 'COPY --chmod'],
    },
    {
      files: ['source=/etc --', 'source=/bin --', 'RUN --mount=from=other'],
      grants: ['required,', '', 'RUN --mount=type=secret,id=k,target'],
      caches: ['size=1m', 'size=2m', 'RUN --mount=type=tmpfs'],
      picked: ['USER seven', 'USER 7', 'WORKDIR'],
    },
    {
      grants: ['env=KEY', 'env=KEYS', 'RUN --mount=type=secret,id=k,target'],
      caches: ['script\nEOT', 'scripts\nEOT', 'RUN <<EOT'],
    },
    { grants: ['type=ssh agent', 'type=ssh,id=a agent', 'RUN --mount=type=ssh,id=a'] },
    { grants: ['mode=0666', 'mode=0600', 'RUN --mount=type=ssh,id=default'] },
  ]

  test.each(rounds)('gives nothing to steps that say something else, and to those on them', async (round) => {
    replace(...Object.values(round).map(([before, after]) => [before, after] as const))
    const first = firstOfStages(await build(...from))
    for (const [stage, [, , step]] of Object.entries(round))
      expect({ [stage]: first[stage] }).toEqual({ [stage]: begins(step) })
    // What stands at the end is not found, all other stages are. Of servers it is shown that they are asked.
    expect(
      Object.keys(first)
        .filter((stage) => stage !== 'remote' && !stage.startsWith('stage-'))
        .toSorted(),
    ).toEqual(Object.keys(round).toSorted())
  })

  test('gives nothing to what reads a stage that is another', async () => {
    replace(['RUN other', 'RUN another'])
    expect(firstOfStages(await build(...from))).toMatchObject({
      other: 'RUN another',
      files: begins('RUN --mount=from=other'),
      itself: begins('RUN --mount=from=other'),
      caches: begins('RUN --mount=type=cache,target=/c,from'),
    })
  })

  test.each<[string, string, () => void, string]>([
    ['a file', 'files', () => write('sub/y.txt', 'else\n'), 'RUN --mount=target=/m whole'],
    ['a mode', 'files', () => chmodSync(`${bench.context}/b.sh`, 0o755), 'RUN --mount=target=/m whole'],
    ['a named context', 'files', () => writeFileSync(`${bench.directory}/named/n`, '\n'), 'RUN --mount=from=named'],
    ['a file beside texts', 'texts', () => write('a.txt', 'else\n'), 'COPY --chmod'],
    ['a file that is left', 'picked', () => write('sub/x.js', 'else\n'), 'COPY --exclude=*.txt'],
    ['the mode of a directory', 'picked', () => chmodSync(`${bench.context}/sub`, 0o700), 'COPY --exclude=*.txt'],
    ['a file that is left by one only', 'picked', () => write('sub/y.txt', 'else\n'), 'COPY --exclude=deep'],
    ['a file with its parents', 'parents', () => write('sub/deep/z.txt', 'else\n'), 'COPY --parents sub/deep'],
    ['the mode of a parent', 'parents', () => chmodSync(`${bench.context}/sub/deep`, 0o700), 'COPY --parents sub/deep'],
    ['one more that matches', 'parents', () => bench.file('sub/new.js'), 'COPY --parents sub/./'],
  ])('gives nothing to a step that reads something else: %s of %s', async (_, stage, change, step) => {
    change()
    expect(firstOfStages(await build(...from, '--target', stage))).toMatchObject({ [stage]: begins(step) })
  })

  test.each<[string, number, () => void]>([
    ['a file of a server', 0, () => serve('/f.txt', 'other\n')],
    ['its date', 0, () => serve('/f.txt', 'fetched\n', 'Sat, 02 Mar 2024 10:00:00 GMT')],
    [
      'a checksum',
      1,
      () => {
        replace([digestOf('pinned\n'), digestOf('other\n')])
        serve('/g.txt', 'other\n')
      },
    ],
    ['a commit', 3, () => moveTag()],
    ['a directory of a repository', 3, () => replace(['#v1:d', '#v1'])],
    ['the directory of git', 4, () => replace(['--keep-git-dir=true', '--keep-git-dir=false'])],
  ])('gives nothing from an ADD on that brings something else: %s after %i steps', async (_, found, change) => {
    change()
    expect((await build(...from, '--target', 'remote')).cached).toBe(found)
  })

  function serve(path: string, text: string, lastModified = 'Fri, 01 Mar 2024 10:00:00 GMT'): void {
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
