import { describe, expect, test } from 'bun:test'
import { parseDockerfile } from '../dockerfile/parser.ts'
import { digestOf } from '../oci/digest.ts'
import { parsePlatform } from '../oci/platform.ts'
import { cacheKey, canonicalJson, fileSources, stepInputs } from './cache-key.ts'
import type { Op } from './graph.ts'
import { planBuild } from './plan/plan.ts'
import type { PlanOptions } from './plan/plan-options.ts'

/** The last op of a stage with these lines. */
async function lastOp(lines: string, options: Partial<PlanOptions> = {}): Promise<Op> {
  const { target } = await planBuild({
    dockerfile: parseDockerfile(`FROM scratch AS other\nFROM scratch\n${lines}\n`, 'Dockerfile'),
    target: undefined,
    buildArgs: new Map(),
    labels: new Map(),
    platform: undefined,
    buildPlatform: parsePlatform('linux/amd64'),
    network: 'default',
    extraHosts: [],
    allow: new Set(['network.host']),
    noCache: false,
    noCacheFilter: new Set(),
    resolveImage: () => Promise.reject(new Error('there are no images')),
    ...options,
  })
  if (target === undefined) throw new Error('nothing to do')
  return target
}

/** The key of the last op, its sources counted as unchanged and its parent as the same. */
async function keyOf(lines: string, options: Partial<PlanOptions> = {}, epoch?: number): Promise<string> {
  const op = await lastOp(lines, options)
  const sources = fileSources(op).map(({ pattern }) => ({ label: pattern, digest: digestOf('same') }))
  return cacheKey(stepInputs(op, { parent: 'parent', sources, epoch, hasFixedTimes: false }))
}

describe('cacheKey()', () => {
  test.each([
    ['RUN a', 'RUN b'],
    ['RUN a b', 'RUN ["a", "b"]'],
    ['RUN ["a b"]', 'RUN ["a", "b"]'],
    ['RUN a', 'USER x\nRUN a'],
    ['RUN a', 'WORKDIR /w\nRUN a'],
    ['RUN a', 'ENV A=1\nRUN a'],
    ['ENV A=1\nRUN a', 'ENV A=2\nRUN a'],
    ['ENV A=1\nRUN a', 'ENV B=1\nRUN a'],
    ['ARG A=1\nRUN a', 'ARG A=2\nRUN a'],
    ['RUN a', 'SHELL ["x"]\nRUN a'],
    ['RUN a', 'RUN --network=none a'],
    ['RUN a', 'RUN --network=host a'],
    ['RUN a', 'RUN --mount=type=cache,target=/c a'],
    ['RUN --mount=type=cache,target=/c a', 'RUN --mount=type=cache,target=/d a'],
    ['RUN --mount=type=cache,target=/c a', 'RUN --mount=type=tmpfs,target=/c a'],
    ['RUN --mount=type=tmpfs,target=/c a', 'RUN --mount=type=tmpfs,target=/c,size=1m a'],
    ['RUN --mount=target=/c a', 'RUN --mount=target=/c,rw a'],
    ['RUN --mount=target=/c a', 'RUN --mount=target=/c,source=s a'],
    ['RUN --mount=type=secret,id=a a', 'RUN --mount=type=secret,id=b a'],
    ['RUN --mount=type=secret,id=a a', 'RUN --mount=type=secret,id=a,env=A a'],
    [
      'RUN --mount=type=secret,id=a,env=A --mount=type=secret,id=b,env=B a',
      'RUN --mount=type=secret,id=c,env=A --mount=type=secret,id=b,env=B a',
    ],
    ['RUN <<E\n#!a\n1\nE', 'RUN <<E\n#!a\n2\nE'],
    ['COPY a /x', 'COPY a /x/'],
    ['COPY a /x', 'COPY --chown=1 a /x'],
    ['COPY a /x', 'COPY --chmod=1 a /x'],
    ['COPY --chmod=755 a /x', 'COPY --chmod=u+x a /x'],
    ['COPY a /x', 'COPY --link a /x'],
    ['COPY a /x', 'COPY --parents a /x'],
    ['COPY a /x', 'COPY --exclude=b a /x'],
    ['COPY a /x', 'ADD a /x'],
    ['ADD a /x', 'ADD --unpack=false a /x'],
    ['COPY <<a /x\n1\na', 'COPY <<a /x\n2\na'],
    ['COPY <<a /x\n1\na', 'COPY <<b /x\n1\nb'],
    ['COPY a /x', 'COPY a a /x'],
    ['WORKDIR /a', 'WORKDIR /b'],
    ['WORKDIR /a', 'USER x\nWORKDIR /a'],
    ['WORKDIR /a', 'RUN /a'],
  ])('tells %j from %j', async (one, other) => {
    expect(await keyOf(one)).not.toBe(await keyOf(other))
  })

  test.each([
    ['RUN a', 'run   a'],
    ['RUN a', 'LABEL x=1\nEXPOSE 1\nCMD x\nVOLUME /v\nRUN a'],
    ['RUN a', 'ARG UNSET\nRUN a'],
    ['RUN --mount=type=cache,target=/c a', 'RUN --mount=type=cache,target=/c,id=x,sharing=locked,mode=700 a'],
    ['RUN --mount=type=secret,id=s a', 'RUN --mount=type=secret,id=s,required a'],
    ['COPY a /x', 'ENV A=1\nARG B=2\nUSER u\nCOPY a /x'],
    ['COPY a /x', 'ARG T=/x\nCOPY a $T'],
    ['COPY a /x', 'COPY a /y/../x'],
    ['WORKDIR /a', 'ENV A=1\nWORKDIR /a/'],
    ['ENV A=1 B=2\nRUN a', 'ENV B=2\nENV A=1\nRUN a'],
  ])('does not tell %j from %j', async (one, other) => {
    expect(await keyOf(one)).toBe(await keyOf(other))
  })

  test('depends on the platform, the epoch, the hosts, the parent and every source', async () => {
    const op = await lastOp('COPY a b /x/')
    const key = (parent: string, ...digests: string[]): string =>
      cacheKey(
        stepInputs(op, {
          parent,
          sources: digests.map((text) => ({ label: 'l', digest: digestOf(text) })),
          epoch: undefined,
          hasFixedTimes: false,
        }),
      )
    const keys = [key('p', 'a', 'b'), key('q', 'a', 'b'), key('p', 'b', 'a'), key('p', 'a', 'a')]
    const runs = [
      await keyOf('RUN a'),
      await keyOf('RUN a', {}, 0),
      await keyOf('RUN a', {}, 1),
      await keyOf('RUN a', { platform: parsePlatform('linux/arm64') }),
      await keyOf('RUN a', { extraHosts: [{ name: 'a', address: '1.1.1.1' }] }),
      await keyOf('RUN a', { extraHosts: [{ name: 'b', address: '1.1.1.1' }] }),
      await keyOf('RUN a', { network: 'none' }),
    ]
    expect(new Set([...keys, ...runs]).size).toBe(keys.length + runs.length)
    // Where a name leads is known to the machine alone.
    expect(await keyOf('RUN a', { extraHosts: [{ name: 'a', address: '1.1.1.2' }] })).toBe(runs[4] as string)
  })

  test('of every step says that times are fixed, and that of real times says nothing of it', async () => {
    for (const lines of ['RUN a', 'COPY a b /x/', 'WORKDIR /w', 'COPY <<E /x\ntext\nE']) {
      const op = await lastOp(lines)
      const inputs = { parent: 'p', sources: [], epoch: undefined }
      const [fixed, real] = [true, false].map((hasFixedTimes) => stepInputs(op, { ...inputs, hasFixedTimes }))
      expect(fixed?.definition).toEqual({ ...real?.definition, timestamps: 'fixed' })
      expect(real?.definition).not.toHaveProperty('timestamps')
    }
  })

  test('does not depend on proxies or on what is below a linked copy', async () => {
    const proxies = { buildArgs: new Map([['http_proxy', 'http://p']]) }
    expect(await keyOf('RUN a', proxies)).toBe(await keyOf('RUN a'))
    const key = async (lines: string, parent: string): Promise<string> =>
      cacheKey(stepInputs(await lastOp(lines), { parent, sources: [], epoch: undefined, hasFixedTimes: false }))
    expect(await key('COPY --link a /x', 'p')).toBe(await key('COPY --link a /x', 'q'))
    // Names are looked up below.
    expect(await key('COPY --link --chown=app a /x', 'p')).not.toBe(await key('COPY --link --chown=app a /x', 'q'))
  })

  test('keeps no value of a variable', async () => {
    const op = await lastOp('ENV TOKEN=very-secret\nRUN true')
    expect(
      JSON.stringify(stepInputs(op, { parent: undefined, sources: [], epoch: undefined, hasFixedTimes: false })),
    ).not.toContain('very-secret')
  })
})

describe('canonicalJson()', () => {
  test('is the same for any order of fields and without undefined ones', () => {
    expect(canonicalJson({ b: [1, { d: null, c: 'x' }], a: undefined, A: true })).toBe(
      '{"A":true,"b":[1,{"c":"x","d":null}]}',
    )
  })
})
