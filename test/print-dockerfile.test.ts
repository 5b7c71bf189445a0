import { describe, expect, test } from 'bun:test'
import { array, assert, constantFrom, oneof, property, string } from 'fast-check'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DockerfileError } from '../src/dockerfile/dockerfile-error.ts'
import type { Dockerfile } from '../src/dockerfile/instruction.ts'
import { parseDockerfile } from '../src/dockerfile/parser.ts'
import { dockerfileText, headText, instructionText } from './fixtures/arbitrary-dockerfile.ts'
import { printDockerfile } from './fixtures/print-dockerfile.ts'

/** What a file says, without where and in which words. */
function meaning({ escape, syntax, extensions, check, metaArgs, stages }: Dockerfile): unknown {
  return JSON.parse(
    JSON.stringify({ escape, syntax, extensions, check, metaArgs, stages }, (name, value: unknown) =>
      name === 'range' || name === 'original' ? undefined : value,
    ),
  )
}

/** Expects that `text` survives being printed. False where it is no Dockerfile, or one that cannot be printed. */
function isStable(text: string): boolean {
  let file: Dockerfile
  try {
    file = parseDockerfile(text, 'Dockerfile')
  } catch (error) {
    if (error instanceof DockerfileError) return false
    throw error
  }
  if (isUnprintable(file)) return false
  const printed = printDockerfile(file)
  let again: Dockerfile
  try {
    again = parseDockerfile(printed, 'Dockerfile')
  } catch (error) {
    throw new Error(`read once, but not again:\n${JSON.stringify(text)}\n${JSON.stringify(printed)}`, { cause: error })
  }
  expect(meaning(again)).toEqual(meaning(file))
  expect(printDockerfile(again)).toBe(printed)
  return true
}

/**
 * True for what only one way of writing can say:
 * - EXPOSE sorts its words, and one that has an odd space, which is no port, cannot stand last.
 * - A trigger keeps the spaces at its end, and with an escape character before them it would go on.
 * - Here-documents are looked for in flags too, and there `\` escapes whatever the escape character of the file is: a
 *   flag's value that opens one in a file whose escape character is a backtick is escaped twice.
 */
function isUnprintable({ escape, stages }: Dockerfile): boolean {
  return stages.some(({ instructions }) =>
    instructions.some((instruction) => {
      if (instruction.kind === 'EXPOSE') return instruction.ports.some((port) => /[\s\u0085]/.test(port))
      if (instruction.kind === 'ONBUILD') return /[\\`][ \t]*$/.test(instruction.expression)
      return escape === '`' && 'heredocs' in instruction && /--.*<</.test(instruction.original)
    }),
  )
}

const parserFixtures = join(import.meta.dir, 'fixtures/dockerfile/parser')

describe('a Dockerfile that is read, printed and read again is the same', () => {
  test('for the files of BuildKit', () => {
    const names = readdirSync(parserFixtures)
    const stable = names.filter((name) => isStable(readFileSync(join(parserFixtures, name, 'Dockerfile'), 'utf8')))
    // The others are no whole Dockerfiles: without FROM, or with instructions that only the lexer accepts.
    expect([names.length, stable.length]).toEqual([33, 25])
  })

  test.each([
    'FROM a\nRUN --mount=type=tmpfs,target=/x <<a cat\n"\na\n',
    'FROM a\nRUN --mount=a\\ b --network=none\n',
    'FROM a\nCOPY --chown="1 2" -- --link x\n',
    'FROM a\nENV a b\\ \nLABEL x y`\n',
    '# escape=`\nFROM a\nRUN c:\\\nCMD a`\n',
    'FROM a\nRUN 3<<-"E F" <<G x\n\t1\nE F\n2\nG\n',
    'FROM a\nONBUILD COPY <<E /x\n$a\nE\n',
    'FROM a\nHEALTHCHECK --interval=1m30s --retries=0 CMD a  b\n',
  ])('for %j', (text) => {
    expect(isStable(text)).toBe(true)
  })

  test('for whatever can be written', () => {
    let files = 0
    assert(
      property(dockerfileText, (text) => {
        if (isStable(text)) files++
      }),
      {
        numRuns: 600,
        examples: [['# escape=`\nFROM a\nRUN --mount=\\" `\nRUN <<a a\na\n']],
      },
    )
    // Enough of them are Dockerfiles.
    expect(files).toBeGreaterThan(250)
  })

  test('for text that is nearly a Dockerfile, whatever its bytes', () => {
    const line = oneof(instructionText, string({ maxLength: 6 }), string({ unit: 'binary', maxLength: 6 }))
    const lineEnd = constantFrom('\n', '\r\n', '\\\n', ' \\ \n')
    assert(
      property(headText, array(line, { maxLength: 3 }), lineEnd, (head, lines, end) => {
        isStable(`${head}FROM a\n${lines.join(end)}`)
      }),
      { numRuns: 600 },
    )
  })
})
