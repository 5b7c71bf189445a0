import { expect, test } from 'bun:test'
import { table } from './table-of-commands.ts'

test('every command that help lists has an example', async () => {
  const shown = table.commands.filter(({ hidden }) => hidden !== true)
  const definitions = await Promise.all(
    shown.map(async ({ paths, load }) => ({ paths, command: (await load()).default })),
  )
  const without = definitions.filter(({ command }) => (command.examples ?? []).length === 0)
  expect(without.map(({ paths }) => paths[0])).toEqual([])
  expect(shown.length).toBeGreaterThan(100)
})
