import { describe, expect, test } from 'bun:test'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { BuildBench } from './fixtures/build-bench.ts'
import { type ExpectedImage, goldenCases, goldenFolder, imageFacts, makeContext } from './fixtures/golden-builds.ts'

describe('build() makes of a Dockerfile what docker 28.5 makes of it', () => {
  for (const name of goldenCases())
    test(name, async () => {
      using bench = await BuildBench.open()
      rmSync(bench.context, { recursive: true })
      makeContext(name, bench.context)
      const expected = (await Bun.file(join(goldenFolder, name, 'expected.json')).json()) as ExpectedImage
      const { config, files } = await bench.buildFile(join(goldenFolder, name, 'Dockerfile'))
      const inherited = config.history?.[0]?.comment === 'busybox for tests' ? 1 : 0
      expect({ ...imageFacts(config, inherited), files }).toEqual(expected)
    })
})
