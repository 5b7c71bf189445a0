import { expect, test } from 'bun:test'
import { generateName, parseContainerName } from './container-name.ts'

test('`generateName()` makes names that a container may have, and ends also when every plain one is taken', () => {
  for (let count = 0; count < 200; count++) {
    const name = generateName(() => false)
    expect(name).toMatch(/^[a-z]+_[a-z]+$/)
    expect(parseContainerName(name)).toBe(name)
  }
  expect(generateName((name) => !/\d$/.test(name))).toMatch(/^[a-z]+_[a-z]+\d+$/)
})

test('`parseContainerName()` takes docker’s names and no other', () => {
  for (const name of ['ab', 'A.b-c_1', '0x']) expect(parseContainerName(name)).toBe(name)
  expect(parseContainerName('/slashed')).toBe('slashed')
  for (const name of ['', 'a', '/a', '-ab', '.ab', 'a/b', 'a b', '../x', 'a\n'])
    expect(() => parseContainerName(name)).toThrow(/Invalid container name .* are allowed$/s)
})
