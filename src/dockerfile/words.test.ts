import { describe, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { CairnError } from '../errors/error.ts'
import { expandHeredoc, expandWord, expandWordDetailed, expandWords } from './words.ts'

const fixtures = join(import.meta.dir, '../../test/fixtures/dockerfile/shell')
const lines = (name: string): string[] => readFileSync(join(fixtures, name), 'utf8').split('\n')
const lookup =
  (env: Readonly<Record<string, string>>) =>
  (name: string): string | undefined =>
    Object.hasOwn(env, name) ? env[name] : undefined

function messageOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (error instanceof CairnError && error.code === 'WORD_INVALID') return error.message
    throw error
  }
  throw new Error('accepted')
}

describe('envVarTest:', () => {
  const env = lookup({ PWD: '/home', SHELL: 'bash', KOREAN: '한국어', NULL: '' })
  const rows = lines('envVarTest')
    .filter((line) => !line.startsWith('#') && line.trim() !== '')
    .map((line) => line.split('|').map((part) => part.trim()))
    .filter(([platform]) => platform !== 'W')

  test('every row but the Windows ones is looked at', () => {
    expect(rows).toHaveLength(228)
    expect(rows.every((row) => row.length === 3)).toBe(true)
  })
  test.each(rows.map(([, input = '', expected = '']) => [input, expected] as const))('%s is %s', (input, expected) => {
    if (expected === 'error') expect(messageOf(() => expandWord(input, env))).toStartWith('failed to process ')
    else expect(expandWord(input, env)).toBe(expected)
  })
})

describe('wordsTest:', () => {
  const env: Record<string, string> = {}
  const rows: { input: string; expected: string[]; env: Record<string, string> }[] = []
  for (const line of lines('wordsTest')) {
    if (line.startsWith('#') || line === '') continue
    if (line.startsWith('ENV ')) {
      const [, key = '', value = ''] = /^ENV +([^=]*)=(.*)$/.exec(line) ?? []
      env[key] = value
      continue
    }
    const [input = '', expected = ''] = line.split('|')
    rows.push({ input: input.trim(), expected: expected.replace(/^ +/, '').split(','), env: { ...env } })
  }

  test('all rows are looked at', () => {
    expect(rows).toHaveLength(24)
    expect(Object.keys(env)).toEqual(['hi', 'space', 'leading', 'trailing'])
  })
  test.each(rows.map((row) => [row.input, row.expected, row.env] as const))('%s', (input, expected, values) => {
    if (expected.join('') === 'error') expect(messageOf(() => expandWords(input, lookup(values)))).toContain('matching')
    else expect(expandWords(input, lookup(values))).toEqual(expected)
  })
})

describe('expandWordDetailed()', () => {
  test.each([
    ['x', { DUMMY: 'dummy' }, 'x', [], []],
    ['x ${UNUSED}', { DUMMY: 'dummy' }, 'x ', [], ['UNUSED']],
    ['x ${FOO}', { FOO: 'y' }, 'x y', ['FOO'], []],
    ['${FOO-aaa} ${BAR-bbb} ${BAZ-ccc}', { FOO: 'xxx', BAR: '' }, 'xxx  ccc', ['FOO', 'BAR'], ['BAZ']],
    ['${FOO:-aaa} ${BAR:-bbb} ${BAZ:-ccc}', { FOO: 'xxx', BAR: '' }, 'xxx bbb ccc', ['FOO', 'BAR'], ['BAZ']],
    ['${FOO:-}', {}, '', [], ['FOO']],
    ['${FOO+aaa} ${BAR+bbb} ${BAZ+ccc}', { FOO: 'xxx', BAR: '' }, 'aaa bbb ', ['FOO', 'BAR'], ['BAZ']],
    ['${FOO:+aaa} ${BAR:+bbb} ${BAZ:+ccc}', { FOO: 'xxx', BAR: '' }, 'aaa  ', ['FOO', 'BAR'], ['BAZ']],
    ['${FOO?aaa}', { FOO: 'xxx' }, 'xxx', ['FOO'], []],
    ['${BAR?bbb}', { BAR: '' }, '', ['BAR'], []],
    ['${FOO:-$BAR}', { FOO: 'x' }, 'x', ['FOO'], ['BAR']],
    ["'$FOO'\\$BAR", {}, '$FOO$BAR', [], []],
  ] as const)('of %j knows what was set and what was not', (word, env, result, matched, unmatched) => {
    const expanded = expandWordDetailed(word, lookup(env))
    expect(expanded.result).toBe(result)
    expect([...expanded.matched]).toEqual([...matched])
    expect([...expanded.unmatched]).toEqual([...unmatched])
  })
})

describe('patterns', () => {
  test.each([
    ['${FOO#()[]{\\}^$.\\*\\?|\\\\}', { FOO: '()[]{}^$.*?|\\x' }, 'x'],
    ['${FOO%%\\**}', { FOO: 'xx**' }, 'xx'],
    ['${FOO#*x*y}', { FOO: 'xxyy' }, 'y'],
    ['${FOO##*x*y}', { FOO: 'xxyy' }, ''],
    ['${FOO#*}', { FOO: 'xxyy' }, 'xxyy'],
    ['${FOO##*}', { FOO: 'xxyy' }, ''],
    ['${FOO#$BAR}', { FOO: 'xxyy', BAR: 'x' }, 'xyy'],
    ['${FOO#$BAR}', { FOO: 'xxyy', BAR: '' }, 'xxyy'],
    ['${FOO#}', { FOO: 'xxyy' }, 'xxyy'],
    ['${FOO##*x}', { FOO: 'xxyy' }, 'yy'],
    ['${FOO##}', { FOO: 'xxyy' }, 'xxyy'],
    ['${FOO#?\\?}', { FOO: '???y' }, '?y'],
    ['${ABC:-.}${FOO%x}${ABC:-.}', { FOO: 'xxyy' }, '.xxyy.'],
    ['${FOO%%\\**\\*}', { FOO: 'a***yy*' }, 'a'],
    ['${FOO%\\**}', { FOO: 'a***yy' }, 'a**'],
    ['${FOO%}', { FOO: 'xxyy' }, 'xxyy'],
    ['${FOO%.*}', { FOO: 'a.tar.gz' }, 'a.tar'],
    ['${FOO%%.*}', { FOO: 'a.tar.gz' }, 'a'],
    ['${FOO%?}', { FOO: 'a👽' }, 'a'],
    ['${FOO/$NEEDLE/.} - ${FOO//$NEEDLE/.}', { FOO: '/foo*/*/*.txt', NEEDLE: '\\*/' }, '/foo.*/*.txt - /foo..*.txt'],
    ['${FOO/$NEEDLE/} - ${FOO//$NEEDLE/}', { FOO: '/tmp/tmp/bar.txt', NEEDLE: '/tmp' }, '/tmp/bar.txt - /bar.txt'],
    ['${FOO/$N/$R} - ${FOO//$N/$R}', { FOO: '/a/foo/b/c.txt', N: '/?/', R: '/' }, '/foo/b/c.txt - /foo/c.txt'],
    ['${FOO/$N/$R}', { FOO: 'http://google.de', N: 'http://', R: 'https://' }, 'https://google.de'],
    ['${FOO//\\//\\/}', { FOO: '/tmp/foo.txt' }, '\\/tmp\\/foo.txt'],
    ['${FOO/$BAR/ww}', { FOO: 'xxyy', BAR: '' }, 'wwxxyy'],
    ['${FOO///}', { FOO: 'xxyy' }, 'xxyy'],
    ['${FOO///}', {}, ''],
    ['${FOO//$BAR/-}', { FOO: 'ab', BAR: '' }, '-a-b-'],
    ['${FOO//*/x}', { FOO: 'abc' }, 'x'],
    ['${FOO//a*c/x}', { FOO: '_abc_ac_abcb' }, '_xb'],
    ['${FOO/?/x}', { FOO: '👽a' }, 'xa'],
    // What Go's regexp would read as a group stays text.
    ['${FOO//a/$B}', { FOO: 'aba', B: '$1' }, '$1b$1'],
    ['${FOO#*-}', { FOO: 'a\nb-c' }, 'c'],
  ] as const)('%s with %j is %s', (word, env, expected) => {
    expect(expandWord(word, lookup(env))).toBe(expected)
  })
})

describe('errors', () => {
  test.each([
    ['"a', 'failed to process "\\"a": unexpected end of statement while looking for matching double-quote'],
    ["'a", 'failed to process "\'a": unexpected end of statement while looking for matching single-quote'],
    ['${a', 'failed to process "${a": syntax error: missing \'}\''],
    ['${', 'failed to process "${": syntax error: missing \'}\''],
    ['${}', 'failed to process "${}": syntax error: bad substitution'],
    ['${a=b}', 'failed to process "${a=b}": unsupported modifier (=) in substitution'],
    ['${a:#b}', 'failed to process "${a:#b}": unsupported modifier (:#) in substitution'],
    ['${a/b}', 'failed to process "${a/b}": syntax error: missing \'/\' in ${}'],
    ['${a/b/c', 'failed to process "${a/b/c": syntax error: missing \'}\''],
    ['${a#\\x}', 'failed to process "${a#\\\\x}": invalid pattern (\\x) in substitution: invalid escape \'\\x\''],
    ['${a:?}', 'failed to process "${a:?}": a: is not allowed to be unset'],
    ['${e:?}', 'failed to process "${e:?}": e: is not allowed to be empty'],
    ['${a?no $x here}', 'failed to process "${a?no $x here}": a: no X here'],
  ])('%s', (word, message) => {
    expect(messageOf(() => expandWord(word, lookup({ e: '', x: 'X' })))).toBe(message)
  })
})

describe('options', () => {
  test('escape: a backtick escapes and a backslash is text', () => {
    expect(expandWord('C:\\a`$b', lookup({ b: 'x' }), { escape: '`' })).toBe('C:\\a$b')
  })
  test('skipUnset: what is not set stays as written', () => {
    const word = '$a ${a} ${a:-x$b} ${a##p} ${a//p/r} ${a:0:3}'
    const left = '$a ${a} ${a:-xB} ${a##p} ${a//p/r} ${a:0:3}'
    expect(expandWord(word, lookup({ b: 'B' }), { skipUnset: true })).toBe(left)
  })
  test('rawQuotes and rawEscapes: the word is only cut', () => {
    const words = expandWords('a "b c"\\ d \'e f\'', lookup({}), { rawQuotes: true, rawEscapes: true })
    expect(words).toEqual(['a', '"b c"\\ d', "'e f'"])
  })
  test('words around an expansion with an operand stay whole', () => {
    expect(expandWords('a${x:-b c}d "${x:-e f}"', lookup({}))).toEqual(['ab', 'cd', 'e f'])
  })
})

describe('expandHeredoc()', () => {
  test('keeps quotes and expands between them', () => {
    expect(expandHeredoc("\"$a\" '$a' \\$a it's\n", lookup({ a: 'x' }))).toBe("\"x\" 'x' $a it's\n")
  })
})

describe('hostile words', () => {
  test('nested deeper than 200 are refused', () => {
    expect(expandWord('${a:-'.repeat(150) + 'x' + '}'.repeat(150), lookup({}))).toBe('x')
    expect(messageOf(() => expandWord('${a:-'.repeat(100_000), lookup({})))).toContain('nested more than 200 deep')
  })
  test('that grow beyond 8 million characters are refused', () => {
    const a = 'x'.repeat(5_000_000)
    expect(messageOf(() => expandWord('$a$a', lookup({ a })))).toContain('more than 8388608 characters')
    const b = 'x'.repeat(900_000)
    expect(messageOf(() => expandWord('${b//x/0123456789}', lookup({ b })))).toContain('more than 8388608 characters')
    expect(expandWord('${b//y/0123456789}', lookup({ b }))).toBe(b)
  })
  test('whose patterns take quadratic time are refused', () => {
    const a = 'a'.repeat(100_000)
    expect(messageOf(() => expandWord('${a#*$b}', lookup({ a, b: `${a.slice(50_000)}b` })))).toContain(
      'too long to match',
    )
    expect(expandWord('${a#*a*a*a*a*a*a*a*a*a*a*a*b}', lookup({ a }))).toBe(a)
  })
})
