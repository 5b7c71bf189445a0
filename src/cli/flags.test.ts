import { describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { isCairnError } from '../errors/error.ts'
import { parseFlags } from './flags.ts'

/** The flags of `docker run` that the texts below are about. */
const runFlags = {
  cpus: { type: 'decimal', summary: '' },
  env: { type: 'stringArray', short: 'e', summary: '' },
  interactive: { type: 'bool', short: 'i', summary: '' },
  'health-interval': { type: 'duration', summary: '' },
  memory: { type: 'bytes', short: 'm', summary: '' },
  'dns-search': { type: 'stringSlice', summary: '' },
  publish: { type: 'stringArray', short: 'p', summary: '' },
  restart: { type: 'string', default: 'no', summary: '' },
  rm: { type: 'bool', summary: '' },
  'sig-proxy': { type: 'bool', default: true, summary: '' },
  'stop-timeout': { type: 'int', summary: '' },
  tty: { type: 'bool', short: 't', summary: '' },
  verbose: { type: 'count', short: 'v', summary: '' },
  sbom: { type: 'string', bare: 'true', detached: /^(?:false|\w+=.*)$/, summary: '' },
  progress: { type: 'string', oneOf: ['auto', 'plain'], summary: '' },
  old: { type: 'bool', deprecated: 'use --new', summary: '' },
} as const

function messageOf(argv: readonly string[]): string {
  try {
    parseFlags(runFlags, argv)
  } catch (error) {
    if (isCairnError(error, 'USAGE')) return error.message
    throw error
  }
  return ''
}

describe('parseFlags()', () => {
  test('reads every form a value may be written in', () => {
    const { values, args } = parseFlags(runFlags, [
      '--env=A=1',
      '--env',
      'B=2',
      '-e',
      'C=3',
      '-eD=4',
      '-e=E=5',
      '-itp8080:80',
      '--rm=false',
      '--sig-proxy=0',
      '--memory',
      '64m',
      'image',
    ])
    expect(values.env).toEqual(['A=1', 'B=2', 'C=3', 'D=4', 'E=5'])
    expect(values).toMatchObject({ interactive: true, tty: true, publish: ['8080:80'], rm: false, 'sig-proxy': false })
    expect(values.memory).toBe(67108864)
    expect(args).toEqual(['image'])
  })

  test('gives defaults to flags that are absent', () => {
    const { values, given } = parseFlags(runFlags, [])
    expect(values.restart).toBe('no')
    expect(values['sig-proxy']).toBe(true)
    expect(values.memory).toBeUndefined()
    expect(values.env).toEqual([])
    expect(values.verbose).toBe(0)
    expect(given.size).toBe(0)
  })

  test('stops at the first positional when flags are not interspersed', () => {
    const argv = ['-it', '--rm', 'alpine', 'sh', '-c', 'ls -la', '--foo', '--', 'x']
    const { values, args } = parseFlags(runFlags, argv, { interspersed: false })
    expect(values).toMatchObject({ interactive: true, tty: true, rm: true })
    expect(args).toEqual(['alpine', 'sh', '-c', 'ls -la', '--foo', '--', 'x'])
  })

  test('reads flags between and after positionals when they are interspersed', () => {
    expect(parseFlags(runFlags, ['a', '--rm', 'b', '-', '-t'])).toMatchObject({
      args: ['a', 'b', '-'],
      values: { rm: true, tty: true },
    })
  })

  test('takes everything after -- as positional', () => {
    expect(parseFlags(runFlags, ['--rm', '--', '-t', '--nope']).args).toEqual(['-t', '--nope'])
  })

  test('counts, cuts at commas, and takes a bare value where a flag has one', () => {
    const { values } = parseFlags(runFlags, [
      '-vv',
      '--verbose',
      '--dns-search',
      'a,"b,c"',
      '--dns-search=d',
      '--sbom',
      'x',
    ])
    expect(values.verbose).toBe(3)
    expect(values['dns-search']).toEqual(['a', 'b,c', 'd'])
    expect(values.sbom).toBe('true')
    expect(parseFlags(runFlags, ['--sbom=false']).values.sbom).toBe('false')
    for (const value of ['false', 'mode=max'])
      expect(parseFlags(runFlags, ['--sbom', value, 'x'])).toMatchObject({ values: { sbom: value }, args: ['x'] })
    expect(parseFlags(runFlags, ['--sbom']).values.sbom).toBe('true')
  })

  test('knows which flags were written, and tells once of those that are deprecated', () => {
    const { given, notices } = parseFlags(runFlags, ['--old', '--old=false', '-t'])
    expect([...given]).toEqual(['old', 'tty'])
    expect(notices).toEqual(['Flag --old has been deprecated, use --new'])
  })

  test.each([
    [['--cpus', '1.5x'], 'invalid argument "1.5x" for "--cpus" flag: failed to parse 1.5x as a rational number'],
    [['--cpus='], 'invalid argument "" for "--cpus" flag: failed to parse  as a rational number'],
    [
      ['--stop-timeout', '99999999999999999999'],
      'invalid argument "99999999999999999999" for "--stop-timeout" flag: strconv.ParseInt: parsing "99999999999999999999": value out of range',
    ],
    [
      ['--stop-timeout', '0x1g'],
      'invalid argument "0x1g" for "--stop-timeout" flag: strconv.ParseInt: parsing "0x1g": invalid syntax',
    ],
    [['-t=x'], 'invalid argument "x" for "-t, --tty" flag: strconv.ParseBool: parsing "x": invalid syntax'],
    [
      ['-it=maybe'],
      'invalid argument "maybe" for "-t, --tty" flag: strconv.ParseBool: parsing "maybe": invalid syntax',
    ],
    [['--rm='], 'invalid argument "" for "--rm" flag: strconv.ParseBool: parsing "": invalid syntax'],
    [['-zt'], "unknown shorthand flag: 'z' in -zt"],
    [['-tz'], "unknown shorthand flag: 'z' in -z"],
    [['--foo'], 'unknown flag: --foo'],
    [['--foo=bar'], 'unknown flag: --foo'],
    [['--constructor'], 'unknown flag: --constructor'],
    [['--=x'], 'bad flag syntax: --=x'],
    [['---x'], 'bad flag syntax: ---x'],
    [['-m', 'x'], `invalid argument "x" for "-m, --memory" flag: invalid size: 'x'`],
    [['-m', '64x'], `invalid argument "64x" for "-m, --memory" flag: invalid suffix: 'x'`],
    [['-m', '-1'], `invalid argument "-1" for "-m, --memory" flag: invalid size: '-1'`],
    [
      ['--health-interval', '10'],
      'invalid argument "10" for "--health-interval" flag: time: missing unit in duration "10"',
    ],
    [
      ['--health-interval', '1x'],
      'invalid argument "1x" for "--health-interval" flag: time: unknown unit "x" in duration "1x"',
    ],
    [['--health-interval', 'abc'], 'invalid argument "abc" for "--health-interval" flag: time: invalid duration "abc"'],
    [['--health-interval='], 'invalid argument "" for "--health-interval" flag: time: invalid duration ""'],
    [['--publish'], 'flag needs an argument: --publish'],
    [['-p'], "flag needs an argument: 'p' in -p"],
    [['-tp'], "flag needs an argument: 'p' in -p"],
  ])('refuses %j in the words of docker 28', (argv, message) => {
    expect(messageOf(argv)).toBe(message)
  })

  test('refuses a value that is not one of the choices, naming them', () => {
    expect(messageOf(['--progress=x'])).toBe(
      'invalid argument "x" for "--progress" flag: must be one of "auto", "plain"',
    )
  })

  test('reads any words without failing except by a USAGE error', () => {
    const word = fc.oneof(fc.string(), fc.constantFrom('-', '--', '-e', '-it', '--rm', '--rm=', '--env', '-vvv', '--='))
    fc.assert(
      fc.property(fc.array(word), (argv) => {
        try {
          parseFlags(runFlags, argv)
        } catch (error) {
          expect(isCairnError(error, 'USAGE')).toBe(true)
        }
      }),
    )
  })
})
