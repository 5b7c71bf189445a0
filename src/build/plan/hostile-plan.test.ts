import { describe, expect, test } from 'bun:test'
import { array, assert, asyncProperty, constantFrom, integer, oneof, record, string, tuple } from 'fast-check'
import { dockerfileText } from '../../../test/fixtures/arbitrary-dockerfile.ts'
import { noCheckOptions } from '../../dockerfile/directives.ts'
import { Linter, lintText } from '../../dockerfile/lint/linter.ts'
import { parseDockerfile } from '../../dockerfile/parser.ts'
import { DockerfileError } from '../../dockerfile/dockerfile-error.ts'
import { CairnError } from '../../errors/error.ts'
import type { BaseImage, BuildPlan, FileSource, Op } from '../graph.ts'
import { StepError } from '../step-error.ts'
import { plainImage, planOf } from './plan-fixtures.ts'

async function plan(
  source: string,
  target?: string,
  onBuild: readonly string[] = [],
  linter?: Linter,
): Promise<BuildPlan> {
  const resolveImage = async (name: string): Promise<BaseImage> => plainImage(name, { OnBuild: onBuild })
  return await planOf(source, { target, linter, resolveImage })
}

function sourcesOf(op: Op): Op[] {
  const of = (source: FileSource | undefined): Op[] =>
    source?.from === 'op' && source.op !== undefined ? [source.op] : []
  switch (op.kind) {
    case 'copy':
      return op.sources.flatMap((item) => (item.kind === 'files' ? of(item.source) : []))
    case 'run':
      return op.mounts.flatMap((mount) => (mount.type === 'bind' || mount.type === 'cache' ? of(mount.source) : []))
    default:
      return []
  }
}

/** A plan whose ops come after all that they need can be carried out. */
function expectOrdered({ ops, target }: BuildPlan): void {
  for (const [index, op] of ops.entries()) {
    expect(op.id).toBe(index)
    for (const needed of [...(op.parent === undefined ? [] : [op.parent]), ...sourcesOf(op)]) {
      expect(ops[needed.id]).toBe(needed)
      expect(needed.id).toBeLessThan(op.id)
    }
  }
  if (target !== undefined) expect(ops[target.id]).toBe(target)
}

describe('planBuild()', () => {
  test('takes a thousand stages, each built from the one before', async () => {
    const stages = Array.from({ length: 1000 }, (_, index) =>
      index === 0 ? 'FROM busybox AS s0\nRUN 0' : `FROM s${index - 1} AS s${index}\nENV N=${index}\nRUN ${index}`,
    )
    const planned = await plan(stages.join('\n'))
    expectOrdered(planned)
    expect(planned.ops).toHaveLength(1001)
    expect(planned.ops.at(-1)?.title).toBe('[s999 1/1] RUN 999')
    expect(planned.config.config?.Env?.at(-1)).toBe('N=999')
    expect((await plan(stages.join('\n'), 's9')).ops).toHaveLength(11)
  })

  test('takes a thousand stages that all read each other', async () => {
    const stages = Array.from({ length: 1000 }, (_, index) => {
      const reads = [index - 1, index - 2, Math.floor(index / 2)].filter((other) => other >= 0 && other < index)
      return [`FROM busybox AS s${index}`, ...reads.map((other) => `COPY --from=s${other} /a /b`)].join('\n')
    })
    const planned = await plan(stages.join('\n'))
    expectOrdered(planned)
    expect(planned.ops.filter(({ kind }) => kind === 'base')).toHaveLength(1)
    expect(planned.ops.length).toBeGreaterThan(2900)
  })

  test('takes ten thousand lines', async () => {
    const lines = Array.from({ length: 10_000 }, (_, index) =>
      index % 4 === 0 ? `ENV V${index % 100}=${index}` : index % 4 === 1 ? `LABEL l${index}=x` : `RUN echo ${index}`,
    )
    const planned = await plan(`FROM busybox\n${lines.join('\n')}\n`)
    expectOrdered(planned)
    expect(planned.ops).toHaveLength(5001)
    expect(planned.config.history).toHaveLength(10_000)
    expect(Object.keys(planned.config.config?.Labels ?? {})).toHaveLength(2500)
    expect(planned.ops.at(-1)?.title).toBe('[5001/5001] RUN echo 9999')
  })

  test('refuses an image whose configuration could not be read again, before anything is run', async () => {
    const instructions = Array.from({ length: 100 }, (_, index) => `LABEL l${index}=$a`)
    const source = `FROM busybox\nARG a=${'x'.repeat(60_000)}\n${instructions.join('\n')}\n`
    await expect(plan(source)).rejects.toMatchObject({
      code: 'LIMIT_EXCEEDED',
      message: expect.stringMatching(/^the image's configuration has 6\d{6} bytes, more than the 4194304/),
    })
    // A stage of which only files are wanted may say as much.
    await plan(source.replace('busybox', 'busybox AS large') + 'FROM scratch\nCOPY --from=large / /\n')
  })

  test('ends where variables make a history that grows beyond all measure, and names the line', async () => {
    const instructions = Array.from({ length: 5000 }, () => 'LABEL l=$a')
    const source = `FROM busybox\nARG a=${'x'.repeat(60_000)}\n${instructions.join('\n')}\n`
    await expect(plan(source)).rejects.toThrow('the history of the stage is longer than 268435456 characters')
  })

  test('takes a circle of a thousand stages for the mistake that it is', async () => {
    const stages = Array.from(
      { length: 1000 },
      (_, index) => `FROM busybox AS s${index}\nCOPY --from=s${(index + 1) % 1000} / /`,
    )
    await expect(plan(stages.join('\n'))).rejects.toThrow('circular dependency detected on stage: s')
  })

  test('comes to an end on any Dockerfile, with a plan in order or with an error', async () => {
    const name = constantFrom('a', 'b', 'c', 'd', 'busybox', 'scratch', '0', '1', '2')
    const word = oneof(
      constantFrom('$A', '${B:-x}', '${C:?no}', '"q $A"', '/x', '.', '..', '/', '', '*', '${', '\\', '$$'),
      string({ maxLength: 6 }),
    )
    const line = oneof(
      tuple(name, constantFrom('', ' AS a', ' AS b', ' AS c', ' AS d')).map(([image, as]) => `FROM ${image}${as}`),
      tuple(name, word, word).map(([from, source, target]) => `COPY --from=${from} ${source} ${target}`),
      tuple(constantFrom('COPY', 'ADD'), constantFrom('', '--link ', '--chown=$A ', '--chmod=7$B '), word, word).map(
        ([kind, flag, source, target]) => `${kind} ${flag}${source} ${target}`,
      ),
      tuple(name, word).map(([from, target]) => `RUN --mount=from=${from},target=${target} x`),
      tuple(constantFrom('cache', 'tmpfs', 'secret', 'bind'), word).map(
        ([type, target]) => `RUN --mount=type=${type},target=${target} x`,
      ),
      tuple(
        constantFrom(
          'RUN',
          'CMD',
          'ENTRYPOINT',
          'ENV',
          'ARG',
          'LABEL',
          'USER',
          'WORKDIR',
          'VOLUME',
          'EXPOSE',
          'STOPSIGNAL',
          'SHELL',
          'HEALTHCHECK',
        ),
        word,
        word,
      ).map(([kind, left, right]) => `${kind} ${left}${kind === 'ENV' || kind === 'ARG' ? '=' : ' '}${right}`),
      tuple(name, word).map(([from, target]) => `ONBUILD COPY --from=${from} / ${target}`),
      tuple(word).map(([value]) => `ONBUILD ENV A=${value}`),
    )
    let planned = 0
    await assert(
      asyncProperty(
        record({
          lines: array(line, { maxLength: 12 }),
          target: oneof(name, constantFrom(undefined)),
          triggers: integer({ max: 1, min: 0 }),
        }),
        async ({ lines, target, triggers }) => {
          const source = ['ARG A=a', 'FROM busybox AS a', ...lines].join('\n')
          try {
            expectOrdered(await plan(source, target, triggers === 0 ? [] : ['COPY --from=b / /t', 'ENV T=$A']))
            planned++
          } catch (error) {
            if (!(error instanceof CairnError)) throw error
            expect(error.message).not.toBe('')
          }
        },
      ),
      { numRuns: 2000 },
    )
    expect(planned).toBeGreaterThan(100)
  })

  test('plans or refuses whatever can be written, and judges it', async () => {
    let planned = 0
    await assert(
      asyncProperty(dockerfileText, async (text) => {
        try {
          const dockerfile = parseDockerfile(text, 'Dockerfile')
          const linter = new Linter({ ...noCheckOptions, experimentalAll: true }, ({ detail }) =>
            expect(detail).not.toBe(''),
          )
          lintText(linter, {
            warnings: dockerfile.warnings,
            instructions: dockerfile.stages.flatMap((stage) => [stage.from, ...stage.instructions]),
          })
          expectOrdered(await plan(text, undefined, [], linter))
          planned++
        } catch (error) {
          if (!(error instanceof DockerfileError || error instanceof StepError)) throw error
          expect(error.message).not.toBe('')
          expect(error.range.start).toBeGreaterThan(0)
        }
      }),
      { numRuns: 600 },
    )
    expect(planned).toBeGreaterThan(50)
  })

  const many = 100_000
  test.each([
    ['an ENV', `ENV x=${'${a:-\\\n'.repeat(many)}${'}'.repeat(60_000)}`],
    ['a LABEL in quotes', `LABEL x=${'"${a:-\\\n'.repeat(many)}`],
    ['a file', `COPY <<E /x\n${'${a:+\n'.repeat(many)}E`],
    ['a mount', `RUN --mount=type=tmpfs,target=${'${a-\\\n'.repeat(many)} x`],
    ['a WORKDIR', `WORKDIR ${'${a#\\\n'.repeat(many)}`],
    ['a port', `EXPOSE ${'${a/\\\n'.repeat(many)}`],
    ['a source', `COPY ${'${a%\\\n'.repeat(many)} /`],
  ])('refuses %s whose expansion is nested 100,000 deep', async (_, text) => {
    await expect(plan(`FROM scratch\n${text}\n`)).rejects.toThrow(/nested more than 200 deep/)
  })

  test.each([
    ['words', `ENV x=${'\\ a\\\n'.repeat(many)}`],
    ['variables', `LABEL x=${'$a\\\n'.repeat(many)}`],
    ['letters before no URL', `COPY ${'a\\\n'.repeat(many)} b`],
    ['directories', `WORKDIR ${'a/../\\\n'.repeat(many)}`],
    ['directories above', `WORKDIR /${'../\\\n'.repeat(many)}`],
    ['sources', `COPY ${'a* \\\n'.repeat(many)} /x/`],
    ['what is left out', `COPY ${'--exclude=**/a \\\n'.repeat(many)} . /x/`],
    ['ports', `EXPOSE ${'1-65535 \\\n'.repeat(3)}`],
    ['fields of a file', `COPY <<E /x\n${'$a "b" \'c\' \\d\n'.repeat(many)}E`],
  ])('takes 100,000 %s', async (_, text) => {
    expect((await plan(`FROM scratch\n${text}\n`)).config.architecture).toBe('amd64')
  })
})
