import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from 'bun:test'
import { BuildBench } from './fixtures/build-bench.ts'

// A machine that is busy otherwise is no reason to fail.
setDefaultTimeout(60_000)

let bench: BuildBench
beforeAll(async () => {
  bench = await BuildBench.open()
})
afterAll(() => bench[Symbol.dispose]())

/** What the last step of a build of these lines writes. */
async function output(...lines: string[]): Promise<string> {
  const { shown } = await bench.build(`FROM busybox\n${lines.join('\n')}\n`, { noCache: true })
  return shown.at(-1)?.log ?? ''
}

// What docker 28.5 does in each of these cases was looked up there.
describe('RUN --mount', () => {
  test('mounts parents before what is inside them, whatever their order', async () => {
    const mounts =
      '--mount=type=tmpfs,target=/a/b/c --mount=type=tmpfs,target=/a --mount=type=cache,id=nested,target=/a/b'
    expect(await output(`RUN ${mounts} awk '$2 ~ "^/a" { print $2 }' /proc/mounts`)).toBe('/a\n/a/b\n/a/b/c\n')
    expect(await output(`RUN ${mounts} true`, 'RUN ls -d /a 2>&1 || true')).toContain('No such file')
  })

  test('takes targets as relative to WORKDIR, with .. and doubled slashes, but not the root', async () => {
    const target = async (text: string): Promise<string> =>
      await output('WORKDIR /w', `RUN --mount=type=tmpfs,target=${text} awk '$3 == "tmpfs" { print $2 }' /proc/mounts`)
    expect(await target('q/../x')).toContain('\n/w/x\n')
    expect(await target('../y')).toContain('\n/y\n')
    expect(await target('//z/.')).toContain('\n/z\n')
    for (const root of ['..', '/', '/.', '../..', 'x/../..']) {
      const error = await bench.failure(`FROM busybox\nWORKDIR /w\nRUN --mount=type=tmpfs,target=${root} true\n`)
      expect(error.message).toContain('invalid mount target "/')
    }
  })

  test('follows symlinks on the way to a target inside the root file system, and leaves them as they are', async () => {
    const before = 'RUN mkdir /real && ln -s /real /link && ln -s ../../../../etc /real/up && ln -s /nowhere /dangling'
    const mounts = '--mount=type=tmpfs,target=/link --mount=type=cache,id=links,target=/link/sub/deep'
    expect(await output(before, `RUN ${mounts} awk '$2 ~ "real" { print $2 }' /proc/mounts`)).toBe(
      '/real\n/real/sub/deep\n',
    )
    expect(await output(before, `RUN --mount=type=tmpfs,target=/link/up/new ls -d /etc/new`)).toBe('/etc/new\n')
    const built = await bench.build(
      `FROM busybox\n${before}\nRUN ${mounts} true\nRUN --mount=type=tmpfs,target=/dangling/x test -d /nowhere/x\n`,
    )
    expect(Object.keys(built.files)).toEqual(['/dangling', '/link', '/real', '/real/up'])
  })

  test('covers files and directories that are there, and what they hold is there again afterwards', async () => {
    bench.file('other', 'other')
    const source = [
      'RUN mkdir /d && echo d > /d/f && echo file > /file',
      'RUN --mount=type=bind,source=other,target=/file --mount=type=tmpfs,target=/d cat /file; ls /d; touch /d/g',
    ]
    expect(await output(...source)).toBe('other')
    expect(await output(...source, 'RUN cat /file /d/f; ls /d')).toBe('file\nd\nf\n')
  })

  test('tmpfs has a size, can be read-only, and the mode of the directory it covers', async () => {
    const lines = [
      'RUN mkdir -m 0750 /there',
      "RUN --mount=type=tmpfs,target=/new,size=8m --mount=type=tmpfs,target=/there --mount=type=tmpfs,target=/ro,ro stat -c '%n %a' /new /there; df -k /new | tail -1 | awk '{print $2}'; touch /ro/f 2>&1; cp /bin/busybox /new/echo && /new/echo runs",
    ]
    const text = await output(...lines)
    expect(text).toMatch(/^\/new 1777\n\/there 750\n8192\ntouch: \/ro\/f: Read-only file system\nruns\n$/)
  })

  test('one at /dev/shm stands in place of the default', async () => {
    const mounts = 'awk \'$2 ~ "^/dev/shm" { print $1, $2 }\' /proc/mounts'
    expect(await output(`RUN --mount=type=tmpfs,target=/dev/shm ${mounts}`)).toBe('tmpfs /dev/shm\n')
    expect(await output(`RUN ${mounts}`)).toBe('shm /dev/shm\n')
  })

  test('bind takes a file or a directory of the context, of a stage or of an image; what is missing is named', async () => {
    bench.file('ctx/f', 'context')
    await bench.importBase('image')
    const source = `FROM busybox AS stage
RUN mkdir /s && echo stage > /s/f
FROM busybox
RUN --mount=source=ctx,target=/c --mount=source=ctx/f,target=/cf --mount=from=stage,source=s,target=/s --mount=from=stage,source=/s/f,dst=/sf --mount=from=image,source=/etc/passwd,target=/p cat /c/f /cf /s/f /sf; wc -l < /p
`
    const { shown, files } = await bench.build(source)
    expect(shown.at(-1)?.log).toMatch(/^contextcontextstage\nstage\n\d+\n$/)
    expect(files).toEqual({})
    for (const mount of ['source=nope', 'from=image,source=/nope'])
      expect((await bench.failure(`FROM busybox\nRUN --mount=${mount},target=/x true\n`)).message).toContain('nope')
  })
})

describe('a heredoc of RUN', () => {
  const script = 'RUN <<EOF\nfalse\necho went on\nEOF\n'
  const cairn = '# syntax=cairn/dockerfile:1\n'

  test('goes on after a line that fails, as with docker, and ends there with extensions', async () => {
    expect((await bench.build(`FROM busybox\n${script}`)).shown.at(-1)?.log).toBe('went on\n')
    const error = await bench.failure(`${cairn}FROM busybox\n${script}`)
    expect(error.message).toContain('did not complete successfully: exit code: 1')
    const fine = 'RUN <<EOF\ntrue && echo one\nfalse || echo two\nif false; then :; fi\necho three\nEOF\n'
    expect((await bench.build(`${cairn}FROM busybox\n${fine}`)).shown.at(-1)?.log).toBe('one\ntwo\nthree\n')
  })

  test('with a program of its own, or read by a command, is run as it is, with extensions too', async () => {
    const own = 'RUN <<EOF\n#!/bin/sh\nfalse\necho went on\nEOF\n'
    const read = 'RUN sh <<EOF\nfalse\necho went on\nEOF\n'
    const plain = 'RUN false; echo went on\n'
    for (const lines of [own, read, plain])
      expect((await bench.build(`${cairn}FROM busybox\n${lines}`)).shown.at(-1)?.log).toBe('went on\n')
  })

  test('with extensions keeps the options of SHELL, and other shells than those of POSIX as they are', async () => {
    const error = await bench.failure(`${cairn}FROM busybox\nSHELL ["/bin/ash", "-x", "-c"]\n${script}`)
    expect(error.message).toContain('"/bin/ash -e -x -c false\\necho went on\\n"')
    const other = `${cairn}FROM busybox\nSHELL ["/bin/busybox", "sh", "-c"]\n${script}`
    expect((await bench.build(other)).shown.at(-1)?.log).toBe('went on\n')
  })
})
