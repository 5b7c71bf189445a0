import { describe, expect, test } from 'bun:test'
import { array, assert, constantFrom, oneof, property, record } from 'fast-check'
import { Environment } from './environment.ts'

describe('Environment', () => {
  test('lets the later of ENV and ARG win for RUN, and only ENV into the image', () => {
    const environment = Environment.of(['A=1', 'B', 'C=x=y'])
    environment.setArgument('A', '2')
    environment.setArgument('D', '3')
    environment.setImage('B', '4')
    environment.setImage('A', '5')
    environment.setArgument('B', '6')
    expect([...environment.snapshot()()]).toEqual([
      ['C', 'x=y'],
      ['D', '3'],
      ['A', '5'],
      ['B', '6'],
    ])
    expect(environment.imageEntries).toEqual(['A=5', 'B=4', 'C=x=y'])
  })
  test('gives its arguments to a stage built from it, but those that an ENV of the image stands behind', () => {
    const environment = Environment.of(['A=image', 'B=image'])
    environment.setArgument('A', 'argument')
    environment.setArgument('X', 'argument')
    const inner = environment.inherit()
    expect([inner.get('A'), inner.get('B'), inner.get('X')]).toEqual(['image', 'image', 'argument'])
    inner.setImage('B', 'inner')
    expect(environment.get('B')).toBe('image')
    expect(environment.imageEntries).toEqual(['A=image', 'B=image'])
    expect(inner.imageEntries).toEqual(['A=image', 'B=inner'])
  })
  test('keeps what a snapshot shows when more is set', () => {
    const environment = Environment.of(['A=1'])
    const before = environment.snapshot()
    environment.setImage('A', '2')
    environment.setArgument('B', '3')
    expect(Object.fromEntries(before())).toEqual({ A: '1' })
    expect(Object.fromEntries(environment.inherit().snapshot()())).toEqual({ A: '2', B: '3' })
  })
  test('is the same as plain lists that are copied for every stage', () => {
    const name = constantFrom('A', 'B', 'C', 'D')
    const setting = record({
      kind: constantFrom('env' as const, 'arg' as const),
      name,
      value: constantFrom('1', '2', ''),
    })
    assert(
      property(array(oneof(setting, setting, setting, constantFrom('stage' as const)), { maxLength: 60 }), (steps) => {
        let environment = Environment.of(['A=0'])
        let values = new Map([['A', '0']])
        const image = new Map([['A', '0']])
        for (const step of steps) {
          if (step === 'stage') {
            environment = environment.inherit()
            values = new Map([...values, ...image])
            continue
          }
          values.delete(step.name)
          values.set(step.name, step.value)
          if (step.kind === 'env') {
            image.set(step.name, step.value)
            environment.setImage(step.name, step.value)
          } else environment.setArgument(step.name, step.value)
          expect(environment.get(step.name)).toBe(step.value)
        }
        expect(Object.fromEntries(environment.snapshot()())).toEqual(Object.fromEntries(values))
        expect(environment.imageEntries).toEqual([...image].map(([key, value]) => `${key}=${value}`))
      }),
      { numRuns: 300 },
    )
  })
})
