import { expect, test } from 'bun:test'
import { noCheckOptions } from '../../dockerfile/directives.ts'
import { type Finding, Linter } from '../../dockerfile/lint/linter.ts'
import type { BuildPlan } from '../graph.ts'
import { planOf } from './plan-fixtures.ts'

/**
 * Files whose planning takes 10 to 500 ms as long as the work grows with their size, and many seconds once it grows with
 * the square of it. A test that runs for five seconds has failed.
 */
const findings: Finding[] = []

async function plan(...parts: readonly string[]): Promise<BuildPlan> {
  findings.length = 0
  const linter = new Linter(noCheckOptions, (finding) => findings.push(finding))
  return await planOf(parts.join('\n'), { allStages: true, linter })
}

const many = (count: number, line: (index: number) => string): string =>
  Array.from({ length: count }, (_, index) => line(index)).join('\n')
const from = (index: number): string => `FROM ${index === 0 ? 'scratch' : `s${index - 1}`} AS s${index}`

/** The least processor time of three runs, in seconds: what else the machine does counts little. */
async function secondsOf(run: () => Promise<unknown>): Promise<number> {
  let least = Number.POSITIVE_INFINITY
  for (let round = 0; round < 3; round++) {
    const before = process.cpuUsage()
    await run()
    const { user, system } = process.cpuUsage(before)
    least = Math.min(least, (user + system) / 1e6)
  }
  return least
}

test('10,000 lines in 1,000 stages, each from the one before, are read and planned in a second', async () => {
  const text = many(1000, (index) => `${from(index)}\n${many(5, (more) => `ENV v${index}_${more}=x\nRUN x`)}`)
  expect(text.split('\n')).toHaveLength(11_000)
  expect(await secondsOf(() => plan(text))).toBeLessThan(1)
})

test('1,000 stages, each from the one before with nine more ENVs, have all of them in the end', async () => {
  const { config } = await plan(
    many(1000, (index) => `${from(index)}\n${many(9, (more) => `ENV v${index}_${more}=x`)}`),
  )
  expect(config.config?.Env).toHaveLength(9001)
  expect(config.history).toHaveLength(9000)
})

test('1,000 stages with labels, ports and volumes keep them all', async () => {
  const lines = (index: number): string =>
    `LABEL l${index}=x\nEXPOSE ${index + 1}\nVOLUME /v${index}\nWORKDIR /w${index}`
  const { config } = await plan(many(1000, (index) => `${from(index)}\n${lines(index)}`))
  for (const map of [config.config?.Labels, config.config?.ExposedPorts, config.config?.Volumes])
    expect(Object.keys(map ?? {})).toHaveLength(1000)
})

test('1,000 stages that copy from each other, and 1,000 images, are one op each', async () => {
  const copies = (index: number): string => many(Math.min(index, 9), (back) => `COPY --from=s${index - back - 1} a b`)
  const { ops } = await plan(many(1000, (index) => `FROM image${index} AS s${index}\n${copies(index)}\nRUN x`))
  expect(ops.filter(({ kind }) => kind === 'base')).toHaveLength(1000)
  expect(ops).toHaveLength(2000 + 9 * 1000 - 45)
})

test('10,000 images to copy from are one op each', async () => {
  const { ops } = await plan(
    'FROM scratch',
    many(10_000, (index) => `COPY --from=image${index} a b`),
  )
  expect(ops).toHaveLength(20_000)
})

test('9,000 variables without a value among 1,000 that have one are warned of, the first with suggestions', async () => {
  await plan(
    'FROM scratch',
    many(1000, (index) => `ENV variable${index}=x`),
    many(9000, (index) => `LABEL l${index}=$variable${index + 1000}`),
  )
  expect(findings).toHaveLength(9000)
  expect(findings[0]?.detail).toBe("Usage of undefined variable '$variable1000' (did you mean $variable100?)")
  expect(findings.at(-1)?.detail).toBe("Usage of undefined variable '$variable9999'")
})

test('a RUN of a megabyte, and 5,000 COPYs after it, are planned', async () => {
  const run = `RUN ${many(25_000, (index) => `echo ${index} "$HOME" ${'x'.repeat(20)} && \\`)}\n  true`
  const { ops } = await plan(
    'FROM scratch',
    run,
    many(5000, (index) => `COPY a${index} /b/${index}/`),
  )
  expect(run.length).toBeGreaterThan(1 << 20)
  expect(ops).toHaveLength(5001)
})

test('a stage may copy from 1,000 others', async () => {
  const { ops } = await plan(
    many(1000, (index) => `FROM scratch AS s${index}\nRUN ${index}`),
    'FROM scratch',
    many(1000, (index) => `COPY --from=s${index} a b`),
  )
  expect(ops).toHaveLength(2000)
})

test.each([
  ['ENV', (index: number) => `ENV v${index}=$v${index - 1}`],
  ['ARG', (index: number) => `ARG v${index}=${index}`],
  ['LABEL', (index: number) => `LABEL v${index}=${index}`],
  ['EXPOSE', (index: number) => `EXPOSE ${index + 1}`],
  ['VOLUME', (index: number) => `VOLUME /v${index}`],
  ['ONBUILD', (index: number) => `ONBUILD RUN ${index}`],
  ['CMD', (index: number) => `CMD ${index}`],
])('10,000 lines of %s are planned', async (_, line) => {
  const { config } = await plan('FROM scratch', many(10_000, line))
  // ONBUILD alone is not in the history.
  expect(config.history?.length ?? 0).toBe(line(0).startsWith('ONBUILD') ? 0 : 10_000)
})

test('10,000 RUNs cost nothing for the variables there are, whose values they see as they were', async () => {
  const { ops } = await plan(
    'FROM scratch AS large',
    many(5000, (index) => `ENV last=${index} e${index}=x\nARG a${index}=y\nRUN $last`),
    'FROM scratch\nCOPY --from=large a b',
  )
  expect(ops).toHaveLength(5001)
  const seen = ops[1234]?.kind === 'run' ? ops[1234].env : new Map<string, string>()
  expect([seen.get('last'), seen.get('e1234'), seen.get('a1234'), seen.has('e1235'), seen.size]).toEqual([
    '1234',
    'x',
    'y',
    false,
    2472,
  ])
})

test('10,000 triggers fire once', async () => {
  const { ops } = await plan(
    'FROM scratch AS base',
    many(10_000, (index) => `ONBUILD RUN ${index}`),
    'FROM base',
    'FROM base',
  )
  expect(ops).toHaveLength(20_000)
})

test('stages with triggers in a chain of 1,000 are linked', async () => {
  const { ops } = await plan(many(1000, (index) => `${from(index)}\nONBUILD COPY --from=s0 a b\nRUN x`))
  expect(ops).toHaveLength(1999)
})

test('a WORKDIR that no system can make is refused at its line', async () => {
  const lines = many(10_000, () => 'WORKDIR directory')
  await expect(plan('FROM scratch', lines)).rejects.toMatchObject({
    message: 'cannot make a directory whose path has 4100 bytes: file name too long',
    range: { start: 411 },
  })
})
