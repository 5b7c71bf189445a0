import { describe, expect, test } from 'bun:test'
import { booleanFilter, checkFilters, suitsLabels } from './filters.ts'

describe('checkFilters()', () => {
  test('names the filter that there is not', () => {
    expect(() => checkFilters(new Map([['label', ['a']]]), ['label'])).not.toThrow()
    expect(() => checkFilters(new Map([['foo', ['a']]]), ['label'])).toThrow("invalid filter 'foo'")
  })
})

describe('booleanFilter()', () => {
  test('reads what docker reads as true and false', () => {
    expect(booleanFilter(new Map(), 'dangling')).toBeUndefined()
    for (const text of ['1', 'true']) expect(booleanFilter(new Map([['dangling', [text]]]), 'dangling')).toBe(true)
    for (const text of ['0', 'false']) expect(booleanFilter(new Map([['dangling', [text]]]), 'dangling')).toBe(false)
  })

  test('refuses values that are neither, or both', () => {
    for (const text of ['zz', 'T', ''])
      expect(() => booleanFilter(new Map([['dangling', [text]]]), 'dangling')).toThrow(
        `invalid filter 'dangling=[${text}]'`,
      )
    expect(() => booleanFilter(new Map([['dangling', ['true', 'false']]]), 'dangling')).toThrow('invalid filter')
  })
})

describe('suitsLabels()', () => {
  const labels = { team: 'a', url: 'x=y', empty: '' }
  const suits = (...filters: [string, string[]][]): boolean => suitsLabels(new Map(filters), labels)

  test('wants every label, by its key or with its value', () => {
    expect(suits(['label', ['team']])).toBe(true)
    expect(suits(['label', ['team=a', 'url=x=y', 'empty=']])).toBe(true)
    expect(suits(['label', ['team=a', 'other']])).toBe(false)
    expect(suits(['label', ['team=b']])).toBe(false)
    expect(suits(['label', ['constructor']])).toBe(false)
  })

  test('wants none of label!', () => {
    expect(suits(['label!', ['other', 'team=b']])).toBe(true)
    expect(suits(['label!', ['other', 'team']])).toBe(false)
    expect(suits(['label', ['team']], ['label!', ['team=a']])).toBe(false)
  })
})
