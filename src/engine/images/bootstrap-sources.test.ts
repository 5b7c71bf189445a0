import { describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ArchiveSuite, newestRelease, parseRelease, parseSources } from './bootstrap-sources.ts'

describe('parseSources()', () => {
  test('reads lines and stanzas, each suite once', () => {
    const text = `deb http://deb.debian.org/debian/ bookworm main contrib
deb [arch=amd64 signed-by=/usr/share/keyrings/x.gpg] http://security.debian.org/debian-security bookworm-security main
deb http://deb.debian.org/debian bookworm main
deb-src http://deb.debian.org/debian bookworm main
# deb http://old.example/debian old main
deb file:/srv/repo ./

Types: deb
URIs: https://a.example/ubuntu https://b.example/ubuntu
Suites: noble
 noble-updates
Components: main

Enabled: no
Types: deb
URIs: https://c.example
Suites: x
`
    expect(parseSources(text)).toEqual([
      { uri: 'http://deb.debian.org/debian', suite: 'bookworm' },
      { uri: 'http://security.debian.org/debian-security', suite: 'bookworm-security' },
      { uri: 'file:/srv/repo', suite: './' },
      { uri: 'https://a.example/ubuntu', suite: 'noble' },
      { uri: 'https://a.example/ubuntu', suite: 'noble-updates' },
      { uri: 'https://b.example/ubuntu', suite: 'noble' },
      { uri: 'https://b.example/ubuntu', suite: 'noble-updates' },
    ])
    expect(parseSources('')).toEqual([])
  })
})

describe('parseRelease()', () => {
  test('reads date, origin and version of a signed file', () => {
    const text =
      '-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nOrigin: Debian\nVersion: 12.15\nCodename: bookworm\nDate: Sat, 11 Jul 2026 10:16:37 UTC\n'
    expect(parseRelease(text)).toEqual({
      date: Date.parse('2026-07-11T10:16:37Z') / 1000,
      origin: 'Debian',
      version: '12.15',
      codename: 'bookworm',
    })
    expect(parseRelease('Origin: Debian\n')).toBeUndefined()
  })
})

describe('newestRelease()', () => {
  const { signal } = new AbortController()

  test('takes the newest of the suites, over http and from files', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'cairn-release-'))
    using server = Bun.serve({
      port: 0,
      hostname: '127.0.0.1',
      fetch: ({ url }) =>
        new URL(url).pathname === '/debian/dists/one/Release'
          ? new Response('Date: Thu, 01 Jan 2026 00:00:00 UTC\n')
          : new Response('', { status: 404 }),
    })
    try {
      writeFileSync(join(directory, 'InRelease'), 'Date: Fri, 02 Jan 2026 00:00:00 UTC\n')
      const uri = `${server.url.origin}/debian`
      const date = await newestRelease(
        [
          { uri, suite: 'one' },
          { uri: `file://${directory}`, suite: './' },
        ],
        signal,
      )
      expect(date).toBe(Date.parse('2026-01-02T00:00:00Z') / 1000)
      const failure = async (suite: ArchiveSuite): Promise<string> =>
        await newestRelease([suite], signal).then(String, (error: Error) => error.message)
      expect(await failure({ uri, suite: 'two' })).toBe(
        `cannot tell the date of ${uri}/dists/two/InRelease: the server answered 404, the server answered 404`,
      )
      expect(await failure({ uri: 'cdrom:x', suite: 'a' })).toContain('only http, https and file can be asked')
    } finally {
      rmSync(directory, { recursive: true })
    }
  })
})
