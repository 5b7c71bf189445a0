import { describe, expect, test } from 'bun:test'
import { CairnError } from '../../errors/error.ts'
import type { ContainerConfig, ImageConfig } from '../../oci/config.ts'
import { digestOf } from '../../oci/digest.ts'
import { parsePlatform, type Platform } from '../../oci/platform.ts'
import type { BaseImage, BuildPlan, Op, RunOp } from '../graph.ts'
import type { PlanOptions } from './plan-options.ts'
import { amd64, planOf } from './plan-fixtures.ts'

/** An image as resolveImage() gives it. */
function image(name: string, config: ContainerConfig = {}, more: Partial<ImageConfig> = {}): BaseImage {
  return {
    name: `docker.io/library/${name}:latest`,
    digest: digestOf(name),
    platform: amd64,
    config: {
      architecture: 'amd64',
      os: 'linux',
      rootfs: { type: 'layers', diff_ids: [digestOf(`layer of ${name}`)] },
      history: [{ created: '2020-01-01T00:00:00Z', created_by: `made ${name}` }],
      config,
      ...more,
    },
  }
}

type Options = Partial<Omit<PlanOptions, 'dockerfile' | 'buildArgs'>> & {
  readonly args?: Readonly<Record<string, string>>
  readonly images?: Readonly<Record<string, BaseImage>>
}

/** Plans `source` with images that are known by name, `busybox` among them. */
async function plan(source: string, { args = {}, images = {}, ...more }: Options = {}): Promise<BuildPlan> {
  const known: Record<string, BaseImage> = { busybox: image('busybox'), ...images }
  return await planOf(source, {
    buildArgs: new Map(Object.entries(args)),
    resolveImage: async (name) => {
      const found = known[name]
      if (found === undefined) throw new CairnError('IMAGE_UNKNOWN', `no image ${name}`)
      return found
    },
    ...more,
  })
}

async function failure(source: string, options: Options = {}): Promise<CairnError> {
  try {
    await plan(source, options)
  } catch (error) {
    if (error instanceof CairnError) return error
    throw error
  }
  throw new Error(`this can be planned: ${source}`)
}

const titles = ({ ops }: BuildPlan): string[] => ops.map((op) => op.title)

const history = ({ config, inheritedHistory }: BuildPlan): string[] =>
  (config.history ?? []).slice(inheritedHistory).map((entry) => entry.created_by ?? '')

function lastRun({ ops }: BuildPlan): RunOp {
  const op = ops.findLast((candidate) => candidate.kind === 'run')
  if (op?.kind !== 'run') throw new Error('there is no RUN')
  return op
}

const environment = (planned: BuildPlan): Record<string, string> => {
  const { PATH: _path, ...rest } = Object.fromEntries(lastRun(planned).env)
  return rest
}

describe('planBuild() and arguments', () => {
  test('takes --build-arg before the default, and the global value only without a default', async () => {
    const source =
      'ARG A=global\nARG B=global\nARG C=global\nFROM busybox\nARG A\nARG B=stage\nARG C\nARG D\nRUN true\n'
    expect(environment(await plan(source))).toEqual({ A: 'global', B: 'stage', C: 'global' })
    expect(environment(await plan(source, { args: { A: '1', B: '2', D: '' } }))).toEqual({
      A: '1',
      B: '2',
      C: 'global',
      D: '',
    })
  })

  test('shows a stage no argument that it does not declare, not even platform arguments', async () => {
    const planned = await plan('ARG A=1\nFROM busybox\nRUN true\n', { args: { A: '2' } })
    expect(environment(planned)).toEqual({})
    expect(history(planned)).toEqual(['RUN /bin/sh -c true # buildkit'])
  })

  test('lets whichever of ARG and ENV comes later win, and keeps ENV in the image', async () => {
    const planned = await plan('FROM busybox\nENV A=env\nARG A=arg\nRUN one\nENV B=$A\n')
    expect(environment(planned)).toEqual({ A: 'arg' })
    expect(planned.config.config?.Env?.slice(1)).toEqual(['A=env', 'B=arg'])
    expect(environment(await plan('FROM busybox\nARG A=arg\nENV A=env\nRUN true\n', { args: { A: 'given' } }))).toEqual(
      {
        A: 'env',
      },
    )
  })

  test('writes the arguments into the history of RUN with their values at that point', async () => {
    const source = 'FROM busybox\nARG A=1 B\nRUN one\nENV A=env\nRUN ["two", "a b"]\n'
    expect(history(await plan(source, { args: { B: 'b c' } }))).toEqual([
      'ARG A=1 B=b c',
      'RUN |2 A=1 B=b c /bin/sh -c one # buildkit',
      'ENV A=env',
      'RUN |2 A=env B=b c two a b # buildkit',
    ])
  })

  test('passes arguments on to stages that are built from the stage', async () => {
    const source = 'FROM busybox AS a\nARG A=1\nFROM a\nRUN true\n'
    expect(environment(await plan(source))).toEqual({ A: '1' })
    expect(history(await plan(source))).toEqual(['ARG A=1', 'RUN |1 A=1 /bin/sh -c true # buildkit'])
  })

  test('gives proxy settings to RUN under both spellings without key or history', async () => {
    const planned = await plan('FROM busybox\nRUN true\n', { args: { http_proxy: 'http://p', No_Proxy: 'x' } })
    expect(Object.fromEntries(lastRun(planned).proxyEnv)).toEqual({
      http_proxy: 'http://p',
      HTTP_PROXY: 'http://p',
      no_proxy: 'x',
      NO_PROXY: 'x',
    })
    expect(environment(planned)).toEqual({})
    expect(history(planned)).toEqual(['RUN /bin/sh -c true # buildkit'])
    expect(planned.warnings).toEqual([])
  })

  test('warns of arguments that nothing declares', async () => {
    const { warnings } = await plan('FROM busybox\nARG A\n', {
      args: {
        A: '1',
        UNKNOWN: '',
        OTHER: 'x',
        BUILDKIT_INLINE_CACHE: '1',
        TARGETARCH: 'amd64',
        SOURCE_DATE_EPOCH: '1',
      },
    })
    expect(warnings.map(({ message }) => message)).toEqual(['One or more build-args [UNKNOWN OTHER] were not consumed'])
  })

  test('knows the platforms once they are declared', async () => {
    const source = `FROM busybox AS last
ARG BUILDPLATFORM BUILDOS BUILDARCH TARGETPLATFORM TARGETOS TARGETARCH TARGETVARIANT TARGETSTAGE
RUN true`
    expect(environment(await plan(source, { platform: parsePlatform('linux/arm/v7') }))).toEqual({
      BUILDPLATFORM: 'linux/amd64',
      BUILDOS: 'linux',
      BUILDARCH: 'amd64',
      TARGETPLATFORM: 'linux/arm/v7',
      TARGETOS: 'linux',
      TARGETARCH: 'arm',
      TARGETVARIANT: 'v7',
      TARGETSTAGE: 'last',
    })
  })

  test('expands global arguments in FROM, its platform and later global arguments', async () => {
    const asked: string[] = []
    await plan('ARG NAME=busy\nARG FULL=${NAME}box\nARG ARCH\nFROM --platform=linux/${ARCH:-arm64} $FULL\n', {
      resolveImage: async (name: string, platform: Platform) => {
        asked.push(`${name} ${platform.os}/${platform.architecture}`)
        return image(name)
      },
    })
    expect(asked).toEqual(['busybox linux/arm64'])
  })

  test('fails with the line when FROM expands to nothing', async () => {
    expect(await failure('FROM busybox\n\nFROM $NOTHING\n')).toMatchObject({
      message: 'base name ($NOTHING) should not be blank',
      range: { start: 3, end: 3 },
    })
  })
})

describe('planBuild() and base images', () => {
  const base = image(
    'base',
    {
      Env: ['A=1', 'PATH=/own', 'EMPTY='],
      Cmd: ['cmd'],
      Entrypoint: ['entry'],
      User: 'app',
      WorkingDir: '/srv',
      Labels: { a: '1' },
      ExposedPorts: { '80/tcp': {} },
      Volumes: { '/v': {} },
      Shell: ['/bin/bash', '-c'],
      StopSignal: 'SIGINT',
      Healthcheck: { Test: ['CMD', 'x'] },
      OnBuild: ['ENV TRIGGERED=$A', 'RUN trigger'],
    },
    { author: 'me', created: '2020-01-01T00:00:00Z' },
  )
  const images = { base }

  test('inherits everything but the time and ONBUILD, whose triggers come first', async () => {
    const planned = await plan('FROM base\nRUN own\n', { images })
    const { OnBuild: _triggers, ...inherited } = base.config.config ?? {}
    expect(planned.config).toEqual({
      architecture: 'amd64',
      os: 'linux',
      author: 'me',
      config: { ...inherited, Env: ['A=1', 'PATH=/own', 'EMPTY=', 'TRIGGERED=1'] },
      history: expect.any(Array),
      rootfs: { type: 'layers', diff_ids: [] },
    })
    expect(history(planned)).toEqual([
      'ENV TRIGGERED=1',
      'RUN /bin/bash -c trigger # buildkit',
      'RUN /bin/bash -c own # buildkit',
    ])
    expect(planned.config.history?.[0]).toEqual({ created: '2020-01-01T00:00:00Z', created_by: 'made base' })
    expect(titles(planned)).toEqual([
      '[1/3] FROM docker.io/library/base:latest',
      '[2/3] ONBUILD RUN trigger',
      '[3/3] RUN own',
    ])
    expect(lastRun(planned)).toMatchObject({ user: 'app', cwd: '/srv', args: ['/bin/bash', '-c', 'own'] })
  })

  test('gives an image without PATH the default one, in its place at the end', async () => {
    const planned = await plan('FROM bare\nENV B=2\n', { images: { bare: image('bare', { Env: ['A=1'] }) } })
    const path = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
    expect(planned.config.config?.Env).toEqual(['A=1', path, 'B=2'])
  })

  test('clears a command that is inherited, not one of the stage, at ENTRYPOINT', async () => {
    const config = async (source: string): Promise<ContainerConfig | undefined> =>
      (await plan(source, { images: { cmd: image('cmd', { Cmd: ['old'] }) } })).config.config
    expect((await config('FROM cmd\nENTRYPOINT ["e"]\n'))?.Cmd).toBeUndefined()
    expect((await config('FROM cmd\nCMD ["own"]\nENTRYPOINT ["e"]\n'))?.Cmd).toEqual(['own'])
    expect((await config('FROM cmd AS a\nCMD ["own"]\nFROM a\nENTRYPOINT ["e"]\n'))?.Cmd).toBeUndefined()
    expect((await config('FROM cmd\nENTRYPOINT e $X\n'))?.Entrypoint).toEqual(['/bin/sh', '-c', 'e $X'])
  })

  test('fires triggers of a stage in the stages built from it, once', async () => {
    const planned = await plan(
      'FROM busybox AS files\nFROM busybox AS a\nONBUILD COPY --from=files /x /x\nONBUILD USER u\nFROM a AS b\nFROM b\n',
    )
    expect(titles(planned)).toEqual([
      '[files 1/1] FROM docker.io/library/busybox:latest',
      '[b 1/1] ONBUILD COPY --from=files /x /x',
    ])
    expect(planned.config.config?.OnBuild).toBeUndefined()
    expect(planned.config.config?.User).toBe('u')
  })

  test('resolves the images that only triggers name', async () => {
    const images = { parent: image('parent', { OnBuild: ['COPY --from=extra /a /b'] }), extra: image('extra') }
    const planned = await plan('FROM parent\n', { images })
    expect(planned.ops.map((op) => op.text)).toEqual(['FROM extra', 'FROM parent', 'COPY --from=extra /a /b'])
  })

  test('fires no triggers of an image that is only read', async () => {
    const images = { read: image('read', { OnBuild: ['COPY --from=read / /', 'RUN x'] }) }
    const planned = await plan('FROM busybox\nCOPY --from=read /a /b\n', { images })
    expect(planned.ops.map((op) => op.text)).toEqual(['FROM read', 'FROM busybox', 'COPY --from=read /a /b'])
  })

  test('fails at FROM for a trigger that is none', async () => {
    const error = await failure('FROM busybox\nFROM bad\n', { images: { bad: image('bad', { OnBuild: ['FROM x'] }) } })
    expect(error).toMatchObject({
      code: 'DOCKERFILE_INVALID',
      message: `ONBUILD trigger "FROM x": FROM isn't allowed as an ONBUILD trigger`,
      range: { start: 2, end: 2 },
    })
  })

  test('fails at FROM for a trigger that reads a stage there is not', async () => {
    const images = { bad: image('bad', { OnBuild: ['COPY --from=7 / /'] }) }
    expect(await failure('FROM busybox\nFROM bad\n', { images })).toMatchObject({
      message: 'invalid stage index 7',
      range: { start: 2, end: 2 },
    })
  })

  test('asks for each image and platform once, however many stages name it', async () => {
    const asked: string[] = []
    const planned = await plan(
      'FROM busybox AS a\nFROM busybox AS b\nFROM busybox\nCOPY --from=a / /\nCOPY --from=b / /\n',
      {
        resolveImage: async (name: string) => {
          asked.push(name)
          return image(name)
        },
      },
    )
    expect(asked).toEqual(['busybox'])
    expect(planned.ops.filter(({ kind }) => kind === 'base')).toHaveLength(1)
  })

  test('fails with the line of FROM for an image that is not to be had', async () => {
    expect(await failure('FROM busybox AS a\nFROM absent\n')).toMatchObject({
      code: 'IMAGE_UNKNOWN',
      message: 'no image absent',
      range: { start: 2, end: 2 },
    })
  })

  test('takes the platform that was asked for, else that of the base image', async () => {
    const images = { arm: { ...image('arm', {}, { architecture: 'arm64', variant: 'v8' }) } }
    expect((await plan('FROM arm\n', { images })).config).toMatchObject({ architecture: 'arm64' })
    expect((await plan('FROM arm\n', { images, platform: amd64 })).config.architecture).toBe('amd64')
    expect((await plan('FROM scratch\n', { platform: parsePlatform('linux/arm/v6') })).config).toMatchObject({
      architecture: 'arm',
      variant: 'v6',
    })
  })

  test('keeps of the base image what the specification knows, and no inline cache or notes of old builders', async () => {
    const odd = image('odd', {}, { 'os.version': '1.2' })
    const notes = { 'moby.buildkit.cache.v0': 'e30=', container_config: { Cmd: ['x'] }, docker_version: '1' }
    const { config } = await plan('FROM odd\n', { images: { odd: { ...odd, config: { ...odd.config, ...notes } } } })
    expect(Object.keys(config).sort()).toEqual(['architecture', 'config', 'history', 'os', 'os.version', 'rootfs'])
    expect(config['os.version']).toBe('1.2')
  })
})

describe('planBuild() and stages', () => {
  const source = `FROM busybox AS base
RUN base
FROM base AS tests
RUN tests
FROM base AS builder
RUN build one
RUN build two
FROM scratch
COPY --from=builder /out /out
`

  test('plans only what the target needs and names steps as BuildKit does', async () => {
    expect(titles(await plan(source))).toEqual([
      '[base 1/2] FROM docker.io/library/busybox:latest',
      '[base 2/2] RUN base',
      '[builder 1/2] RUN build one',
      '[builder 2/2] RUN build two',
      '[stage-3 1/1] COPY --from=builder /out /out',
    ])
  })

  test('finds the target by name in any case and by number', async () => {
    const expected = [
      '[base 1/2] FROM docker.io/library/busybox:latest',
      '[base 2/2] RUN base',
      '[tests 1/1] RUN tests',
    ]
    for (const target of ['tests', 'TESTS', '1']) expect(titles(await plan(source, { target }))).toEqual(expected)
    expect((await plan(source, { target: 'base' })).ops).toHaveLength(2)
  })

  test('prefers a stage that is called like a number', async () => {
    const planned = await plan('FROM busybox AS a\nFROM busybox AS b\nRUN b\n', { target: '1' })
    expect(lastRun(planned).text).toBe('RUN b')
  })

  test('fails for a target that is not there and proposes one that is', async () => {
    expect(await failure(source, { target: 'bulider' })).toMatchObject({
      code: 'STAGE_UNKNOWN',
      message: 'target stage "bulider" could not be found (did you mean builder?)',
      hint: 'Its stages are: base, tests, builder.',
    })
    expect(await failure(source, { target: '4' })).toMatchObject({ code: 'STAGE_UNKNOWN' })
    expect(await failure('FROM busybox\n', { target: 'x' })).toMatchObject({
      message: 'target stage "x" could not be found',
      hint: 'No stage of this Dockerfile has a name.',
    })
  })

  test('never asks for images of stages that are not needed', async () => {
    const planned = await plan('FROM absent AS unused\nRUN x\nFROM busybox\n')
    expect(planned.ops).toHaveLength(1)
  })

  test('lets the later of two stages with one name count from there on', async () => {
    const planned = await plan('FROM busybox AS a\nRUN one\nFROM busybox AS a\nRUN two\nFROM a\nRUN three\n')
    expect(planned.ops.map((op) => op.text)).toEqual(['FROM busybox', 'RUN two', 'RUN three'])
  })

  test('takes a stage before an image of the same name, and an image before a later stage', async () => {
    const asked: string[] = []
    const resolveImage = async (name: string): Promise<BaseImage> => {
      asked.push(name)
      return image(name)
    }
    await plan('FROM busybox AS alpine\nFROM alpine\n', { resolveImage })
    await plan('FROM alpine AS a\nFROM busybox AS alpine\nCOPY --from=a / /\n', { resolveImage })
    expect(asked.sort()).toEqual(['alpine', 'busybox', 'busybox'])
  })

  test('refuses stages that need each other, with the line', async () => {
    const circle = 'FROM busybox AS a\nCOPY --from=b / /\nFROM busybox AS b\nCOPY --from=a / /\n'
    expect(await failure(circle)).toMatchObject({
      code: 'DOCKERFILE_INVALID',
      message: expect.stringMatching(/^circular dependency detected on stage: [ab]$/) as string,
    })
    expect(await failure('FROM busybox AS a\nUSER x\nCOPY --from=a / /\n')).toMatchObject({
      message: 'circular dependency detected on stage: a',
      range: { start: 3 },
    })
    const throughBase = 'FROM busybox AS a\nRUN --mount=from=b,target=/x true\nFROM a AS b\n'
    expect(await failure(throughBase)).toMatchObject({ range: { start: 2 } })
  })

  test('refuses a source stage that comes later', async () => {
    const later = 'FROM busybox AS a\nCOPY --from=b /x /\nFROM busybox AS b\n'
    expect((await failure(later, { target: 'a' })).message).toContain('"b"')
  })

  test('refuses a stage number that is none and variables in --from', async () => {
    expect((await failure('FROM busybox\nCOPY --from=1 / /\n')).message).toBe('invalid stage index 1')
    expect(await failure('FROM busybox\nARG A=b\nCOPY --from=$A / /\n')).toMatchObject({
      message: expect.stringContaining('variable expansion is not supported for --from') as string,
      range: { start: 3, end: 3 },
    })
  })

  test('shares a stage with all that read it', async () => {
    const planned = await plan(
      'FROM busybox AS a\nRUN a\nFROM busybox\nCOPY --from=a /x /\nRUN --mount=from=a,target=/m x\n',
    )
    const copy = planned.ops.find((op) => op.kind === 'copy')
    const read = copy?.sources[0]
    const mount = lastRun(planned).mounts[0]
    const stage = planned.ops.find((op) => op.text === 'RUN a')
    expect(read?.kind === 'files' && read.source.from === 'op' && read.source.op).toBe(stage as Op)
    expect(mount?.type === 'bind' && mount.source.from === 'op' && mount.source.op).toBe(stage as Op)
  })

  test('pads step numbers to the width of the last and counts neither ENV nor the empty base', async () => {
    const planned = await plan(`FROM scratch AS made\nENV A=1\n${'WORKDIR /a\n'.repeat(9)}COPY x /\nCMD x\n`)
    expect(titles(planned).slice(8)).toEqual(['[ 9/10] WORKDIR /a', '[10/10] COPY x /'])
  })

  test('shows variables as their values in titles and the first line of a heredoc', async () => {
    const planned = await plan(`FROM busybox
ARG A="x y"
run echo $A \${UNKNOWN} '$A' "$A"
COPY $A /to/$A
RUN <<EOF
one $A
two
EOF
`)
    expect(titles(planned).slice(1)).toEqual([
      '[2/4] RUN echo x y ${UNKNOWN} \'$A\' "x y"',
      '[3/4] COPY x y /to/x y',
      '[4/4] RUN <<EOF (one x y...)',
    ])
  })

  test.each(['../../x', 'a/b', '/etc/x', '..', '.'])(
    'refuses the here-document %s, which as a file would be elsewhere',
    async (name) => {
      for (const source of [`RUN <<${name}\n#!/bin/sh\n${name}`, `COPY <<${name} /d/\nx\n${name}`])
        expect(await failure(`FROM busybox\n${source}\n`)).toMatchObject({
          code: 'STEP_INVALID',
          message: `the here-document "${name}" cannot be a file of that name`,
          range: { start: 2, end: 4 },
        })
      expect(titles(await plan(`FROM busybox\nRUN <<${name}\necho\n${name}\n`))).toHaveLength(2)
    },
  )

  test('marks the steps of the stages that must not come from the cache', async () => {
    const ignored = ({ ops }: BuildPlan): string[] =>
      ops.filter(({ ignoreCache }) => ignoreCache).map(({ text }) => text)
    expect(ignored(await plan(source))).toEqual([])
    expect(ignored(await plan(source, { noCacheFilter: new Set(['builder']) }))).toEqual([
      'RUN build one',
      'RUN build two',
    ])
    expect(ignored(await plan(source, { noCache: true }))).toEqual([
      'RUN base',
      'RUN build one',
      'RUN build two',
      'COPY --from=builder /out /out',
    ])
  })
})

describe('planBuild() and configuration', () => {
  test('applies --label after all instructions', async () => {
    const planned = await plan('FROM busybox\nLABEL a=1 b=2\n', {
      labels: new Map([
        ['a', 'flag'],
        ['c', '3'],
      ]),
    })
    expect(planned.config.config?.Labels).toEqual({ a: 'flag', b: '2', c: '3' })
    expect(history(planned)).toEqual(['LABEL a=1 b=2'])
  })

  test('uses SHELL for what follows, and not for the exec form or HEALTHCHECK', async () => {
    const planned = await plan(
      'FROM busybox\nSHELL ["/bin/ash", "-e", "-c"]\nRUN a\nRUN ["b"]\nCMD c\nHEALTHCHECK CMD d\nENTRYPOINT e\n',
    )
    expect(planned.ops.flatMap((op) => (op.kind === 'run' ? [op.args] : []))).toEqual([
      ['/bin/ash', '-e', '-c', 'a'],
      ['b'],
    ])
    expect(planned.config.config).toMatchObject({
      Shell: ['/bin/ash', '-e', '-c'],
      Cmd: ['/bin/ash', '-e', '-c', 'c'],
      Entrypoint: ['/bin/ash', '-e', '-c', 'e'],
      Healthcheck: { Test: ['CMD-SHELL', 'd'] },
    })
  })

  test.each([
    ['CMD ["a", "b c\\"\\n"]', 'CMD ["a" "b c\\"\\n"]'],
    ['CMD a b', 'CMD ["/bin/sh" "-c" "a b"]'],
    ['ENTRYPOINT ["é", "\\u0007\\u007f"]', 'ENTRYPOINT ["é" "\\a\\x7f"]'],
    ['EXPOSE 443 80/TCP 53/udp', 'EXPOSE [443/tcp 53/udp 80/tcp]'],
    ['EXPOSE 8002-8000', undefined],
    ['VOLUME /a /b', 'VOLUME [/a /b]'],
    ['VOLUME ["/a b"]', 'VOLUME [/a b]'],
    ['STOPSIGNAL SIGTERM', 'STOPSIGNAL SIGTERM'],
    ['USER a:b', 'USER a:b'],
    ['SHELL ["a", "b"]', 'SHELL [a b]'],
    ['MAINTAINER a b', 'MAINTAINER a b'],
    ['HEALTHCHECK NONE', 'HEALTHCHECK &{["NONE"] "0s" "0s" "0s" "0s" \'\\x00\'}'],
    [
      'HEALTHCHECK --interval=90s --timeout=1500us --retries=10 CMD ["a"]',
      'HEALTHCHECK &{["CMD" "a"] "1m30s" "1.5ms" "0s" "0s" \'\\n\'}',
    ],
    ['ENV A=1 B="x y"', 'ENV A=1 B=x y'],
    ['ARG A=1 B', 'ARG A=1 B'],
    ['LABEL a="1 2"', 'LABEL a=1 2'],
    ['COPY --chown=a:b --chmod=755 x y /d/', 'COPY --chown=a:b --chmod=755 x y /d/ # buildkit'],
    ['ADD --link <<a <<b /d/\n1\na\n2\nb', 'ADD <<a <<b /d/ # buildkit'],
    ['COPY --parents --exclude=*.c a/./b /d', 'COPY --parents a/./b /d # buildkit'],
    ['WORKDIR a', 'WORKDIR /a'],
  ])('writes %j into history as BuildKit does', async (line, expected) => {
    const source = `FROM busybox\n${line}\n`
    if (expected === undefined) expect(await failure(source)).toMatchObject({ range: { start: 2 } })
    else expect(history(await plan(source))).toEqual([expected])
  })

  test('says at the line what is wrong with an instruction', async () => {
    const cases: [string, string][] = [
      ['RUN --network=host x', 'network.host is not allowed'],
      ['RUN --security=insecure x', 'security.insecure is not allowed'],
      ['RUN --mount=type=bind,target=/ x', 'invalid mount target "/"'],
      ['VOLUME ""', 'VOLUME specified can not be an empty string'],
      ['COPY https://example.com/a /a', "source can't be a URL for COPY"],
      ['COPY git@example.com:a.git /a', "source can't be a git ref for COPY"],
      ['ADD --checksum=sha256:0 a /a', 'checksum requires HTTP(S) or Git sources'],
      ['ADD --checksum=sha256:0 https://h/a https://h/b /', "checksum can't be specified for multiple sources"],
      ['ADD --checksum=sha256:0 https://h/a /', 'invalid checksum digest format: sha256:0'],
      ['ADD https://h/a.git?ref=b#c /', 'ref conflicts: "c" vs "b"'],
      ['ADD https://h/a.git?x=1 /', 'unexpected query "x"'],
      ['ADD --keep-git-dir=false https://h/a.git?keep-git-dir /', 'inconsistent keep-git-dir configuration'],
      ['ADD --checksum=abc https://h/a.git?checksum=abd /', 'checksum mismatch "abc" != "abd"'],
      ['COPY --chmod=rwx a /a', 'rwx'],
      ['STOPSIGNAL SIGNOTHING', 'SIGNOTHING'],
      ['ENV A="${B?not there}"', 'not there'],
      ['COPY a ${B?nowhere}', 'nowhere'],
    ]
    for (const [line, message] of cases) {
      const error = await failure(`FROM busybox\nRUN ok\n${line}\n`)
      expect(error.message).toContain(message)
      expect(error).toMatchObject({ range: { start: 3, end: 3 } })
    }
  })

  test('takes RUN --network=host where it is allowed', async () => {
    const source = 'FROM busybox\nRUN --network=host x\n'
    expect(lastRun(await plan(source, { allow: new Set(['network.host']) })).network).toBe('host')
    expect(lastRun(await plan(source, { network: 'host' })).network).toBe('host')
    expect(lastRun(await plan('FROM busybox\nRUN --network=none x\n', { network: 'host' })).network).toBe('none')
    expect(lastRun(await plan('FROM busybox\nRUN x\n', { network: 'none' })).network).toBe('none')
  })

  test('reads SOURCE_DATE_EPOCH from the build-args and the global arguments', async () => {
    expect((await plan('FROM scratch\n')).epoch).toBeUndefined()
    expect((await plan('FROM scratch\n', { args: { SOURCE_DATE_EPOCH: '12' } })).epoch).toBe(12)
    expect((await plan('ARG SOURCE_DATE_EPOCH=34\nFROM scratch\n')).epoch).toBe(34)
    expect((await plan('FROM scratch\n', { args: { SOURCE_DATE_EPOCH: '' } })).epoch).toBeUndefined()
    for (const text of ['now', '253402300800', '1000000000000000'])
      expect(await failure('FROM scratch\n', { args: { SOURCE_DATE_EPOCH: text } })).toMatchObject({
        code: 'USAGE',
        exitCode: 1,
        message: `invalid SOURCE_DATE_EPOCH: "${text}"`,
      })
  })
})
