import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { rmSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import { CairnError } from '../src/errors/error.ts'
import { BuildBench } from './fixtures/build-bench.ts'
import {
  caseOptions,
  comparable,
  conformanceCases,
  conformanceFolder,
  expectedBuild,
  type ImageFacts,
  imageFacts,
  keptDifference,
  layOutCase,
} from './fixtures/conformance-cases.ts'

describe('build() makes of a Dockerfile what docker 28.5 makes of it', () => {
  let bench: BuildBench
  beforeAll(async () => {
    bench = await BuildBench.open(memory())
  }, 60_000)
  afterAll(() => bench[Symbol.dispose](), 60_000)

  /** A directory in memory where there is enough: most of the time of small builds is bringing them to the disk. */
  function memory(): string | undefined {
    const { bavail, bsize } = statfsSync('/dev/shm')
    return bavail * bsize > 256 << 20 ? '/dev/shm' : undefined
  }

  for (const name of conformanceCases())
    test(name, async () => {
      const expected = expectedBuild(name)
      const kept = keptDifference(name)
      const made = await outcome(name)
      const failure = typeof made === 'string' ? made : undefined
      if (kept?.error !== undefined || (kept === undefined && expected.error !== undefined)) {
        expect(failure).toContain(kept?.error ?? '')
        return
      }
      expect(failure).toBeUndefined()
      const { error: _error, ...image } = expected
      const wanted = { ...image, ...kept?.image }
      expect(comparable(made as ImageFacts, wanted)).toEqual(wanted)
    })

  /** The image's facts, or what the build fails with. */
  async function outcome(name: string): Promise<ImageFacts | string> {
    const { args = {}, labels = {}, target, bases = {} } = caseOptions(name)
    rmSync(bench.context, { recursive: true, force: true })
    const dockerfile = layOutCase(name, bench.context)
    try {
      for (const [tag, file] of Object.entries(bases))
        // oxlint-disable-next-line no-await-in-loop -- one may stand on another
        await bench.buildFile(join(conformanceFolder, name, file), { tag, timestamps: 'real' })
      // With docker's times, which are compared, too.
      const options = { args, labels, target, noCache: true, timestamps: 'real' } as const
      const { config, tree } = await bench.buildFile(dockerfile, options)
      const inherited = config.history?.[0]?.comment === 'busybox for tests' ? 1 : 0
      return imageFacts(config, tree, inherited)
    } catch (error) {
      if (error instanceof CairnError) return error.message
      throw error
    }
  }
})
