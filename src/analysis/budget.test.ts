import { describe, expect, test } from 'bun:test'
import { analyzeFixture, noise } from './analysis-fixtures.ts'
import { checkBudget, parseCondition, withoutIgnored } from './budget.ts'
import { parseBudget } from './budget-file.ts'

const image = () =>
  analyzeFixture(
    [
      {
        createdBy: 'x',
        layer: [
          { path: 'bin/su', content: noise(6000), entry: { mode: 0o4755 } },
          { path: 'a', content: noise(4000, 2) },
        ],
      },
      {
        createdBy: 'y',
        layer: [
          { path: 'a', content: noise(2000, 3) },
          { path: 'tmp/x', content: 'x' },
        ],
      },
    ],
    { config: { Env: ['DB_PASSWORD=correct-horse-1'] } },
  )

describe('parseCondition()', () => {
  test.each([
    ['secrets', '>', 0],
    ['efficiency<0.95', '<', 0.95],
    ['efficiency < 95%', '<', 0.95],
    ['wasted>20MB', '>', 20_000_000],
    ['wasted>=1MiB', '>=', 1_048_576],
    ['size>1.5GB', '>', 1_500_000_000],
    ['layers>30', '>', 30],
    ['wasted>5%', '>', 0.05],
  ])('reads %p', (text, operator, limit) => expect(parseCondition(text)).toMatchObject({ operator, limit }))

  test.each([
    '',
    'secret',
    'efficiency',
    'efficiency<',
    'efficiency<much',
    'wasted>20parsecs',
    'secrets>5%',
    'wasted=5',
    'constructor>1',
  ])('refuses %p', (text) => expect(() => parseCondition(text)).toThrow(/invalid condition/))
})

describe('checkBudget()', () => {
  const failing = async (...conditions: string[]): Promise<string[]> => {
    const failures = checkBudget(await image(), conditions.map(parseCondition))
    return failures.map(({ condition, actual }) => `${condition.text} ${Math.round(actual * 1000) / 1000}`)
  }

  test('gives the conditions that are true, with what is', async () => {
    expect(
      await failing(
        'secrets',
        'secrets>1',
        'setuid',
        'capabilities',
        'efficiency<0.7',
        'efficiency<0.6',
        'wasted>4kB',
        'wasted>5kB',
      ),
    ).toEqual(['secrets 1', 'setuid 1', 'efficiency<0.7 0.667', 'wasted>4kB 4001'])
    expect(
      await failing('overwritten>3999', 'temporary', 'removed', 'layers>1', 'wasted>33%', 'user-wasted>1'),
    ).toEqual(['overwritten>3999 4000', 'temporary 1', 'layers>1 2', 'wasted>33% 0.333', 'user-wasted>1 2'])
  })
})

describe('parseBudget()', () => {
  test('reads conditions and findings to ignore', async () => {
    const { conditions, ignore } = parseBudget(
      JSON.stringify({
        failOn: ['secrets', 'setuid'],
        ignore: [
          { rule: 'setuid', path: '/bin/*', reason: 'known' },
          { rule: 'config-secret', name: 'DB_PASSWORD' },
        ],
      }),
      'budget.json',
    )
    expect(conditions.map(({ text }) => text)).toEqual(['secrets', 'setuid'])
    const analysis = await image()
    expect(checkBudget(analysis, conditions)).toHaveLength(2)
    expect(checkBudget(withoutIgnored(analysis, ignore), conditions)).toEqual([])
    expect(checkBudget(withoutIgnored(analysis, [{ path: '/usr/**' }]), conditions)).toHaveLength(2)
  })

  test("reads dive's rules", () => {
    const text =
      'rules:\n  # comment\n  lowestEfficiency: 0.95\n  highestWastedBytes: 20MB\n  highestUserWastedPercent: "0.20" # much\n'
    expect(parseBudget(text, '.dive-ci').conditions.map((condition) => condition.text)).toEqual([
      'efficiency<0.95',
      'wasted>20MB',
      'user-wasted>0.20',
    ])
    expect(parseBudget('rules:\n  lowestEfficiency: disabled\n', '.dive-ci').conditions).toEqual([])
  })

  test.each([
    ['{', 'it is not JSON'],
    ['{"failon": []}', 'unknown field "failon"'],
    ['{"failOn": ["efficency<1"]}', 'failOn[0]: invalid condition'],
    ['{"failOn": "secrets"}', 'failOn is no list'],
    ['{"ignore": [{}]}', 'ignore[0] needs rule, path or name'],
    ['{"ignore": [{"paths": "/x"}]}', 'ignore[0] needs rule, path or name'],
    ['rules:\n  lowestEfficency: 1\n', 'line 2 is no rule'],
    ['rules:\n  highestWastedBytes: lots\n', 'line 2: invalid condition'],
  ])('refuses %p', (text, message) => expect(() => parseBudget(text, 'b')).toThrow(`budget b: ${message}`))
})
