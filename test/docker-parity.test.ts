import { describe, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { findCommand } from '../src/cli/command.ts'
import type { FlagDefinitions } from '../src/cli/flags.ts'
import { globalFlags } from '../src/cli/global-flags.ts'
import { table } from '../src/cli/table-of-commands.ts'
import { type DockerFlags, flagsFile } from './fixtures/docker-parity/flags.ts'
import { WarmCairn } from './fixtures/cli/warm-cairn.ts'
import { inCairnsWords, withFailureOnStderr, withoutPrefix } from './fixtures/docker-parity/masks.ts'
import { type Outcome, readScenario, scenarioNames, type Step } from './fixtures/docker-parity/scenario.ts'
import { runScenario } from './fixtures/docker-parity/scenario-runner.ts'

/** What Cairn is to print: docker's text in its words, or the difference that is kept. */
function expected({ docker: recorded, kept }: Extract<Step, { kind: 'compared' }>): Outcome {
  const docker = withFailureOnStderr(recorded)
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

/** What a scenario that failed half-way has left running. */
async function removeContainers(cairn: WarmCairn): Promise<void> {
  const ids = (await cairn.run(['ps', '-aq'])).out.split('\n').filter(Boolean)
  if (ids.length > 0) await cairn.run(['rm', '-fv', ...ids])
}

describe('cairn prints what docker 28.5 prints', () => {
  for (const name of scenarioNames())
    test.concurrent(
      name,
      async () => {
        using cairn = new WarmCairn()
        await using _containers = { [Symbol.asyncDispose]: () => removeContainers(cairn) }
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

describe('commands have the flags that they have in docker 28.5', () => {
  const recorded = JSON.parse(readFileSync(flagsFile, 'utf8')) as DockerFlags
  for (const [command, flags] of Object.entries(recorded))
    test(command, async () => {
      const found = findCommand(table, command.split(' '))
      if (found.kind !== 'command') throw new Error(`no such command: ${command}`)
      const { default: definition } = await found.entry.load()
      const own: FlagDefinitions = { ...globalFlags, ...definition.flags }
      expect(flags.map(([name]) => [name, own[name]?.short ?? ''])).toEqual(flags.map(([name, short]) => [name, short]))
      const takesValue = flags.map(([name]) => [name, own[name] !== undefined && own[name].type !== 'bool'])
      expect(takesValue).toEqual(flags.map(([name, , value]) => [name, value !== '']))
    })
})
