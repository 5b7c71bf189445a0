import { describe, expect, test } from 'bun:test'
import { WarmCairn } from './fixtures/cli/warm-cairn.ts'
import { inCairnsWords, withoutPrefix } from './fixtures/docker-parity/masks.ts'
import { type Outcome, readScenario, scenarioNames, type Step } from './fixtures/docker-parity/scenario.ts'
import { runScenario } from './fixtures/docker-parity/scenario-runner.ts'

/** What Cairn is to print: docker's text in its words, or the difference that is kept. */
function expected({ docker, kept }: Extract<Step, { kind: 'compared' }>): Outcome {
  return {
    out: kept?.out ?? inCairnsWords(docker.out),
    err: kept?.err === undefined ? inCairnsWords(docker.err) : withoutPrefix(kept.err),
    status: kept?.status ?? docker.status,
  }
}

/** What Cairn printed, without the hint that may follow a failure. */
function comparable(outcome: Outcome, wanted: Outcome): Outcome {
  const err = withoutPrefix(outcome.err)
  const hint = err.startsWith(wanted.err) ? err.slice(wanted.err.length) : ''
  return { ...outcome, err: wanted.status !== 0 && /^\n(?:.+\n)+$/.test(hint) ? wanted.err : err }
}

function transcript(command: string, { out, err, status }: Outcome): string {
  return `$ ${command}\n${out}--- stderr\n${err}--- status ${status}\n`
}

describe('cairn prints what docker 28.5 prints', () => {
  for (const name of scenarioNames())
    test.concurrent(
      name,
      async () => {
        using cairn = new WarmCairn()
        const compared = await runScenario(readScenario(name), cairn.directory, (args, stdin) =>
          cairn.run(args, stdin === undefined ? {} : { stdin }),
        )
        // Only the commands that differ, so that a failure shows nothing else.
        const different = compared
          .map(({ step, outcome }) => ({
            made: transcript(step.command, comparable(outcome, expected(step))),
            wanted: transcript(step.command, expected(step)),
          }))
          .filter(({ made, wanted }) => made !== wanted)
        expect(different.map(({ made }) => made).join('\n')).toBe(different.map(({ wanted }) => wanted).join('\n'))
      },
      120_000,
    )
})
