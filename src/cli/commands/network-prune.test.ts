import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { Cairn } from '../../../test/fixtures/cli/cairn.ts'

let cairn: Cairn
beforeEach(() => {
  cairn = new Cairn()
})
afterEach(() => {
  cairn[Symbol.dispose]()
})

describe('cairn network prune', () => {
  test('keeps what was made after the moment of the filter until', async () => {
    await cairn.ok(['network', 'create', 'shop'])
    expect(await cairn.ok(['network', 'prune', '-f', '--filter', 'until=1h'])).toBe('')
    expect(await cairn.ok(['network', 'ls', '--format', '{{.Name}}', '--filter', 'type=custom'])).toBe('shop\n')
    expect(await cairn.ok(['network', 'prune', '-f', '--filter', 'until=0s'])).toBe('Deleted Networks:\nshop\n\n')
  })
})
