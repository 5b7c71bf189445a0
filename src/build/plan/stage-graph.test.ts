import { describe, expect, test } from 'bun:test'
import { CairnError } from '../../errors/error.ts'
import type { BaseImage, BuildPlan, Op } from '../graph.ts'
import type { PlanOptions } from './plan-options.ts'
import { StepError } from '../step-error.ts'
import { plainImage, planOf } from './plan-fixtures.ts'

const optIn = '# syntax=cairn/dockerfile:1\n'

/** Images whose names begin with `no` are missing. */
function image(name: string): BaseImage {
  if (name.startsWith('no')) throw new CairnError('IMAGE_UNKNOWN', `no image ${name}`)
  return plainImage(name)
}

async function plan(source: string, options: Partial<PlanOptions> = {}): Promise<BuildPlan> {
  return await planOf(source, { resolveImage: async (name) => image(name), ...options })
}

async function failure(source: string, options: Partial<PlanOptions> = {}): Promise<StepError> {
  try {
    await plan(source, options)
  } catch (error) {
    if (error instanceof StepError) return error
    throw error
  }
  throw new Error(`this can be planned: ${source}`)
}

const titles = ({ ops }: BuildPlan): string[] => ops.map((op) => op.title)

/** Titles of the ops that the last op takes files from. */
function sources(ops: readonly Op[]): (string | undefined)[] {
  const op = ops.at(-1)
  const all =
    op?.kind === 'copy'
      ? op.sources.map((item) => (item.kind === 'files' ? item.source : undefined))
      : op?.kind === 'run'
        ? op.mounts.map((mount) => (mount.type === 'bind' ? mount.source : undefined))
        : []
  return all.map((source) => (source?.from === 'op' ? source.op?.title : undefined))
}

describe('variables in from', () => {
  test('stand for stages, indexes and images, with the values FROM sees', async () => {
    const file = (last: string) =>
      `${optIn}ARG kind=debug\nARG n=0\nFROM busybox AS build-debug\nRUN a\nFROM busybox AS build-release\nRUN b\nFROM busybox\n` +
      `ARG kind=other\n${last}\n`
    expect(sources((await plan(file('COPY --from=build-$kind /x /y'))).ops)).toEqual(['[build-debug 2/2] RUN a'])
    expect(sources((await plan(file('COPY --from=$n /x /y'))).ops)).toEqual(['[build-debug 2/2] RUN a'])
    const released = await plan(file('COPY --from=build-${kind:-x} /x /y'), {
      buildArgs: new Map([['kind', 'release']]),
    })
    expect(titles(released)).toContain('[build-release 2/2] RUN b')
    expect(titles(released)).not.toContain('[build-debug 2/2] RUN a')
    expect(sources((await plan(file('RUN --mount=from=build-$kind,target=/t x'))).ops)).toEqual([
      '[build-debug 2/2] RUN a',
    ])
    expect(sources((await plan(file('COPY --from=img-$TARGETARCH /x /y'))).ops)).toEqual(['FROM img-amd64'])
  })
  test('are refused without the opt-in, in triggers too, and where nothing comes out', async () => {
    const hint = 'This extension of the language needs "# syntax=cairn/dockerfile:1" as the first line.'
    expect(await failure('FROM a AS x\nFROM a\nCOPY --from=$y /a /b')).toMatchObject({
      range: { start: 3 },
      message:
        'variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround',
      hint,
    })
    expect(await failure('FROM a AS x\nONBUILD COPY --optional a b\nFROM x')).toMatchObject({
      range: { start: 3 },
      message: 'ONBUILD trigger "COPY --optional a b": unknown flag: --optional',
      hint,
    })
    expect(await failure(`${optIn}FROM a\nARG y=x\nCOPY --from=$y /a /b`)).toMatchObject({
      range: { start: 4 },
      message: 'from ($y) should not be blank',
    })
  })
  test('work in ONBUILD triggers', async () => {
    const { ops } = await plan(`${optIn}ARG x=s\nFROM a AS s\nRUN r\nFROM a AS t\nONBUILD COPY --from=$x /a /b\nFROM t`)
    expect(sources(ops)).toEqual(['[s 2/2] RUN r'])
  })
})

describe('problems of several stages', () => {
  test('are told at once: global arguments, names, images, instructions', async () => {
    const several = async (source: string): Promise<unknown[]> => {
      const { message, range, excerpt } = await failure(source)
      return [message, range.start, [...excerpt.matchAll(/^Dockerfile:(\d+)$/gm)].map(([, line]) => Number(line))]
    }
    expect(await several('ARG a=${x\nARG b=ok\nARG c=${y?gone}\nFROM a')).toEqual([
      'failed to process "${x": syntax error: missing \'}\' (and 1 more problem)',
      1,
      [1, 3],
    ])
    expect(
      await several('FROM $x\nFROM a AS b\nCOPY --from=7 a b\nRUN --mount=from=c,target=/x a\nCOPY --from=9 a b'),
    ).toEqual(['base name ($x) should not be blank (and 2 more problems)', 1, [1, 3, 5]])
    expect(
      await several(
        'FROM no1 AS a\nFROM no2 AS b\nFROM no1 AS c\nFROM d\nCOPY --from=a a a\nCOPY --from=b b b\nCOPY --from=c c c',
      ),
    ).toEqual(['no image no1 (and 1 more problem)', 1, [1, 2]])
    expect(
      await several(
        'FROM x AS a\nENV b=${c\nENV d=${e\nFROM a AS below\nENV b=${c\nFROM x AS other\nEXPOSE x\nFROM x\nCOPY --from=below a a\nCOPY --from=other b b',
      ),
    ).toEqual(['failed to process "${c": syntax error: missing \'}\' (and 1 more problem)', 2, [2, 7]])
  })
  test('are each shown with their message, the first five of them', async () => {
    const stages = Array.from({ length: 8 }, (_, index) => `FROM a AS s${index}\nEXPOSE x${index}\n`).join('')
    const error = await failure(stages, { allStages: true })
    expect(error.message).toBe('invalid containerPort: x0 (and 7 more problems)')
    expect([...(error.excerpt.match(/^invalid containerPort: x\d$/gm) ?? [])]).toEqual(
      [0, 1, 2, 3, 4].map((n) => `invalid containerPort: x${n}`),
    )
    expect(error.excerpt).toEndWith('… and 3 more')
  })
})

describe('--all-stages', () => {
  const file =
    'FROM a AS base\nRUN 1\nFROM base AS tests\nRUN 2\nFROM scratch AS nothing\nFROM base AS app\nRUN 3\nFROM b AS docs\nRUN 4\n'
  test('plans every stage, while the image is that of the target', async () => {
    const all = await plan(file, { allStages: true, target: 'app' })
    expect(titles(all)).toEqual([
      '[base 1/2] FROM a',
      '[base 2/2] RUN 1',
      '[tests 1/1] RUN 2',
      '[app 1/1] RUN 3',
      '[docs 1/2] FROM b',
      '[docs 2/2] RUN 4',
    ])
    expect(all.target?.title).toBe('[app 1/1] RUN 3')
    expect(all.wanted.map((op) => op.title)).toEqual([
      '[base 2/2] RUN 1',
      '[tests 1/1] RUN 2',
      '[app 1/1] RUN 3',
      '[docs 2/2] RUN 4',
    ])
    const one = await plan(file, { target: 'app' })
    expect(titles(one)).toEqual(['[base 1/2] FROM a', '[base 2/2] RUN 1', '[app 1/1] RUN 3'])
    expect(one.wanted.map((op) => op.title)).toEqual(['[app 1/1] RUN 3'])
    expect(one.config.config).toEqual(all.config.config)
  })
})
