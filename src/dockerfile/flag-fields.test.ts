import { describe, expect, test } from 'bun:test'
import { csvFields } from './csv.ts'
import { FlagFields } from './flag-fields.ts'

describe('FlagFields', () => {
  test('takes keys without regard to case and spaces around them, the last of one key, values as they are', () => {
    const fields = FlagFields.parse('Type=oci, DEST=a,dest= b=c,"name=x,y",tar=0')
    expect(fields.type).toBe('oci')
    expect(fields.take('dest')).toBe(' b=c')
    expect(fields.take('name')).toBe('x,y')
    expect(fields.bool('tar', true)).toBe(false)
    expect(fields.bool('push', true)).toBe(true)
    expect(() => fields.refuseOthers('output')).not.toThrow()
  })

  test('shows what the user wrote, but never the value of a secret key, also in messages', () => {
    expect(FlagFields.parse('type=oci,"name=x,y"').text).toBe('type=oci,"name=x,y"')
    const fields = FlagFields.parse('type=s3, Token=hidden,tokn=typed', new Set(['token']))
    expect(fields.text).toBe('type=s3, Token=***,tokn=typed')
    expect(() => fields.refuseOthers('--cache-to')).toThrow(
      'unknown key "type" in --cache-to type=s3, Token=***,tokn=typed',
    )
  })

  test.each([
    ['push=maybe', 'non-bool value specified for push: "maybe"'],
    ['count=0', 'count must be a positive integer'],
    ['mode=mid', 'invalid value mode=mid'],
    ['push', 'invalid value push'],
  ])('refuses %s', (text, message) => {
    expect(() => {
      const fields = FlagFields.parse(text)
      fields.bool('push', false)
      fields.count('count', 1)
      fields.oneOf('mode', ['min', 'max'])
    }).toThrow(message)
  })
})

describe('csvFields()', () => {
  // Texts of docker 28.5 for --mount and of buildx 0.29 for --output.
  test.each([
    [
      'type=bind,"abc',
      'column 15: extraneous or missing " in quoted-field',
      'column 12: extraneous or missing " in quoted-field',
    ],
    ['a"b', 'column 2: bare " in non-quoted field', 'column 2: bare " in non-quoted-field'],
    ['"éa"b', 'column 5: extraneous or missing " in quoted-field', 'column 5: extraneous or missing " in quoted-field'],
  ])("fails for %s in Go's words, of either library", (text, docker, buildx) => {
    const failure = (message: string): Error => new Error(message)
    expect(() => csvFields(text, failure, 'encoding/csv')).toThrow(`parse error on line 1, ${docker}`)
    expect(() => csvFields(text, failure)).toThrow(`parse error on line 1, ${buildx}`)
  })
})
