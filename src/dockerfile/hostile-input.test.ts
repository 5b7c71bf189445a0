import { describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { CairnError } from '../errors/error.ts'
import { parseChmod } from './chmod.ts'
import { detectSyntax } from './frontend.ts'
import { DockerfileError } from './dockerfile-error.ts'
import { parseDuration } from './duration.ts'
import { expandHeredoc, expandWordDetailed } from './words.ts'
import { IgnoreMatcher } from './ignore.ts'
import { lexDockerfile } from './lexer.ts'
import { parseMount } from './mount.ts'
import { parseDockerfile, parseTrigger } from './parser.ts'
import { matchPath } from './path-match.ts'
import { parsePorts } from './ports.ts'
import { parseSignal } from './signal.ts'

/** Runs `use` and lets through only what a user may be told. */
function guarded(use: () => unknown): void {
  try {
    use()
  } catch (error) {
    if (!(error instanceof CairnError)) throw error
    expect(error.message).not.toBe('')
  }
}

/** Text that is often nearly a Dockerfile. */
const pieces = [
  ['FROM a', 'FROM a AS b', 'RUN ', 'COPY ', 'ADD', 'ENV a=', 'ARG x', 'ONBUILD ', 'HEALTHCHECK ', 'SHELL [', 'LABEL'],
  ['<<EOF', '<<-"E F"', 'EOF\n', '\n', '\\\n', '`\n', '# ', '# escape=`\n', '# check=skip=x\n', '--mount=type=cache,'],
  ['--from=', '["a", "b"]', '["a', '"', "'", '\\', '$x', '${x', '${x:-', '${x##', '${x//', '}', '/', '*', '[', '\t'],
  ['\r\n', '\ufeff', '\u0085', '\u0000', '\ud800', '👽', ' '],
].flat()
const piece = fc.oneof(fc.constantFrom(...pieces), fc.string({ maxLength: 4 }))
const nearly = fc.array(piece, { maxLength: 40 }).map((parts) => parts.join(''))
const source = fc.oneof(nearly, fc.string(), fc.uint8Array({ maxLength: 200 }))
const smallAlphabet = '0123456789abcsugorwxX+-=,:/.*[]^\\!"%tdp'.split('')
const runs = { numRuns: 3000 }

describe('whatever the input,', () => {
  test('parseDockerfile() gives a file or a located DockerfileError', () => {
    fc.assert(
      fc.property(source, (input) => {
        try {
          const file = parseDockerfile(input, 'Dockerfile')
          expect(file.stages.length).toBeGreaterThan(0)
        } catch (error) {
          if (!(error instanceof DockerfileError)) throw error
          for (const { range, message } of error.problems) {
            expect(message).not.toBe('')
            expect(range.end).toBeGreaterThanOrEqual(range.start)
          }
          expect(typeof error.excerpt()).toBe('string')
        }
      }),
      runs,
    )
  })

  test('lexDockerfile() accounts for each instruction once and in order', () => {
    fc.assert(
      fc.property(source, (input) => {
        const { nodes, source: lines } = lexDockerfile(input)
        let previous = 0
        for (const { range } of nodes) {
          expect(range.start).toBeGreaterThan(previous)
          expect(range.end).toBeGreaterThanOrEqual(range.start)
          expect(range.end).toBeLessThanOrEqual(lines.lines.length)
          previous = range.end
        }
      }),
      runs,
    )
  })

  test('an instruction that was read is read the same from its own text', () => {
    fc.assert(
      fc.property(nearly, (input) => {
        for (const node of lexDockerfile(input).nodes) {
          if (node.heredocs.length > 0 || node.keyword.startsWith('#')) continue
          const [again] = lexDockerfile(`FROM a\n${node.original}`).nodes.slice(1)
          if (lexDockerfile(input).escape !== '\\' || again?.original !== node.original) continue
          expect(again.args).toEqual([...node.args])
          expect(again.flags).toEqual([...node.flags])
        }
      }),
      runs,
    )
  })

  test('words expand or fail with WORD_INVALID', () => {
    const env = (name: string): string | undefined => (name === 'x' ? 'a/b*c d' : name === 'y' ? '' : undefined)
    fc.assert(
      fc.property(nearly, fc.boolean(), fc.boolean(), (word, raw, skipUnset) => {
        guarded(() => expandWordDetailed(word, env, { rawQuotes: raw, rawEscapes: raw, skipUnset }))
        guarded(() => expandWordDetailed(word, env, { escape: '`' }))
        guarded(() => expandHeredoc(word, env))
      }),
      runs,
    )
  })

  test('the small readers give a value or a CairnError', () => {
    fc.assert(
      fc.property(fc.oneof(nearly, fc.string({ unit: fc.constantFrom(...smallAlphabet) })), (text) => {
        for (const reader of [
          (input: string) => parseTrigger(input, { extensions: true }),
          parseDuration,
          parseChmod,
          parseSignal,
          detectSyntax,
          (input: string) => IgnoreMatcher.fromFile(input),
        ]) {
          guarded(() => reader(text))
        }
        guarded(() => parsePorts([text]))
        guarded(() => parseMount(text, (value) => value))
        guarded(() => matchPath(text, text))
      }),
      runs,
    )
  })

  test('deep and long input ends', () => {
    const many = 20_000
    for (const text of [
      'ONBUILD '.repeat(many),
      `FROM a\nRUN ${'['.repeat(60_000)}`,
      `FROM a\n${'RUN \\\n'.repeat(many)}`,
      `FROM a\n${'COPY <<E /\n'.repeat(many)}`,
      `FROM a\nCOPY ${'<<E '.repeat(8000)} /\n${'E\n'.repeat(8000)}`,
      `FROM a\n${'NOPE <<EOF\n'.repeat(many)}`,
      `FROM a\n${'x y\nRUN a\n'.repeat(many)}`,
      '# check=skip=x\n'.repeat(many),
    ]) {
      guarded(() => parseDockerfile(text, 'Dockerfile'))
    }
  })
})
