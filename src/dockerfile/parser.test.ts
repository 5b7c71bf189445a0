import { describe, expect, test } from 'bun:test'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DockerfileError } from './dockerfile-error.ts'
import type { CopyInstruction, Instruction, RunInstruction } from './instruction.ts'
import { parseDockerfile, parseTrigger } from './parser.ts'

const fixtures = join(import.meta.dir, '../../test/fixtures/dockerfile')

/** The one instruction of a stage. */
function parseOne(text: string): Instruction {
  const [instruction, ...rest] = parseDockerfile(`FROM scratch\n${text}`, 'Dockerfile').stages[0]?.instructions ?? []
  expect(rest).toEqual([])
  if (instruction === undefined) throw new Error('no instruction')
  return instruction
}

function errorOf(text: string): DockerfileError {
  try {
    parseDockerfile(text, 'Dockerfile')
  } catch (error) {
    if (error instanceof DockerfileError) return error
    throw error
  }
  throw new Error(`accepted: ${text}`)
}

const problemOf = (instruction: string): string | undefined =>
  errorOf(`FROM scratch\n${instruction}`).problems[0]?.message

describe('instructions as BuildKit reads them', () => {
  interface SourceContent {
    readonly Path: string
    readonly Data: string
    readonly Expand: boolean
  }
  const table = JSON.parse(readFileSync(join(fixtures, 'instruction-cases.json'), 'utf8')) as {
    readonly copy_heredoc: readonly {
      readonly dockerfile: string
      readonly sourcesAndDest: {
        readonly DestPath: string
        readonly SourcePaths?: readonly string[]
        readonly SourceContents?: readonly SourceContent[]
      }
    }[]
    readonly run_heredoc: readonly {
      readonly dockerfile: string
      readonly command: readonly string[]
      readonly shell: boolean
      readonly files?: readonly { readonly Name: string; readonly Data: string; readonly Chomp?: boolean }[]
    }[]
    readonly errors: readonly { readonly name: string; readonly dockerfile: string; readonly expectedError: string }[]
  }

  test('all 21 rows are looked at', () => {
    expect(table.copy_heredoc.length + table.run_heredoc.length + table.errors.length).toBe(21)
  })
  test.each(table.copy_heredoc.map(({ dockerfile, sourcesAndDest }) => [dockerfile, sourcesAndDest] as const))(
    '%j',
    (dockerfile, expected) => {
      const copy = parseOne(dockerfile) as CopyInstruction
      expect(copy.destination).toBe(expected.DestPath)
      expect(copy.sources).toEqual([...(expected.SourcePaths ?? [])])
      const contents = copy.heredocs.map(({ name, content, expand }) => ({ Data: content, Expand: expand, Path: name }))
      expect(contents).toEqual([...(expected.SourceContents ?? [])])
    },
  )
  test.each(table.run_heredoc.map((row) => [row.dockerfile, row] as const))('%j', (dockerfile, row) => {
    const run = parseOne(dockerfile) as RunInstruction
    expect(run.command).toEqual(
      row.shell ? { form: 'shell', line: row.command.join(' ') } : { form: 'exec', args: row.command },
    )
    const files = run.heredocs.map(({ name, raw, chomp }) => ({
      Name: name,
      Data: raw,
      ...(chomp ? { Chomp: true } : {}),
    }))
    expect(files).toEqual([...(row.files ?? [])])
  })
  test.each(table.errors.map((row) => [row.dockerfile, row.expectedError] as const))(
    '%j fails',
    (dockerfile, expected) => {
      expect(errorOf(`FROM scratch\n${dockerfile}`).problems[0]?.message).toContain(expected)
    },
  )

  const refused = readdirSync(join(fixtures, 'parser-negative')).toSorted()
  test('all 4 files that are to be refused are looked at', () => {
    expect(refused).toEqual(['empty_dockerfile', 'env_no_value', 'only_comments', 'shykes-nested-json'])
  })
  test.each(refused)('%s is refused', (name) => {
    const source = readFileSync(join(fixtures, 'parser-negative', name, 'Dockerfile'))
    expect(() => parseDockerfile(source, 'Dockerfile')).toThrow(DockerfileError)
  })
})

describe('FROM', () => {
  const from = (text: string): unknown => parseDockerfile(text, 'Dockerfile').stages[0]?.from

  test('takes an image, a platform and a name in any case', () => {
    expect(from('from --platform=$BUILDPLATFORM alpine:3 as Build-1.x')).toMatchObject({
      keyword: 'from',
      image: 'alpine:3',
      platform: '$BUILDPLATFORM',
      name: 'build-1.x',
      nameAsWritten: 'Build-1.x',
      asKeyword: 'as',
    })
    expect(from('FROM scratch')).not.toHaveProperty('name')
  })
  test.each(['FROM', 'FROM a b', 'FROM a IS b', 'FROM a AS b c'])('%s has a wrong number of arguments', (text) => {
    expect(errorOf(text).problems[0]?.message).toBe('FROM requires either one or three arguments')
  })
  test('refuses stage names that begin with a digit or hold symbols', () => {
    expect(errorOf('FROM a AS 1b').problems[0]?.message).toBe(
      'invalid name for build stage: "1b", name can\'t start with a number or contain symbols',
    )
  })
})

describe('RUN, CMD and ENTRYPOINT', () => {
  test('are a JSON list or the line as written', () => {
    expect(parseOne('CMD [ "a", "b\\u0020c" ]')).toMatchObject({ command: { form: 'exec', args: ['a', 'b c'] } })
    expect(parseOne('CMD []')).toMatchObject({ command: { form: 'exec', args: [] } })
    expect(parseOne("ENTRYPOINT ['a']")).toMatchObject({ command: { form: 'shell', line: "['a']" } })
    expect(parseOne('RUN echo  "a   b" \\\n  && c')).toMatchObject({
      command: { form: 'shell', line: 'echo  "a   b"   && c' },
      original: 'RUN echo  "a   b"   && c',
    })
  })
  test('refuse a JSON list of anything but strings', () => {
    expect(problemOf('CMD ["a", 1]')).toBe('when using JSON array syntax, arrays must be comprised of strings only')
  })
  test('RUN keeps mounts and devices as written and checks what it can', () => {
    expect(
      parseOne('RUN --mount=type=cache,target=$X --mount=type=ssh --network=none --security=sandbox a'),
    ).toMatchObject({
      mounts: ['type=cache,target=$X', 'type=ssh'],
      network: 'none',
      security: 'sandbox',
      devices: [],
    })
    expect(problemOf('RUN --network=off a')).toBe('invalid network mode "off"')
    expect(problemOf('RUN --security=none a')).toBe('security "none" is not valid')
    expect(problemOf('RUN --mount=from=$X,target=/a a')).toBe(
      "'from' doesn't support variable expansion, define alias stage instead",
    )
    expect(problemOf('RUN --device=a,b a')).toBe("invalid field 'b' must be a key=value pair")
  })
})

describe('COPY and ADD', () => {
  test('take all their flags', () => {
    expect(
      parseOne('COPY --from=x --chown=1:2 --chmod=u=rwX --link --parents --exclude=*.a --exclude=b s1 s2 /d/'),
    ).toMatchObject({
      from: 'x',
      chown: '1:2',
      chmod: 'u=rwX',
      link: true,
      parents: true,
      excludes: ['*.a', 'b'],
      sources: ['s1', 's2'],
      destination: '/d/',
    })
    expect(parseOne('ADD --checksum=sha256:x --keep-git-dir --unpack=false ["a b", "/d"]')).toMatchObject({
      checksum: 'sha256:x',
      keepGitDir: true,
      unpack: false,
      link: false,
      sources: ['a b'],
      destination: '/d',
    })
    expect(parseOne('ADD a b')).not.toHaveProperty('unpack')
  })
  test('match here-documents with their bodies, also with spaces and quotes in the delimiter', () => {
    expect(parseOne("COPY << one x <<'two words' <<one /d/\n1\none\n2\ntwo words\n3\none")).toMatchObject({
      sources: ['x'],
      heredocs: [
        { name: 'one', content: '1\n', expand: true },
        { name: 'two words', content: '2\n', expand: false },
        { name: 'one', content: '3\n' },
      ],
      destination: '/d/',
      original: "COPY << one x <<'two words' <<one /d/",
      range: { start: 2, end: 8 },
    })
  })
  test('take a JSON word with << for a path', () => {
    expect(parseOne('COPY ["<<EOF", "/d"]')).toMatchObject({ sources: ['<<EOF'], heredocs: [] })
  })
  test.each([
    ['COPY a', 'COPY requires at least two arguments, but only one was provided. Destination could not be determined'],
    ['COPY --form=x a b', 'unknown flag: --form (did you mean from?)'],
    ['COPY --from=x --from=y a b', 'duplicate flag specified: --from'],
    ['COPY --link= a b', 'missing a value on flag: --link'],
    ['COPY --link=$x a b', 'expecting boolean value for flag --link, not: $x'],
    ['COPY --chown a b', 'missing a value on flag: --chown'],
    ['ADD --from=x a b', 'unknown flag: --from'],
    ['COPY --constructor=x a b', 'unknown flag: --constructor'],
  ])('%s fails', (text, message) => {
    expect(problemOf(text)).toBe(message)
  })
})

describe('ENV, LABEL and ARG', () => {
  test('take pairs, quotes kept for expansion', () => {
    expect(parseOne('ENV a=1 b="x y" c=d\\ e d=')).toMatchObject({
      legacy: false,
      pairs: [
        { key: 'a', value: '1' },
        { key: 'b', value: '"x y"' },
        { key: 'c', value: 'd\\ e' },
        { key: 'd', value: '' },
      ],
    })
    expect(parseOne('LABEL a  b c=d ')).toMatchObject({ legacy: true, pairs: [{ key: 'a', value: 'b c=d' }] })
    expect(parseOne('ARG a b= c="x y"')).toMatchObject({
      args: [{ key: 'a' }, { key: 'b', value: '' }, { key: 'c', value: '"x y"' }],
    })
  })
  test.each([
    ['ENV', 'ENV requires at least one argument'],
    ['ENV a', 'ENV must have two arguments'],
    ['ENV a=b c', 'Syntax error - can\'t find = in "c". Must be of the form: name=value'],
    ['LABEL =a', 'LABEL names can not be blank'],
    ['ARG =a', 'ARG names can not be blank'],
    ['ARG', 'ARG requires at least one argument'],
  ])('%s fails', (text, message) => {
    expect(problemOf(text)).toBe(message)
  })
})

describe('HEALTHCHECK', () => {
  test('takes NONE, or CMD with durations in nanoseconds', () => {
    expect(parseOne('HEALTHCHECK none')).toMatchObject({ test: ['NONE'] })
    expect(
      parseOne('HEALTHCHECK --interval=1m30s --timeout=0 --start-period=1.5s --start-interval=1ms --retries=3 cmd a b'),
    ).toMatchObject({
      test: ['CMD-SHELL', 'a b'],
      interval: 90e9,
      timeout: 0,
      startPeriod: 1.5e9,
      startInterval: 1e6,
      retries: 3,
    })
    expect(parseOne('HEALTHCHECK CMD ["a","b"]')).toMatchObject({ test: ['CMD', 'a', 'b'] })
  })
  test.each([
    ['HEALTHCHECK', 'HEALTHCHECK requires at least one argument'],
    ['HEALTHCHECK NONE x', 'HEALTHCHECK NONE takes no arguments'],
    ['HEALTHCHECK CMD', 'Missing command after HEALTHCHECK CMD'],
    ['HEALTHCHECK FOO x', 'Unknown type "FOO" in HEALTHCHECK (try CMD)'],
    ['HEALTHCHECK --interval=5 CMD x', 'time: missing unit in duration "5"'],
    ['HEALTHCHECK --interval=5us CMD x', 'Interval "interval" cannot be less than 1ms'],
    ['HEALTHCHECK --retries=-1 CMD x', '--retries cannot be negative (-1)'],
    ['HEALTHCHECK --retries=x CMD x', 'strconv.ParseInt: parsing "x": invalid syntax'],
  ])('%s fails', (text, message) => {
    expect(problemOf(text)).toBe(message)
  })
})

describe('the other instructions', () => {
  test('keep what they are given', () => {
    expect(parseOne('EXPOSE 90/udp 80  8000-8010 $P')).toMatchObject({ ports: ['$P', '80', '8000-8010', '90/udp'] })
    expect(parseOne('VOLUME /a /b')).toMatchObject({ paths: ['/a', '/b'] })
    expect(parseOne('VOLUME ["/a b"]')).toMatchObject({ paths: ['/a b'] })
    expect(parseOne('USER a:b ')).toMatchObject({ user: 'a:b' })
    expect(parseOne('WORKDIR /a b')).toMatchObject({ path: '/a b' })
    expect(parseOne('STOPSIGNAL SIGINT')).toMatchObject({ signal: 'SIGINT' })
    expect(parseOne('SHELL ["/bin/bash", "-c"]')).toMatchObject({ shell: ['/bin/bash', '-c'] })
    expect(parseOne('MAINTAINER A B <c@d>')).toMatchObject({ name: 'A B <c@d>' })
  })
  test.each([
    ['USER', 'USER requires exactly one argument'],
    ['WORKDIR', 'WORKDIR requires exactly one argument'],
    ['EXPOSE', 'EXPOSE requires at least one argument'],
    ['VOLUME', 'VOLUME requires at least one argument'],
    ['VOLUME [""]', 'VOLUME specified can not be an empty string'],
    ['SHELL []', 'SHELL requires at least one argument'],
    ['SHELL bash -c', 'SHELL requires the arguments to be in JSON form'],
    ['WORKDRI /a', 'unknown instruction: WORKDRI (did you mean WORKDIR?)'],
    ['workdri /a', 'unknown instruction: workdri (did you mean workdir?)'],
  ])('%s fails', (text, message) => {
    expect(problemOf(text)).toBe(message)
  })
  test('say so when a flag has no effect', () => {
    const { warnings } = parseDockerfile('ARG --x A\nFROM a\nSTOPSIGNAL --y 9\nHEALTHCHECK --z NONE\n', 'Dockerfile')
    expect(warnings.map(({ rule, range }) => [rule, range.start])).toEqual([
      ['IgnoredFlag', 1],
      ['IgnoredFlag', 3],
      ['IgnoredFlag', 4],
    ])
  })
})

describe('ONBUILD', () => {
  test('keeps the text of its trigger with here-documents, which parseTrigger() reads again', () => {
    const onbuild = parseOne('onbuild COPY <<-a b /d/\n\tx\n\ta\n')
    expect(onbuild).toMatchObject({ kind: 'ONBUILD', expression: 'COPY <<-a b /d/\n\tx\na' })
    const expression = onbuild.kind === 'ONBUILD' ? onbuild.expression : ''
    expect(parseTrigger(expression)).toMatchObject({
      kind: 'COPY',
      heredocs: [{ name: 'a', content: 'x\n' }],
      sources: ['b'],
    })
  })
  test.each([
    ['ONBUILD', 'ONBUILD requires at least one argument'],
    ['ONBUILD ONBUILD RUN a', "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"],
    ['ONBUILD maintainer a', "MAINTAINER isn't allowed as an ONBUILD trigger"],
    ['ONBUILD --a RUN b', 'unknown flag: --a'],
  ])('%s fails', (text, message) => {
    expect(problemOf(text)).toBe(message)
  })
  test.each([
    ['RUN a\nRUN b', 'onbuild trigger should be a single expression'],
    ['', 'onbuild trigger should be a single expression'],
    ['FROM a', "FROM isn't allowed as an ONBUILD trigger"],
    ['ONBUILD RUN a', "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"],
    ['RUM a', 'unknown instruction: RUM (did you mean RUN?)'],
  ])('parseTrigger() refuses %j', (text, message) => {
    expect(() => parseTrigger(text)).toThrow(message)
  })
})

describe('a whole file', () => {
  test('gives stages, global ARGs, directives and checks', () => {
    const file = parseDockerfile(
      '# syntax=docker/dockerfile:1 x\n# check=skip=A,B;error=true\nARG V=1\n# check=skip=all\n# v the version\nFROM a:$V AS one\nRUN x\nFROM one\nRUN y\n',
      'dir/Dockerfile',
    )
    expect(file).toMatchObject({
      filename: 'dir/Dockerfile',
      syntax: 'docker/dockerfile:1 x',
      check: { skip: ['A', 'B'], skipAll: false, error: true },
      metaArgs: [{ kind: 'ARG', args: [{ key: 'V', value: '1' }] }],
      stages: [
        { index: 0, from: { check: { skipAll: true }, comments: ['check=skip=all', 'v the version'] } },
        { index: 1, from: { image: 'one' }, instructions: [{ original: 'RUN y', range: { start: 9, end: 9 } }] },
      ],
    })
    expect(file.stages[1]?.from).not.toHaveProperty('check')
  })
  test.each([
    ['', 'file with no instructions'],
    ['# only\n\n# comments\n', 'file with no instructions'],
    ['ARG a\n', 'dockerfile contains no stages to build'],
    ['RUN a\nFROM b\n', 'no build stage in current context'],
    ['# check=foo=bar\nFROM a\n', 'failed to parse check options: invalid check option "foo"'],
    ['# check=error=maybe\nFROM a\n', 'failed to parse check options: failed to parse check option "error=maybe"'],
  ])('%j fails', (text, message) => {
    expect(errorOf(text).problems[0]?.message).toBe(message)
    expect(errorOf(text).problems[0]?.range.start).toBeGreaterThan(0)
  })
  test('with several problems tells all that do not follow from one another', () => {
    const error = errorOf(
      'RUN early\nRUN early too\nFROM a b\nRUN fine\nCOPY x\nRUM <<EOF\nnot an instruction\nEOF\nfoo &&\nbar\nUSER\n',
    )
    expect(error.problems.map(({ message, range }) => [range.start, message])).toEqual([
      [1, 'no build stage in current context'],
      [3, 'FROM requires either one or three arguments'],
      [5, 'COPY requires at least two arguments, but only one was provided. Destination could not be determined'],
      [6, 'unknown instruction: RUM (did you mean RUN?)'],
      [11, 'USER requires exactly one argument'],
    ])
    expect(error.message).toBe(
      'Dockerfile: dockerfile parse error on line 1: no build stage in current context (and 4 more problems)',
    )
    expect(error).toMatchObject({ code: 'DOCKERFILE_INVALID', range: { start: 1, end: 1 }, filename: 'Dockerfile' })
  })
  test('with one problem shows the lines around it', () => {
    expect(errorOf('FROM a\nUSER b\nRUM x \\\n  y\nUSER c\nUSER d\nUSER e').excerpt()).toBe(
      [
        'Dockerfile:3',
        '--------------------',
        '   2 |     USER b',
        '   3 | >>> RUM x \\',
        '   4 | >>>   y',
        '   5 |     USER c',
        '--------------------',
      ].join('\n'),
    )
  })
  test('with several problems shows each with its message, some of them where there are many', () => {
    const excerpt = errorOf(`FROM a\n${'USER\n'.repeat(9)}`).excerpt(2)
    expect(excerpt.split('\n').filter((line) => !/^[ -]/.test(line))).toEqual([
      'dockerfile parse error on line 2: USER requires exactly one argument',
      'Dockerfile:2',
      'dockerfile parse error on line 3: USER requires exactly one argument',
      'Dockerfile:3',
      '… and 7 more',
    ])
  })
  test('of 10,000 lines and 1,000 stages is read whole', () => {
    const stage = (index: number): string => `FROM a AS s${index}\n${'RUN echo "a b" $X\n'.repeat(9)}`
    const file = parseDockerfile(Array.from({ length: 1000 }, (_, index) => stage(index)).join(''), 'Dockerfile')
    expect(file.stages).toHaveLength(1000)
    expect(file.stages.every(({ instructions }) => instructions.length === 9)).toBe(true)
    const long = parseDockerfile(
      `FROM a\nRUN a ${'\\\n b'.repeat(10_000)}\nRUN <<E\n${'x\n'.repeat(10_000)}E\n`,
      'Dockerfile',
    )
    expect(long.stages[0]?.instructions.map(({ range }) => range.end)).toEqual([10_002, 20_004])
  })
})

describe('the frontend a file asks for', () => {
  const parse = (text: string, syntax?: string) => parseDockerfile(text, 'Dockerfile', { syntax })

  test("turns Cairn's extensions on when it is cairn/dockerfile:1, and only then", () => {
    expect(parse('# syntax=cairn/dockerfile:1\nFROM a')).toMatchObject({ extensions: true, warnings: [] })
    expect(parse('# syntax=docker/dockerfile:1\nFROM a')).toMatchObject({ extensions: false, warnings: [] })
    expect(parse('FROM a')).toMatchObject({ extensions: false, warnings: [] })
    expect(parse('# comment\n# syntax=cairn/dockerfile:1\nFROM a')).toMatchObject({ extensions: false })
  })
  test('is that of the build argument where one is given', () => {
    const file = '# syntax=docker/dockerfile:1\nFROM a'
    expect(parse(file, 'cairn/dockerfile:1')).toMatchObject({ extensions: true, syntax: 'cairn/dockerfile:1' })
    expect(parse('# syntax=cairn/dockerfile:1\nFROM a', 'dockerfile.v0').extensions).toBe(false)
    expect(parse(file, '').syntax).toBe('docker/dockerfile:1')
  })
  test('gives a warning, and a hint with every problem, when Cairn does not know it', () => {
    const { warnings, syntax } = parse('# escape=\\\n# syntax=example/other:2 --x\nFROM a')
    expect(syntax).toBe('example/other:2 --x')
    expect(warnings).toEqual([
      {
        rule: 'UnknownFrontend',
        detail: 'the frontend example/other:2 is not run, the file is read as a plain Dockerfile',
        range: { start: 2, end: 2 },
      },
    ])
    expect(errorOf('// syntax=example/other:2\nmodule {}').problems[0]).toMatchObject({
      message: 'unknown instruction: //',
      hint: "The file asks for the frontend example/other:2, and Cairn reads only docker's language.",
    })
    expect(errorOf('{"syntax": "example/other:2"}').hint).toContain('example/other:2')
  })
})
