import { describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { dockerfileText } from '../../test/fixtures/arbitrary-dockerfile.ts'
import { CairnError } from '../errors/error.ts'
import { parseChmod } from './chmod.ts'
import { detectSyntax } from './frontend.ts'
import { DockerfileError } from './dockerfile-error.ts'
import { parseNanoseconds } from './duration.ts'
import { expandHeredoc, expandWordDetailed } from './words.ts'
import { IgnoreMatcher } from './ignore.ts'
import { lexDockerfile } from './lexer.ts'
import { parseMount } from './mount.ts'
import { parseDockerfile, parseTrigger } from './parser.ts'
import { matchPath } from './path-match.ts'
import { parsePorts } from './ports.ts'
import { parseSignal } from '../linux/signals.ts'

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

const fixtures = join(import.meta.dir, '../../test/fixtures/dockerfile/parser')
const realFiles = readdirSync(fixtures).map((name) => readFileSync(join(fixtures, name, 'Dockerfile'), 'latin1'))
/** Real Dockerfiles, and some that were made up, with a few places overwritten, removed, doubled or torn. */
const mutated = fc
  .tuple(
    fc.oneof(fc.constantFrom(...realFiles), dockerfileText),
    fc.array(fc.tuple(fc.nat(), fc.nat({ max: 40 }), fc.oneof(piece, fc.constant('again'))), { maxLength: 6 }),
  )
  .map(([text, changes]) => {
    let changed = text
    for (const [place, length, what] of changes) {
      const at = place % (changed.length + 1)
      const put = what === 'again' ? changed.slice(at, at + 2 * length) : what
      changed = changed.slice(0, at) + put + changed.slice(at + length)
    }
    return changed
  })
const source = fc.oneof(
  nearly,
  mutated,
  fc.string(),
  mutated.map((text) => Buffer.from(text, 'latin1')),
  mutated.map((text) => `\ufeff${text.replaceAll('\n', '\r\n')}`),
  fc.uint8Array({ maxLength: 200 }),
)
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
          const { lines } = lexDockerfile(input).source
          for (const { range, message } of error.problems) {
            expect(message).not.toBe('')
            expect(range.start).toBeGreaterThanOrEqual(lines.length === 0 ? 0 : 1)
            expect(range.end).toBeGreaterThanOrEqual(range.start)
            expect(range.end).toBeLessThanOrEqual(Math.max(lines.length, 1))
          }
          if (lines.length > 0) expect(error.excerpt()).toContain(' | >>> ')
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
          parseNanoseconds,
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

  const many = 100_000
  test.each([
    ['triggers in triggers', 'ONBUILD '.repeat(8000)],
    ['triggers in triggers, on lines', 'ONBUILD \\\n'.repeat(many)],
    ['brackets', `FROM a\nRUN ${'['.repeat(60_000)}`],
    ['brackets on lines', `FROM a\nSHELL ${'[\\\n'.repeat(many)}`],
    ['expansions', `FROM a\nENV x=${'${a:-'.repeat(10_000)}`],
    ['expansions on lines', `FROM a\nENV x=${'${a:-\\\n'.repeat(many)}${'}'.repeat(60_000)}`],
    ['expansions in quotes', `FROM a\nENV x=${'"${a:-\\\n'.repeat(many)}`],
    ['a name of a here-document', `FROM a\nRUN <<${'${a:-\\\n'.repeat(many)}`],
    ['continuations', `FROM a\n${'RUN \\\n'.repeat(many)}`],
    ['here-documents that do not end', `FROM a\n${'COPY <<E /\n'.repeat(many)}`],
    ['here-documents in one line', `FROM a\nCOPY ${'<<E '.repeat(8000)} /\n${'E\n'.repeat(8000)}`],
    ['here-documents in one instruction', `FROM a\nCOPY ${'<<E \\\n'.repeat(many)} /\n${'E\n'.repeat(many)}`],
    ['a body of 10 MB', `FROM a\nRUN <<E\n${`${'x'.repeat(100)}\n`.repeat(many)}E\n`],
    ['here-documents of nothing', `FROM a\n${'NOPE <<EOF\n'.repeat(20_000)}`],
    ['unknown instructions', `FROM a\n${'x y\nRUN a\n'.repeat(20_000)}`],
    ['directives', '# check=skip=x\n'.repeat(many)],
    ['a directive full of spaces', `# syntax=a${' '.repeat(60_000)}b\nFROM a`],
    ['a check full of spaces', `# check=skip=a${' '.repeat(60_000)}b\nFROM a`],
    ['a check of an instruction full of spaces', `FROM a\n# check=skip=a${'\t'.repeat(60_000)}b\nRUN a`],
    ['flags', `FROM a\nCOPY ${'--exclude=a \\\n'.repeat(many)} a b`],
    ['fields of a mount', `FROM a\nRUN --mount=type=cache${',\\\n'.repeat(many)} a`],
    ['quotes', `FROM a\nENV a=${'"\\\n'.repeat(many)}`],
    ['NULs', `FROM a\n${'\0'.repeat(many)}\n${'\0\n'.repeat(20_000)}`],
    ['nothing but line ends', '\r\n'.repeat(10 * many)],
    ['nothing but carriage returns', `FROM a\nRUN a${'\r'.repeat(10 * many)}`],
  ])('%s, very many of them, are soon read', (_, text) => {
    guarded(() => parseDockerfile(text, 'Dockerfile'))
  })
})
