import { describe, expect, test } from 'bun:test'
import { Cairn } from './fixtures/cli/cairn.ts'
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

/** One text for all commands, so that a failure shows where the two part. */
function transcript(commands: readonly { readonly command: string; readonly outcome: Outcome }[]): string {
  return commands
    .map(({ command, outcome: { out, err, status } }) => `$ ${command}\n${out}--- stderr\n${err}--- status ${status}\n`)
    .join('\n')
}

describe('cairn prints what docker 28.5 prints', () => {
  for (const name of scenarioNames())
    test.concurrent(name, async () => {
      using cairn = new Cairn()
      const steps = readScenario(name)
      const compared = await runScenario(steps, cairn.directory, (args, stdin) =>
        cairn.run(args, stdin === undefined ? {} : { stdin }),
      )
      const lines = compared.map(({ step: { command }, outcome }) => ({
        command,
        outcome: { ...outcome, err: withoutPrefix(outcome.err) },
      }))
      const wanted = compared.map(({ step }) => ({ command: step.command, outcome: expected(step) }))
      expect(transcript(lines)).toBe(transcript(wanted))
    })
})
