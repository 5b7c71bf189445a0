import { describe, expect, test } from 'bun:test'
import { CairnError } from '../errors/error.ts'
import { DockerfileError } from './dockerfile-error.ts'
import { parseDockerfile } from './parser.ts'

const optIn = '# syntax=cairn/dockerfile:1\n'
const hint = 'This extension of the language needs "# syntax=cairn/dockerfile:1" as the first line.'

/** Reads a Dockerfile whose INCLUDEs name entries of `files`. */
function parse(text: string, files: Record<string, string> = {}) {
  return parseDockerfile(text, 'Dockerfile', {
    readInclude: (path) => {
      const content = files[path]
      if (content === undefined) throw new CairnError('DOCKERFILE_UNKNOWN', `INCLUDE ${path}: no such file`)
      return { filename: path, bytes: new TextEncoder().encode(content) }
    },
  })
}

function errorOf(text: string, files: Record<string, string> = {}): DockerfileError {
  try {
    parse(text, files)
  } catch (error) {
    if (error instanceof DockerfileError) return error
    throw error
  }
  throw new Error(`accepted: ${text}`)
}

describe('INCLUDE', () => {
  test('puts the instructions of another file in its place, with the lines they have there', () => {
    const file = parse(`${optIn}INCLUDE args\nFROM a\nRUN one\nINCLUDE more\nRUN four\nINCLUDE stage\nRUN six`, {
      args: 'ARG x=1\n',
      more: '# a comment\nRUN two\nINCLUDE last\n',
      last: '\n\nRUN <<EOF\nthree\nEOF\n',
      stage: 'FROM b AS c\nRUN five',
    })
    expect(file.metaArgs.map(({ args }) => args)).toEqual([[{ key: 'x', value: '1' }]])
    const places = file.stages.map(({ from, instructions }) =>
      [from, ...instructions].map(({ original, range }) => [
        original,
        range.file?.filename,
        range.start,
        range.end,
        range.file?.includedAt.start,
      ]),
    )
    expect(places).toEqual([
      [
        ['FROM a', undefined, 3, 3, undefined],
        ['RUN one', undefined, 4, 4, undefined],
        ['RUN two', 'more', 2, 2, 5],
        ['RUN <<EOF', 'last', 3, 5, 3],
        ['RUN four', undefined, 6, 6, undefined],
      ],
      [
        ['FROM b AS c', 'stage', 1, 1, 7],
        ['RUN five', 'stage', 2, 2, 7],
        ['RUN six', undefined, 8, 8, undefined],
      ],
    ])
  })
  test('reads included files with the escape character of the Dockerfile', () => {
    const file = parse(`${optIn}# escape=\`\nFROM a\ninclude b`, { b: 'RUN c `\n  d' })
    expect(file.stages[0]?.instructions[0]?.original).toBe('RUN c   d')
    const { problems } = errorOf(`${optIn}FROM a\nINCLUDE b`, { b: '# escape=`\nRUN c' })
    expect(problems[0]?.message).toBe('an included file has the escape character of the Dockerfile, which is \\')
  })
  test('tells problems of included files with file, line and excerpt, in the order of the text', () => {
    const error = errorOf(`${optIn}FROM a\nINCLUDE b\nCOPY x\nINCLUDE gone`, {
      b: 'RUN ok\nINCLUDE c\nWORKDIR',
      c: 'RUM x\n\nENV =a',
    })
    expect(error.problems.map(({ message, range }) => [message, range.file?.filename, range.start])).toEqual([
      ['unknown instruction: RUM (did you mean RUN?)', 'c', 1],
      ['ENV names can not be blank', 'c', 3],
      ['WORKDIR requires exactly one argument', 'b', 3],
      [
        'COPY requires at least two arguments, but only one was provided. Destination could not be determined',
        undefined,
        4,
      ],
      ['INCLUDE gone: no such file', undefined, 5],
    ])
    expect(error.message).toBe(
      'c: dockerfile parse error on line 1: unknown instruction: RUM (did you mean RUN?)' +
        ' (included from b:2, from Dockerfile:3) (and 4 more problems)',
    )
    expect(error.excerpt()).toContain('c:1\n--------------------\n   1 | >>> RUM x\n')
    expect(error.excerpt()).toContain('b:3\n')
    expect(error.excerpt()).toContain('Dockerfile:4\n')
  })
  test('refuses files that include each other, and shows the chain', () => {
    const files = { a: 'INCLUDE b', b: 'FROM x\nINCLUDE a', self: 'INCLUDE self', home: 'INCLUDE Dockerfile' }
    const problem = (path: string) => errorOf(`${optIn}INCLUDE ${path}`, { ...files, Dockerfile: '' }).problems[0]
    expect(problem('a')).toMatchObject({
      message: 'INCLUDE goes round in a circle: Dockerfile → a → b → a',
      range: { start: 2, file: { filename: 'b' } },
    })
    expect(problem('self')?.message).toBe('INCLUDE goes round in a circle: Dockerfile → self → self')
    expect(problem('home')?.message).toBe('INCLUDE goes round in a circle: Dockerfile → home → Dockerfile')
  })
  test('ends where files are nested too deep, too many or too large', () => {
    const deep = Object.fromEntries(Array.from({ length: 40 }, (_, level) => [`f${level}`, `INCLUDE f${level + 1}`]))
    expect(errorOf(`${optIn}INCLUDE f0`, deep).problems[0]?.message).toBe(
      'INCLUDE is nested more than 32 deep: Dockerfile → f0 → f1 → … → f31 → f32',
    )
    const twice = Object.fromEntries(
      Array.from({ length: 30 }, (_, level) => [`f${level}`, `INCLUDE f${level + 1}\nINCLUDE f${level + 1}`]),
    )
    const many = errorOf(`${optIn}FROM a\nINCLUDE f0`, { ...twice, f30: 'RUN x' })
    expect(many.problems[0]?.message).toBe('the Dockerfile includes more than 1000 files')
    expect(many.problems).toHaveLength(1)
    const large = errorOf(`${optIn}${'INCLUDE big\n'.repeat(20)}`, { big: `# ${'x'.repeat(60_000)}\n`.repeat(20) })
    expect(large.problems[0]?.message).toBe('the Dockerfile includes more than 16777216 bytes')
  })
  test('needs the opt-in, a path, and a place to read from', () => {
    expect(errorOf('FROM a\nINCLUDE b', { b: 'RUN x' }).problems).toEqual([
      { message: 'unknown instruction: INCLUDE', range: { start: 2, end: 2 }, hint },
    ])
    const noFiles = (text: string) => () => parseDockerfile(optIn + text, 'Dockerfile')
    expect(noFiles('INCLUDE b')).toThrow('INCLUDE b: there is no directory to read files from')
    expect(noFiles('INCLUDE')).toThrow('INCLUDE requires exactly one argument')
    expect(noFiles('INCLUDE --x b')).toThrow('unknown flag: --x')
    expect(noFiles('FROM a\nONBUILD INCLUDE b')).toThrow("INCLUDE isn't allowed as an ONBUILD trigger")
    expect(noFiles('INCLUD b')).toThrow('unknown instruction: INCLUD (did you mean INCLUDE?)')
  })
})

describe('COPY --optional', () => {
  test('is a flag of files that opt in, and an unknown one elsewhere', () => {
    const flagOf = (flag: string) => parse(`${optIn}FROM a\nCOPY ${flag} b c`).stages[0]?.instructions[0]
    expect(flagOf('--optional')).toMatchObject({ kind: 'COPY', optional: true })
    expect(flagOf('--optional=false')).toMatchObject({ kind: 'COPY', optional: false })
    expect(flagOf('')).toMatchObject({ kind: 'COPY', optional: false })
    for (const flag of ['--optional', '--optional=true', '--link --optional'])
      expect(errorOf(`FROM a\nCOPY ${flag} b c`).problems).toEqual([
        { message: 'unknown flag: --optional', range: { start: 2, end: 2 }, hint },
      ])
    expect(errorOf('FROM a\nCOPY --optionl b c').problems[0]?.message).toBe('unknown flag: --optionl')
    expect(errorOf(`${optIn}FROM a\nADD --optional b c`).problems[0]?.message).toBe('unknown flag: --optional')
  })
})
