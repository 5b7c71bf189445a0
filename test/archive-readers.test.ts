import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { busyboxArchive } from './fixtures/build-bench.ts'
import { Cairn } from './fixtures/cli/cairn.ts'

setDefaultTimeout(60_000)

/** Runs skopeo (Debian package `skopeo`), which reads and writes archives with code of its own. */
function skopeo(...args: string[]): string {
  const ended = Bun.spawnSync(['skopeo', ...args], { stdout: 'pipe', stderr: 'pipe' })
  if (ended.exitCode !== 0) throw new Error(`skopeo ${args.join(' ')}: ${ended.stderr.toString()}`)
  return ended.stdout.toString()
}

interface Inspected {
  readonly config: { readonly Cmd: readonly string[] }
  readonly rootfs: { readonly diff_ids: readonly string[] }
}

describe('archives of built images', () => {
  const cairn = new Cairn()
  const saved = `${cairn.directory}/saved.tar`
  let id = ''

  beforeAll(async () => {
    await cairn.ok(['import', '-', 'base'], { stdin: busyboxArchive() })
    const dockerfile =
      'FROM base\nRUN echo made > /made\nCOPY <<EOF /inline\ntext\nEOF\nCMD ["cat", "/made", "/inline"]\n'
    await cairn.ok(['build', '-q', '-t', 'app:1', '-'], { stdin: dockerfile })
    id = (await cairn.ok(['images', '-q', '--no-trunc', 'app:1'])).trim()
    await cairn.ok(['save', '-o', saved, 'app:1'])
  })
  afterAll(() => cairn[Symbol.dispose]())

  test('skopeo reads as docker-archive and as oci-archive, with one config', () => {
    const [docker, oci] = [`docker-archive:${saved}`, `oci-archive:${saved}`].map(
      (source) => JSON.parse(skopeo('inspect', '--config', source)) as Inspected,
    )
    expect(docker?.config.Cmd).toEqual(['cat', '/made', '/inline'])
    expect(docker?.rootfs.diff_ids).toHaveLength(3)
    expect(oci).toEqual(docker as Inspected)
  })

  test.each(['docker-archive', 'oci-archive'])('come back from skopeo as %s with their ID, and run', async (form) => {
    const copy = `${cairn.directory}/${form}.tar`
    skopeo('copy', '--insecure-policy', `oci-archive:${saved}`, `${form}:${copy}:docker.io/library/back:1`)
    await cairn.ok(['load', '-q', '-i', copy])
    expect(await cairn.ok(['run', '--rm', id])).toBe('made\ntext\n')
  })
})
