import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { Cairn } from '../../../test/fixtures/cli/cairn.ts'

let cairn: Cairn
beforeEach(() => {
  cairn = new Cairn()
})
afterEach(() => {
  cairn[Symbol.dispose]()
})

describe('cairn buildx, as workflows and Makefiles call it', () => {
  test('version tells first the release of buildx that decides about flags', async () => {
    const text = await cairn.ok(['buildx', 'version'])
    // docker/actions-toolkit reads it so.
    expect(/\sv?([0-9a-f]{7}|[0-9.]+)/.exec(text)?.[1]).toMatch(/^0\.\d+\.\d+$/)
    expect(text).toMatch(/^github\.com\/docker\/buildx v[\d.]+ cairn-[\d.]+\n$/)
  })

  test('create, inspect, use, stop and rm take any name for the one builder', async () => {
    const create = ['buildx', 'create', '--name', 'ci', '--driver', 'docker-container', '--use', '--bootstrap']
    expect(await cairn.ok(create)).toBe('ci\n')
    expect(await cairn.ok(['buildx', 'create', '--use'])).toBe('default\n')
    const shown = await cairn.ok(['buildx', 'inspect', '--bootstrap', '--builder', 'ci'])
    expect(shown).toMatch(/^Name: +ci\nDriver: +cairn\n\nNodes:\nName: +ci\nEndpoint: +\S+\nStatus: +running\n/)
    expect(shown).toMatch(/\nPlatforms: +linux\/\w+/)
    expect(await cairn.ok(['buildx', 'use', '--default', 'ci'])).toBe('')
    expect(await cairn.ok(['buildx', 'stop', 'ci'])).toBe('')
    expect(await cairn.run(['buildx', 'rm', '-f', 'ci'])).toEqual({ status: 0, out: '', err: 'ci removed\n' })
    expect((await cairn.run(['buildx', 'rm', '--builder', 'ci'])).err).toBe('ci removed\n')
  })

  test('--builder may stand before the command, too', async () => {
    expect(await cairn.ok(['buildx', '--builder', 'ci', 'ls', '--format', '{{.Name}}'])).toBe('default*\n')
    expect(await cairn.ok(['buildx', '--builder=ci', 'history', 'ls', '--format', '{{.Ref}}'])).toBe('')
    expect(await cairn.ok(['buildx', '--builder=ci', '--help'])).toStartWith('Usage:  cairn buildx COMMAND\n')
    expect((await cairn.run(['buildx', '--builder', 'ci'])).err).toStartWith('Usage:  cairn buildx COMMAND\n')
    expect((await cairn.run(['image', '--builder', 'ci', 'ls'])).err).toStartWith('unknown flag: --builder\n')
    expect((await cairn.run(['buildx', '--builder', 'ci', 'bake'])).err).toStartWith('cairn: unknown command')
  })

  test('create tells of settings that have no effect, and refuses builders elsewhere', async () => {
    const flags = ['--driver-opt', 'network=host', '--buildkitd-flags', '--allow-insecure-entitlement network.host']
    expect(await cairn.run(['buildx', 'create', ...flags])).toEqual({
      status: 0,
      out: 'default\n',
      err: 'Flag --driver-opt has been deprecated, it has no effect\nFlag --buildkitd-flags has been deprecated, it has no effect\n',
    })
    for (const args of [
      ['tcp://buildkit:1234'],
      ['--driver', 'remote'],
      ['--driver', 'kubernetes'],
      ['other-context'],
    ]) {
      const { status, out, err } = await cairn.run(['buildx', 'create', ...args])
      expect({ status, out }).toEqual({ status: 1, out: '' })
      expect(err).toMatch(/^cairn: there (?:are|is) no /)
    }
  })

  test('ls has the one builder, as a table, by template and as JSON', async () => {
    expect(await cairn.ok(['buildx', 'ls'])).toMatch(/^NAME\/NODE .*\ndefault\* +cairn +running .* linux\//)
    expect(await cairn.ok(['buildx', 'ls', '--format', '{{.Name}} {{.Status}}'])).toBe('default* running\n')
    expect(JSON.parse(await cairn.ok(['buildx', 'ls', '--format', 'json']))).toMatchObject({
      Current: true,
      Name: 'default',
      Nodes: [{ Name: 'default', Status: 'running' }],
    })
  })

  test('history has the build records', async () => {
    cairn.file('Dockerfile', 'FROM scratch\nLABEL a=b\n')
    await cairn.ok(['buildx', 'build', '-q', '--builder', 'ci', '.'])
    const ref = (await cairn.ok(['buildx', 'history', 'ls', '--builder', 'ci', '--format', '{{.Ref}}'])).trim()
    expect(await cairn.ok(['buildx', 'history', 'inspect', ref])).toContain(`Ref:        ${ref}\n`)
    expect(await cairn.ok(['buildx', 'history', 'rm', ref])).toBe(`${ref}\n`)
    expect(await cairn.ok(['buildx', 'history', 'ls', '--format', '{{.Ref}}'])).toBe('')
    expect((await cairn.run(['buildx', 'history'])).err).toContain('Usage:  cairn buildx history COMMAND')
    expect((await cairn.run(['buildx', 'history', 'lss'])).err).toContain('  cairn buildx history ls\n')
  })

  test('what is not there is told in one line', async () => {
    expect(await cairn.run(['buildx', 'bake'])).toMatchObject({ status: 1, out: '' })
    expect((await cairn.run(['buildx', 'bake'])).err).toStartWith('cairn: unknown command: cairn buildx bake\n')
  })
})
