import { describe, expect, test } from 'bun:test'
import { noCheckOptions, parseCheckOptions } from '../directives.ts'
import { DockerfileError } from '../dockerfile-error.ts'
import { IgnoreMatcher } from '../ignore.ts'
import { parseDockerfile } from '../parser.ts'
import { lintFile, lintText, Linter } from './linter.ts'
import { lintRules } from './rules.ts'

interface Linted {
  readonly found: readonly string[]
  readonly errors: readonly string[]
}

/** What a file shows by itself: `Rule line`. */
function lint(text: string, options?: string): Linted {
  const file = parseDockerfile(text, 'Dockerfile')
  const found: string[] = []
  const linter = new Linter(options === undefined ? file.check : parseCheckOptions(options), ({ rule, range }) =>
    found.push(`${rule.name} ${range.start}`),
  )
  lintFile(linter, file)
  return { found, errors: linter.errors }
}

describe('Linter', () => {
  const text = 'FROM scratch as Base\nMAINTAINER me\n'

  test('runs every rule that is not experimental, in the order of the file', () => {
    expect(lint(text).found).toEqual(['StageNameCasing 1', 'FromAsCasing 1', 'MaintainerDeprecated 2'])
  })

  test('skips what the file says', () => {
    expect(lint(`# check=skip=all\n${text}`).found).toEqual([])
    expect(lint(`# check=skip=FromAsCasing, StageNameCasing\n${text}`).found).toEqual(['MaintainerDeprecated 3'])
    expect(lint(`# check=skip=fromascasing\n${text}`).found).toHaveLength(3)
  })

  test('skips what stands above an instruction for this instruction alone', () => {
    const source = 'FROM scratch\n# check=skip=all\nMAINTAINER me\nMAINTAINER you\n'
    expect(lint(source).found).toEqual(['MaintainerDeprecated 4'])
    expect(lint('# x\n# check=skip=StageNameCasing // why\nFROM scratch as Base\n').found).toEqual(['FromAsCasing 3'])
    // An error asked for above one instruction is not asked for at all.
    expect(lint(`FROM scratch\n# check=error=true\nMAINTAINER me\n`)).toEqual({
      found: ['MaintainerDeprecated 3'],
      errors: [],
    })
  })

  test('heeds it for warnings of rules that look at the whole file too', () => {
    const source = 'FROM scratch AS a\n# check=skip=DuplicateStageName\nFROM scratch AS a\n# check=skip=all\nrun true\n'
    expect(lint(source).found).toEqual([])
  })

  test('runs experimental rules only when asked to, and then whatever is skipped', () => {
    const source = '# nothing about the base\nFROM scratch AS base\n'
    const found = ['InvalidDefinitionDescription 2']
    expect(lint(source).found).toEqual([])
    for (const options of ['experimental=all', 'experimental=InvalidDefinitionDescription;skip=all'])
      expect(lint(source, options).found).toEqual(found)
    expect(lint(`#\n# check=experimental=all\n${source}`).found).toEqual(['InvalidDefinitionDescription 4'])
  })

  test('names the rules that fail the build, once each, when errors are asked for', () => {
    const broken = 'FROM scratch as Base\nMAINTAINER me\nMAINTAINER you\n'
    expect(lint(broken).errors).toEqual([])
    expect(lint(broken, 'error=true;skip=FromAsCasing').errors).toEqual(['StageNameCasing', 'MaintainerDeprecated'])
    expect(lint(broken, 'error=true;skip=all').errors).toEqual([])
  })

  test('skips a warning about an earlier instruction by a check above either', () => {
    const at = (line: number, check?: string) => ({
      range: { start: line, end: line },
      ...(check === undefined ? {} : { check: parseCheckOptions(check) }),
    })
    const skip = 'skip=MultipleInstructionsDisallowed'
    const found: number[] = []
    const linter = new Linter(noCheckOptions, ({ range }) => found.push(range.start))
    const tell = (previous: ReturnType<typeof at>, later: ReturnType<typeof at>): void =>
      linter.tell('command', { keyword: 'CMD', defaultShell: false, previous }, later)
    tell(at(1), at(2))
    tell(at(3, skip), at(4))
    tell(at(5), at(6, skip))
    expect(found).toEqual([1])
  })

  test('tells what stands before a problem', () => {
    let error: unknown
    try {
      parseDockerfile('FROM scratch AS Bad\nMAINTAINER me\nBADCMD\nMAINTAINER you\nRUN <<EOF\nEOF\n', 'Dockerfile')
    } catch (caught) {
      error = caught
    }
    if (!(error instanceof DockerfileError) || error.readBefore === undefined) throw new Error('it was read')
    const found: string[] = []
    lintText(new Linter(error.readBefore.check, ({ rule }) => found.push(rule.name)), error.readBefore)
    expect(found).toEqual(['StageNameCasing', 'MaintainerDeprecated'])
  })
})

describe('rules', () => {
  test('have different names, a description, and pages named after them', () => {
    expect(new Set(lintRules.map(({ name }) => name)).size).toBe(lintRules.length)
    for (const { name, description, url } of lintRules) {
      expect(description).not.toBe('')
      if (url === undefined) continue
      const page = name.replace(/^JSON/, 'Json').replace(/[a-z](?=[A-Z])/g, '$&-')
      expect(url).toBe(`https://docs.docker.com/go/dockerfile/rule/${page.toLowerCase()}/`)
    }
  })

  test('SecretsUsedInArgOrEnv looks at whole words of the name', () => {
    const found: string[] = []
    const linter = new Linter(noCheckOptions, ({ detail }) => found.push(detail.replace(/.*"(.*)".*/, '$1')))
    const suspicious = ['TOKEN', 'github_token', 'API_KEY', 'apikey', 'x_Secret_y', 'AUTH', 'PASSWD_1']
    const harmless = ['TOKENS', 'KEYBOARD', 'MONKEY', 'TOKEN_FILE', 'PUBLIC_KEY', 'KEY_VERSION', 'OAUTH']
    for (const kind of ['ARG', 'ENV', 'LABEL'] as const)
      for (const key of [...suspicious, ...harmless])
        linter.tell('key', { kind, keyword: kind, key, legacy: false }, { range: { start: 1, end: 1 } })
    expect(found).toEqual([...suspicious, ...suspicious])
  })

  test('CopyIgnoredFile counts the root as excluded only when everything in it is', () => {
    const warned = (path: string, ...patterns: string[]): boolean => {
      let found = false
      const linter = new Linter(noCheckOptions, () => (found = true))
      const ignore = new IgnoreMatcher(patterns)
      linter.tell('contextSource', { kind: 'COPY', path, ignore }, { range: { start: 1, end: 1 } })
      return found
    }
    for (const root of ['.', './', '/', 'a/..']) {
      expect([root, warned(root, '.*')]).toEqual([root, false])
      expect([root, warned(root, '*')]).toEqual([root, true])
    }
    expect(warned('.', '**/*')).toBe(true)
    expect(warned('./a/b', 'a')).toBe(true)
    expect(warned('a', 'a/b')).toBe(false)
    // An excluded directory may hold what an exception includes again.
    expect(warned('a', 'a', '!a/b')).toBe(false)
  })

  test('InvalidDefinitionDescription passes over checks above the instruction', () => {
    const options = 'experimental=all'
    expect(lint('#\n# base is it\n# check=skip=all\nFROM scratch AS base\n', options).found).toEqual([])
    expect(lint('FROM scratch\n# check=skip=all\nARG a\n', options).found).toEqual([])
    expect(lint('FROM scratch\n# b is one of them\nARG a b\n', options).found).toEqual([])
    expect(lint('FROM scratch\n# c is none of them\nARG a b\n', options).found).toEqual([
      'InvalidDefinitionDescription 3',
    ])
  })
})
