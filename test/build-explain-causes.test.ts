import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { causesText } from '../src/build/explain/miss.ts'
import type { ExplainedStep } from '../src/records/record.ts'
import { BuildBench, type BenchOptions } from './fixtures/build-bench.ts'

const dockerfile = `FROM busybox AS base
ENV SCOPE=all
WORKDIR /repo
FROM base AS lib
COPY lib lib
RUN cat lib/* | grep -v '^#' > /lib.out
FROM base AS app
ARG NAME=joe
ARG VERSION=1
COPY --exclude=*.test app app
COPY <<EOF /version
\${VERSION}
EOF
COPY --from=lib /lib.out \${NAME}
RUN cat app/src > /app.out
FROM busybox
COPY --from=app /app.out /
RUN --mount=type=bind,from=lib,source=/lib.out,target=/lib echo done > /done
`

/** What an edit changes, and the steps that then run, with all that their explanations say. */
interface Edit {
  readonly edit?: (bench: BuildBench) => void | Promise<void>
  /** Text of the Dockerfile that is replaced, with its replacement. */
  readonly replace?: readonly [string, string]
  readonly options?: BenchOptions
  readonly explained: Readonly<Record<string, string>>
}

const path = (bench: BuildBench, name: string): string => `${bench.context}/${name}`

const edits: Readonly<Record<string, Edit>> = {
  'files of another stage come out the same': {
    edit: (bench) => void bench.file('lib/notes', '# other\n'),
    explained: { 'COPY lib': 'lib/notes changed', 'RUN cat lib': ' < lib/notes changed' },
  },
  'what a step stands on came out the same': {
    edit: (bench) => void bench.file('lib/notes', '# other\n'),
    replace: ['RUN cat app/src', 'USER 1:1\nUSER 0\nRUN cat ./app/src'],
    explained: {
      'COPY lib': 'lib/notes changed',
      'RUN cat lib': ' < lib/notes changed',
      'RUN cat ./app': 'the instruction changed (was RUN cat app/src > /app.out), user was set to 0',
    },
  },
  'a source came out the same and the instruction is another one': {
    edit: (bench) => void bench.file('lib/notes', '# other\n'),
    replace: ['--from=lib /lib.out ${NAME}', '--from=lib --chmod=644 /lib.out ${NAME}'],
    explained: {
      'COPY lib': 'lib/notes changed',
      'RUN cat lib': ' < lib/notes changed',
      'COPY --from=lib': 'the instruction changed (was COPY --from=lib /lib.out joe)',
    },
  },
  'a variable that every step sees is told of once': {
    replace: ['SCOPE=all', 'SCOPE=one'],
    explained: {
      'RUN cat lib': 'variable SCOPE changed from "all" to "one"',
      'RUN cat app': 'variable SCOPE changed from "all" to "one"',
    },
  },
  'an argument in a here-document': {
    options: { args: { VERSION: '2' } },
    explained: {
      'COPY <<EOF': 'variable VERSION changed (was "1")',
      'COPY --from=lib': ' < variable VERSION changed (was "1")',
      'RUN cat app': 'variable VERSION changed (was "1")',
    },
  },
  'the text of a here-document': {
    replace: ['${VERSION}\n', 'v${VERSION}\n'],
    explained: {
      'COPY <<EOF': 'the text that it runs or writes changed',
      'COPY --from=lib': ' < the text that it runs or writes changed',
      'RUN cat app': ' < the text that it runs or writes changed',
    },
  },
  'an argument in the words of COPY': {
    replace: ['NAME=joe', 'NAME=ann'],
    explained: {
      'COPY --from=lib': 'variable NAME changed from "joe" to "ann"',
      'RUN cat app': 'variable NAME changed from "joe" to "ann"',
    },
  },
  'a value that the command line gives, and its name': {
    options: { args: { VERSION: 'hunter2' } },
    replace: ['VERSION=1', 'VERSION\nENV COPY_OF=$VERSION'],
    explained: {
      'COPY <<EOF': 'variable VERSION changed (was "1")',
      'COPY --from=lib': ' < variable VERSION changed (was "1")',
      'RUN cat app': 'variable COPY_OF was added, variable VERSION changed (was "1")',
    },
  },
  'less that is excluded': {
    replace: ['--exclude=*.test ', ''],
    explained: {
      'COPY app': 'the instruction changed (was COPY --exclude=*.test app app)',
      'COPY <<EOF': ' < the instruction changed (was COPY --exclude=*.test app app)',
      'COPY --from=lib': ' < the instruction changed (was COPY --exclude=*.test app app)',
      'RUN cat app': ' < the instruction changed (was COPY --exclude=*.test app app)',
    },
  },
  'more that is excluded, and a file': {
    edit: (bench) => void bench.file('app/other', 'new'),
    replace: ['*.test', '*.t?st'],
    explained: {
      'COPY --exclude': 'the instruction changed (was COPY --exclude=*.test app app), app/other changed',
      'COPY <<EOF': ' < the instruction changed (was COPY --exclude=*.test app app), app/other changed',
      'COPY --from=lib': ' < the instruction changed (was COPY --exclude=*.test app app), app/other changed',
      'RUN cat app': ' < the instruction changed (was COPY --exclude=*.test app app), app/other changed',
    },
  },
  'parents of files': {
    replace: ['COPY lib lib', 'COPY --parents lib ./'],
    explained: { 'COPY --parents': 'the instruction changed (was COPY lib lib)' },
  },
  'a step twice': {
    replace: ['COPY lib lib\n', 'COPY lib lib\nCOPY lib lib\n'],
    explained: { 'COPY lib': 'new step', 'RUN cat lib': ' < new step' },
  },
  'a step more, and the next one otherwise': {
    replace: ["RUN cat lib/* | grep -v '^#'", "RUN echo more > /more\nRUN cat lib/s* | grep -v '^#'"],
    explained: {
      'RUN echo more': 'new step',
      'RUN cat lib': "the instruction changed (was RUN cat lib/* | grep -v '^#' > /lib.out) < new step",
    },
  },
  'a stage above that was never built': {
    replace: [
      'FROM busybox\n',
      'FROM base AS extra\nRUN echo extra > /extra\nFROM busybox\nCOPY --from=extra /extra /\n',
    ],
    explained: {
      'RUN echo extra': 'new step',
      'COPY --from=extra': 'new step',
      'COPY --from=app': ' < new step',
      'RUN --mount': ' < new step',
    },
  },
  'another target': {
    options: { target: 'other' },
    replace: ['FROM busybox\n', 'FROM busybox AS other\nRUN echo x > /x\nFROM busybox\n'],
    explained: { 'RUN echo x': 'new step' },
  },
  'a directory under another name': {
    edit: (bench) => renameSync(path(bench, 'lib/sub'), path(bench, 'lib/part')),
    explained: {
      'COPY lib': 'lib/sub renamed to lib/part',
      'RUN cat lib': ' < lib/sub renamed to lib/part',
    },
  },
  'a directory with all in it': {
    edit: (bench) => rmSync(path(bench, 'lib/sub'), { recursive: true }),
    explained: { 'COPY lib': 'lib/sub removed', 'RUN cat lib': ' < lib/sub removed' },
  },
  'a directory that became a symlink': {
    edit: (bench) => {
      rmSync(path(bench, 'lib/sub'), { recursive: true })
      symlinkSync('src', path(bench, 'lib/sub'))
    },
    explained: {
      'COPY lib': 'lib/sub is a symlink (was a directory)',
      'RUN cat lib': ' < lib/sub is a symlink (was a directory)',
      'COPY --from=lib': 'lib.out changed < lib/sub is a symlink (was a directory)',
      'RUN cat app': ' < lib.out changed',
      'RUN --mount': 'lib.out changed < lib/sub is a symlink (was a directory)',
    },
  },
  'an ignore file of the Dockerfile’s own': {
    edit: (bench) => writeFileSync(path(bench, 'Dockerfile.dockerignore'), 'lib/notes\n'),
    explained: { 'COPY lib': 'lib/notes is ignored now', 'RUN cat lib': ' < lib/notes is ignored now' },
  },
  'variables of a base image that moved': {
    edit: async (bench) => await bench.importBase('busybox', ['ENV LANG=en']),
    explained: {
      'RUN cat lib': 'variable LANG="en" was added',
      'RUN cat app': 'variable LANG="en" was added',
      'RUN --mount': 'variable LANG="en" was added',
    },
  },
}

describe('an explanation names what changed and nothing else', () => {
  let bench: BuildBench
  beforeEach(async () => {
    bench = await BuildBench.open()
    mkdirSync(bench.context, { recursive: true })
    bench.file('lib/src', 'lib\n')
    bench.file('lib/notes', '# notes\n')
    bench.file('lib/sub/inner', 'inner\n')
    bench.file('app/src', 'app\n')
    bench.file('app/other', 'old')
    bench.file('app/a.test', 'test')
  })
  afterEach(() => bench[Symbol.dispose]())

  async function explain(text: string, options: BenchOptions = {}): Promise<readonly ExplainedStep[]> {
    let steps: readonly ExplainedStep[] = []
    await bench.build(text, { ...options, onSteps: (found) => (steps = found) })
    return steps
  }

  for (const [name, { edit, replace, options, explained }] of Object.entries(edits))
    test(name, async () => {
      await explain(dockerfile)
      await edit?.(bench)
      const [from = '', to = ''] = replace ?? []
      if (replace !== undefined) expect(dockerfile).toContain(from)
      const steps = await explain(
        dockerfile.replace(from, () => to),
        options,
      )
      const ran = steps.filter(({ outcome }) => outcome === 'ran')
      const nameOf = (text: string): string => Object.keys(explained).find((step) => text.startsWith(step)) ?? text
      const said = ran.map(({ text, miss }) => [
        nameOf(text),
        [miss?.own ?? [], ...(miss?.inherited === undefined ? [] : [miss.inherited.causes])]
          .map(causesText)
          .join(' < '),
      ])
      expect(said).toEqual(Object.entries(explained))
    })

  test('a base image that moved is told of where its files are the same', async () => {
    await explain(dockerfile)
    await bench.importBase('busybox', ['ENV LANG=en'])
    const [base] = await explain(dockerfile)
    expect(base?.outcome).toBe('base')
    expect(causesText(base?.miss?.own ?? [])).toMatch(
      /^base image changed from docker\.io\/library\/busybox:latest@sha256:\w{12} to docker\.io\/library\/busybox:latest@sha256:\w{12}$/,
    )
  })
})
