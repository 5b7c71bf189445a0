import { describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { parseChallenges } from './challenge.ts'

describe('parseChallenges()', () => {
  test('reads the parameters of a bearer challenge, commas in quotes and all', () => {
    const header = 'Bearer realm="https://auth.example/token",service="reg",scope="repository:a/b:pull,push"'
    expect(parseChallenges(header)).toEqual([
      {
        scheme: 'bearer',
        parameters: { realm: 'https://auth.example/token', service: 'reg', scope: 'repository:a/b:pull,push' },
      },
    ])
  })

  test('reads several challenges, schemes without parameters, escapes and odd spacing', () => {
    expect(parseChallenges('Negotiate, Basic realm = "a \\"b\\"" ,Bearer  realm=x,  service=y')).toEqual([
      { scheme: 'negotiate', parameters: {} },
      { scheme: 'basic', parameters: { realm: 'a "b"' } },
      { scheme: 'bearer', parameters: { realm: 'x', service: 'y' } },
    ])
    expect(parseChallenges('Negotiate YWJj==, Basic realm="a"').map(({ scheme }) => scheme)).toEqual([
      'negotiate',
      'basic',
    ])
  })

  test('takes the first of two realms and nothing of what cannot be read', () => {
    expect(parseChallenges('Bearer realm="https://a/",realm="https://evil/"')[0]?.parameters['realm']).toBe(
      'https://a/',
    )
    expect(parseChallenges('Bearer realm="unclosed')).toEqual([{ scheme: 'bearer', parameters: {} }])
    expect(parseChallenges(null)).toEqual([])
    expect(parseChallenges(`Bearer realm="${'a'.repeat(20_000)}"`)).toEqual([])
  })

  test('ends for any text, and soon', () => {
    fc.assert(fc.property(fc.string({ maxLength: 2000 }), (text) => Array.isArray(parseChallenges(text))))
    expect(Array.isArray(parseChallenges('Bearer a="' + '\\'.repeat(16_000)))).toBe(true)
  })
})
