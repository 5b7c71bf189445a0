import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Cairn } from './fixtures/cli/cairn.ts'
import { file, layerOf } from './fixtures/layers.ts'

let cairn: Cairn
beforeAll(async () => {
  cairn = new Cairn()
  cairn.file('base.tar', layerOf(file('etc/name', 'base')))
  for (const name of ['busybox', 'alpine']) await cairn.ok(['import', 'base.tar', name])
})
afterAll(() => cairn[Symbol.dispose]())

/** A context with this Dockerfile, and its name. */
function context(name: string, dockerfile: string): string {
  const directory = join(cairn.directory, name)
  mkdirSync(directory)
  writeFileSync(join(directory, 'Dockerfile'), dockerfile)
  return name
}

const lines = (...all: readonly string[]): string => all.map((line) => `${line}\n`).join('')
const at = (line: number): object => ({ ranges: [{ start: { line }, end: { line } }] })

describe('build --call=check', () => {
  test('prints what docker prints, and ends with status 1', async () => {
    const name = context('warned', 'FROM busybox as Bad\nCOPY $x /d\nRUN sleep 1; echo hi\nENV x=$y TOKEN=1\n')
    const { status, out, err } = await cairn.run(['build', '--call=check', name])
    expect(status).toBe(1)
    expect(out).toBe(
      lines(
        'Check complete, 5 warnings have been found!',
        '',
        'WARNING: StageNameCasing - https://docs.docker.com/go/dockerfile/rule/stage-name-casing/',
        "Stage name 'Bad' should be lowercase",
        'warned/Dockerfile:1',
        '--------------------',
        '   1 | >>> FROM busybox as Bad',
        '   2 |     COPY $x /d',
        '   3 |     RUN sleep 1; echo hi',
        '--------------------',
        '',
        'WARNING: FromAsCasing - https://docs.docker.com/go/dockerfile/rule/from-as-casing/',
        "'as' and 'FROM' keywords' casing do not match",
        'warned/Dockerfile:1',
        '--------------------',
        '   1 | >>> FROM busybox as Bad',
        '   2 |     COPY $x /d',
        '   3 |     RUN sleep 1; echo hi',
        '--------------------',
        '',
        'WARNING: UndefinedVar - https://docs.docker.com/go/dockerfile/rule/undefined-var/',
        "Usage of undefined variable '$x'",
        'warned/Dockerfile:2',
        '--------------------',
        '   1 |     FROM busybox as Bad',
        '   2 | >>> COPY $x /d',
        '   3 |     RUN sleep 1; echo hi',
        '   4 |     ENV x=$y TOKEN=1',
        '--------------------',
        '',
        'WARNING: UndefinedVar - https://docs.docker.com/go/dockerfile/rule/undefined-var/',
        "Usage of undefined variable '$y'",
        'warned/Dockerfile:4',
        '--------------------',
        '   2 |     COPY $x /d',
        '   3 |     RUN sleep 1; echo hi',
        '   4 | >>> ENV x=$y TOKEN=1',
        '   5 |     ',
        '--------------------',
        '',
        'WARNING: SecretsUsedInArgOrEnv - https://docs.docker.com/go/dockerfile/rule/secrets-used-in-arg-or-env/',
        'Do not use ARG or ENV instructions for sensitive data (ENV "TOKEN")',
        'warned/Dockerfile:4',
        '--------------------',
        '   2 |     COPY $x /d',
        '   3 |     RUN sleep 1; echo hi',
        '   4 | >>> ENV x=$y TOKEN=1',
        '   5 |     ',
        '--------------------',
      ),
    )
    expect(err).toStartWith('#1 [internal] load build definition from Dockerfile\n')
    expect(err).not.toContain('WARN')
    expect(await cairn.ok(['build', '--check', '--call=build', context('fine', 'FROM busybox\n')])).toBe(
      'Check complete, no warnings found.\n',
    )
  })

  test('gives the same as JSON', async () => {
    const name = context('json', 'FROM scratch AS Bad\n')
    const { status, out } = await cairn.run(['build', '-q', '--call=check,format=json', name])
    expect(status).toBe(1)
    expect(JSON.parse(out)).toEqual({
      warnings: [
        {
          ruleName: 'StageNameCasing',
          description: 'Stage names should be lowercase',
          url: 'https://docs.docker.com/go/dockerfile/rule/stage-name-casing/',
          detail: "Stage name 'Bad' should be lowercase",
          location: at(1),
        },
      ],
      sources: [{ filename: 'Dockerfile', data: 'RlJPTSBzY3JhdGNoIEFTIEJhZAo=', language: 'Dockerfile' }],
    })
    const ignored = await cairn.run(['build', '-q', '--call=check,ignorestatus=true,format=json', name])
    expect([ignored.status, ignored.out]).toEqual([0, out])
  })

  test('prints an error below the warnings, with every problem', async () => {
    const name = context('broken', 'FROM scratch AS Bad\nBADCMD\nCOPY x\n')
    const { status, out, err } = await cairn.run(['build', '--check', name])
    expect(status).toBe(1)
    expect(out).toStartWith('Check complete, 1 warning has been found!\n\nWARNING: StageNameCasing')
    expect(err).toContain('\n   2 | >>> BADCMD\n')
    expect(err).toContain('\n   3 | >>> COPY x\n')
    expect(err).toEndWith(
      'cairn: Dockerfile: dockerfile parse error on line 2: unknown instruction: BADCMD (and 1 more problem)\n',
    )
    const json = await cairn.run(['build', '--call=check,format=json', name])
    const { buildError } = JSON.parse(json.out) as { buildError: { message: string; location: object } }
    expect(buildError.message.split('\n')).toHaveLength(2)
    expect(buildError.location).toEqual({
      ranges: [2, 3].map((line) => ({ start: { line }, end: { line } })),
    })
  })

  test('fails for violations that the file makes errors', async () => {
    const name = context('strict', '# check=error=true\nFROM scratch\nMAINTAINER me\nCMD x\n')
    const message = 'lint violation found for rules: MaintainerDeprecated, JSONArgsRecommended'
    const checked = await cairn.run(['build', '--check', name])
    expect([checked.status, checked.err]).toEqual([1, expect.stringContaining(`cairn: ${message}\n`)])
    const built = await cairn.run(['build', name])
    expect(built.status).toBe(1)
    expect(built.err).toContain(' 2 warnings found (use cairn --debug to expand):\n - MaintainerDeprecated: ')
    expect(built.err).toContain(`cairn: failed to build: failed to solve: ${message}\n`)
    expect((await cairn.run(['build', '--build-arg', 'BUILDKIT_DOCKERFILE_CHECK=skip=all', name])).status).toBe(0)
  })

  test('says what is wrong with the flag', async () => {
    const name = context('flag', 'FROM scratch\n')
    for (const [value, message] of [
      ['chek', 'unsupported request chek (did you mean check?)'],
      ['check,format=xml', 'invalid --call format: xml'],
      ['check,x=1', 'invalid --call field: x=1'],
      ['"check', 'parse error on line 1, column 2: extraneous or missing " in quoted-field'],
      ['check,outline', 'invalid --call value: check,outline'],
      ['check,ignorestatus=x', 'invalid --call ignorestatus: x'],
    ] as const) {
      const { status, err } = await cairn.run(['build', `--call=${value}`, name])
      expect([value, status, err.split('\n')[0]]).toEqual([value, 1, `cairn: ${message}`])
    }
  })
})

describe('build', () => {
  test('lists warnings below the steps, expanded with --debug, and as JSON', async () => {
    const name = context('listed', 'FROM scratch AS Bad\nCOPY Dockerfile /$x\nCMD ["a"]\n')
    const list = [
      " - StageNameCasing: Stage name 'Bad' should be lowercase (line 1)",
      " - UndefinedVar: Usage of undefined variable '$x' (line 2)",
    ]
    const { status, err } = await cairn.run(['build', '--progress=plain', name])
    expect(status).toBe(0)
    expect(err).toContain("\n#1 WARN: StageNameCasing: Stage name 'Bad' should be lowercase (line 1)\n#1 DONE ")
    expect(err).toContain("\n#1 WARN: UndefinedVar: Usage of undefined variable '$x' (line 2)\n")
    expect(err).toEndWith(`\n ${lines('2 warnings found (use cairn --debug to expand):', ...list)}`)

    const debugged = await cairn.run(['--debug', 'build', name])
    expect(debugged.err).toContain(
      lines(
        ' 2 warnings found:',
        list[0] ?? '',
        'Stage names should be lowercase',
        'More info: https://docs.docker.com/go/dockerfile/rule/stage-name-casing/',
        'Dockerfile:1',
        '--------------------',
        '   1 | >>> FROM scratch AS Bad',
      ),
    )

    const raw = await cairn.run(['build', '--progress=rawjson', name])
    const warnings = raw.err
      .trim()
      .split('\n')
      .flatMap((line) => (JSON.parse(line) as { warnings?: readonly Record<string, unknown>[] }).warnings ?? [])
    expect(warnings).toHaveLength(2)
    expect(warnings[1]).toEqual({
      vertex: '[internal] load build definition from Dockerfile',
      level: 1,
      short: btoa("UndefinedVar: Usage of undefined variable '$x' (line 2)"),
      detail: [btoa('Variables should be defined before their use')],
      url: 'https://docs.docker.com/go/dockerfile/rule/undefined-var/',
      sourceInfo: {
        filename: 'Dockerfile',
        data: btoa('FROM scratch AS Bad\nCOPY Dockerfile /$x\nCMD ["a"]\n'),
        language: 'Dockerfile',
      },
      range: [{ start: { line: 2 }, end: { line: 2 } }],
    })
  })

  test('lists warnings of a build that fails', async () => {
    const name = context('failing', 'FROM scratch AS Bad\nBADCMD\n')
    const { status, err } = await cairn.run(['build', name])
    expect(status).toBe(1)
    expect(err).toContain(
      ` 1 warning found (use cairn --debug to expand):\n - StageNameCasing: Stage name 'Bad' should be lowercase (line 1)\nDockerfile:2\n`,
    )
  })
})

describe('build --call=outline', () => {
  const dockerfile = `
ARG inherited=box
ARG inherited2=box2
ARG unused=abc\${inherited2}
# sfx is a suffix
ARG sfx="usy\${inherited}"

FROM b\${sfx} AS first
# this is not assigned to anything
ARG FOO=123
# BAR is a number
ARG BAR=456
RUN --mount=type=secret,target=/etc/passwd,required=true --mount=type=ssh true

FROM alpine\${unused} AS second
ARG BAZ
RUN --mount=type=secret,id=unused --mount=type=ssh,id=ssh2 true

FROM scratch AS third
ARG ABC=a
# check=skip=all
ARG password
# alternate_password will show up in the outline
# check=skip=all
ARG alternate_password
RUN --mount=type=secret,id=second\${BAR}\${ABC} true

# target defines build target
FROM third AS target
COPY --from=first /etc/passwd /
RUN --mount=type=ssh,id=ssh3,required true

FROM second
`

  test('lists what the target and all it is made of can be given', async () => {
    const name = context('outline', dockerfile)
    const args = ['build', '-q', '--build-arg', 'BAR=678', '--target', 'target']
    expect(JSON.parse(await cairn.ok([...args, '--call=outline,format=json', name]))).toEqual({
      name: 'target',
      description: 'defines build target',
      args: [
        { name: 'inherited', value: 'box', location: at(2) },
        { name: 'sfx', description: 'is a suffix', value: 'usybox', location: at(6) },
        { name: 'FOO', value: '123', location: at(10) },
        { name: 'BAR', description: 'is a number', value: '678', location: at(12) },
        { name: 'ABC', value: 'a', location: at(20) },
        { name: 'password', location: at(22) },
        { name: 'alternate_password', description: 'will show up in the outline', location: at(25) },
      ],
      secrets: [
        { name: 'passwd', required: true, location: at(13) },
        { name: 'seconda', location: at(26) },
      ],
      ssh: [
        { name: 'default', location: at(13) },
        { name: 'ssh3', required: true, location: at(31) },
      ],
      sources: [btoa(dockerfile)],
    })
    expect(await cairn.ok([...args, '--call=outline', name])).toBe(
      lines(
        'TARGET:      target',
        'DESCRIPTION: defines build target',
        '',
        'BUILD ARG            VALUE    DESCRIPTION',
        'inherited            box      ',
        'sfx                  usybox   is a suffix',
        'FOO                  123      ',
        'BAR                  678      is a number',
        'ABC                  a        ',
        'password                      ',
        'alternate_password            will show up in the outline',
        '',
        'SECRET    REQUIRED',
        'passwd    true',
        'seconda   ',
        '',
        'SSH       REQUIRED',
        'default   ',
        'ssh3      true',
        '',
      ),
    )
  })

  test('follows ARGs that are made of others and of themselves', async () => {
    const first = ['ARG FOO=123', 'ARG ABC=abc', 'ARG DEF=def', 'ARG FOO=${FOO}${ABC}', 'ARG BAR=${FOO}456']
    const stage = ['FROM scratch', 'ARG FOO', 'ARG INFOO=123', 'ARG INBAR=${INFOO}456', 'ARG INFOO=${INFOO}456${INBAR}']
    const recursive = [...first, 'ARG FOO=${FOO}456${BAR}', ...stage]
    const name = context('recursive', lines('', ...recursive))
    const outline = JSON.parse(await cairn.ok(['build', '-q', '--call=outline,format=json', name])) as {
      args: readonly { name: string; value: string }[]
    }
    expect(outline.args.map(({ name: arg, value }) => [arg, value])).toEqual([
      ['ABC', 'abc'],
      ['BAR', '123abc456'],
      ['FOO', '123abc456123abc456'],
      ['INBAR', '123456'],
      ['INFOO', '123456123456'],
    ])
  })
})

describe('build --call=targets', () => {
  const dockerfile = `
# build defines stage for compiling the binary
FROM alpine AS build
RUN true

FROM --platform=$BUILDPLATFORM nosuchimage as second
RUN false

FROM alpine
RUN false

# binary returns the compiled binary
FROM second AS binary
`

  test('lists the stages without looking for their images', async () => {
    const name = context('targets', dockerfile)
    expect(await cairn.ok(['build', '-q', '--call=targets', name])).toBe(
      lines(
        'TARGET           DESCRIPTION',
        'build            defines stage for compiling the binary',
        'second           ',
        '                 ',
        'binary (default) returns the compiled binary',
      ),
    )
    expect(JSON.parse(await cairn.ok(['build', '-q', '--call=targets,format=json', name]))).toEqual({
      targets: [
        { name: 'build', description: 'defines stage for compiling the binary', base: 'alpine', location: at(3) },
        { name: 'second', base: 'nosuchimage', platform: '$BUILDPLATFORM', location: at(6) },
        { base: 'alpine', location: at(9) },
        { name: 'binary', default: true, description: 'returns the compiled binary', base: 'second', location: at(13) },
      ],
      sources: [btoa(dockerfile)],
    })
  })
})

describe('build --call=subrequests.describe', () => {
  test('lists what BuildKit lists', async () => {
    const name = context('describe', 'FROM scratch\n')
    expect(await cairn.ok(['build', '--call=subrequests.describe', name])).toBe(
      lines(
        'NAME                 VERSION DESCRIPTION',
        'outline              1.0.0   List all parameters current build target supports',
        'targets              1.0.0   List all targets current build supports',
        'subrequests.describe 1.0.0   List available subrequest types',
      ),
    )
    const json = JSON.parse(await cairn.ok(['build', '--call=subrequests.describe,format=json', name])) as object[]
    expect(json).toHaveLength(3)
    expect(json[0]).toEqual({
      name: 'frontend.outline',
      version: '1.0.0',
      type: 'rpc',
      description: 'List all parameters current build target supports',
      opts: [{ name: 'target', description: 'Target build stage' }],
      inputs: null,
      metadata: [
        { name: 'result.json', description: '' },
        { name: 'result.txt', description: '' },
      ],
      refs: null,
    })
  })
})
