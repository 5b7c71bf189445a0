import { expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { defaultLimits } from '../src/content/limits.ts'
import { UnpackThreads } from '../src/engine/threads/unpack-threads.ts'
import { tarOf } from '../src/images/image-fixtures.ts'
import { digestOf } from '../src/oci/digest.ts'
import { mediaTypes } from '../src/oci/media-types.ts'
import { GrowingFile } from '../src/streams/growing-file.ts'
import { startWorker } from '../src/threads.ts'

test('a thread takes what it is told in order, also while it loads what it needs', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'cairn-unpack-'))
  try {
    const tar = tarOf({ file: 'x'.repeat(2 << 20) })
    const path = join(directory, 'layer')
    writeFileSync(path, tar)
    const diffId = digestOf(tar)
    const layer = { diffId, descriptor: { mediaType: mediaTypes.ociLayerTar, digest: diffId, size: tar.length } }
    for (let round = 0; round < 20; round++) {
      using threads = new UnpackThreads(startWorker, 1)
      const file = new GrowingFile(path)
      if (round % 2 === 0) threads.expect(tar.length)
      const unpacked = threads.unpackLayer({ layer, directory: undefined, isLowest: true, limits: defaultLimits }, file)
      for (let size = 0; size < tar.length; size += tar.length / 64) {
        file.grow(Math.trunc(size))
        // oxlint-disable-next-line no-await-in-loop -- one piece comes after another
        if (Math.random() < 0.5) await Bun.sleep(1)
      }
      file.grow(tar.length)
      file.end()
      // oxlint-disable-next-line no-await-in-loop -- each round needs a thread that has just been started
      expect((await unpacked).record.diffId).toBe(diffId)
    }
  } finally {
    rmSync(directory, { recursive: true })
  }
}, 30_000)
