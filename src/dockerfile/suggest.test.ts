import { describe, expect, test } from 'bun:test'
import { editDistance, suggest, withSuggestion } from './suggest.ts'

describe('suggest()', () => {
  test('finds the nearest option within two edits, in the case of the value', () => {
    expect(suggest('ENTYPOINT', ['RUN', 'ENTRYPOINT'])).toBe('ENTRYPOINT')
    expect(suggest('entypoint', ['RUN', 'ENTRYPOINT'])).toBe('entrypoint')
    expect(suggest('cpoy', ['cmd', 'copy'])).toBe('copy')
    expect(suggest('zzzz', ['copy'])).toBeUndefined()
  })
  test('has nothing to say about an option itself', () => {
    expect(withSuggestion('bad', 'run', ['RUN'])).toBe('bad')
    expect(withSuggestion('bad', 'ran', ['run'])).toBe('bad (did you mean run?)')
  })
})

describe('editDistance()', () => {
  test('counts insertions, deletions and substitutions, up to the limit', () => {
    expect(editDistance('kitten', 'sitting', 10)).toBe(3)
    expect(editDistance('', 'abc', 10)).toBe(3)
    expect(editDistance('kitten', 'sitting', 2)).toBeGreaterThanOrEqual(2)
  })
})
