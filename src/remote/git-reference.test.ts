import { describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { formatGitReference, type GitReference, parseGitReference } from './git-reference.ts'

interface Cases {
  readonly parse: readonly { ref: string; expected?: Record<string, string | boolean> | null; err?: string }[]
  readonly fragment: readonly { ref: string; ok: boolean; expected: string }[]
  readonly fragment_with_subdir: Cases['fragment']
}

const cases = (await Bun.file(join(import.meta.dir, '../../test/fixtures/git-references/cases.json')).json()) as Cases

function fields(reference: GitReference): Record<string, string | boolean> {
  const { remote, shortName, ref, checksum, subdir, isAmbiguous, mtime, fetchByCommit } = reference
  const isPlain = /^(http|git):\/\//.test(remote)
  return {
    Remote: remote,
    ShortName: shortName,
    ...(ref === undefined ? {} : { Ref: ref }),
    ...(checksum === undefined ? {} : { Checksum: checksum }),
    ...(subdir === undefined ? {} : { SubDir: subdir }),
    ...(isAmbiguous ? { IndistinguishableFromLocal: true } : {}),
    ...(isPlain ? { UnencryptedTCP: true } : {}),
    ...(mtime === undefined ? {} : { MTime: mtime }),
    ...(fetchByCommit ? { FetchByCommit: true } : {}),
  }
}

function formatted(text: string, subdir: boolean): { ok: boolean; expected: string } {
  try {
    const reference = parseGitReference(text)
    if (reference !== undefined) return { ok: true, expected: formatGitReference(reference, { subdir }) }
  } catch {
    // A reference that contradicts itself has no short form.
  }
  return { ok: false, expected: text }
}

describe("BuildKit's cases of git references", () => {
  test('are all there', () => {
    expect(cases.parse.length + cases.fragment.length + cases.fragment_with_subdir.length).toBe(76)
  })

  test.each(cases.parse)('`parseGitReference()` reads $ref', ({ ref, expected, err }) => {
    if (err === undefined) {
      const reference = parseGitReference(ref)
      expect(reference === undefined ? null : fields(reference)).toEqual(expected ?? null)
    } else expect(() => parseGitReference(ref)).toThrow(err)
  })

  test.each(cases.fragment)('`formatGitReference()` leaves the directory of $ref out', ({ ref, ok, expected }) => {
    expect(formatted(ref, false)).toEqual({ ok, expected })
  })

  test.each(cases.fragment_with_subdir)('`formatGitReference()` shortens $ref', ({ ref, ok, expected }) => {
    expect(formatted(ref, true)).toEqual({ ok, expected })
  })
})

describe('parseGitReference()', () => {
  test.each([
    ['https://h/x.git?submodules', { submodules: true }],
    ['https://h/x.git?submodules=0', { submodules: false }],
    ['https://h/x.git?keep-git-dir=false', { keepGitDir: false }],
    ['https://h/x.git?commit=abc', { checksum: 'abc' }],
    ['https://h:8080/x.git#a%2Fb:c', { remote: 'https://h:8080/x.git', ref: 'a/b', subdir: 'c' }],
    ['ssh://git@h:22/~/x', { remote: 'ssh://git@h:22/~/x', shortName: 'x' }],
    ['HTTPS://h/x.git', { remote: 'https://h/x.git' }],
    ['https://h/x.git#:../../etc', { subdir: 'etc' }],
  ] as const)('reads %s', (text, expected) => {
    expect(parseGitReference(text)).toMatchObject(expected)
  })

  test.each(['ext::sh -c id', 'file:///etc', 'https://h/%zz.git', 'https://h/x.git\n', 'https://h:x/y.git', 'x', ''])(
    'takes %j for no repository',
    (text) => {
      expect(parseGitReference(text)).toBeUndefined()
    },
  )

  test.each([
    ['https://h/x.git?ref=', 'query "ref" has no value'],
    ['https://h/x.git?ref=a&ref=b', 'query "ref" has multiple values'],
    ['https://h/x.git?subdir=a#:b', 'subdir conflicts: "b" vs "a"'],
    ['https://h/x.git?submodules=maybe', 'invalid submodules value: "maybe"'],
  ])('refuses %s', (text, message) => {
    expect(() => parseGitReference(text)).toThrow(message)
  })

  test('answers at once for a megabyte of anything', () => {
    for (const piece of ['a@', ':', 'https://h/', '?', '[', '@a:'])
      expect(() => parseGitReference(`https://${piece.repeat(1_000_000 / piece.length)}`)).not.toThrow()
  })
})
