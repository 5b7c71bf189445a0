import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { linkSync, lutimesSync, mkdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { BuildBench, type Listing } from './fixtures/build-bench.ts'

let bench: BuildBench
beforeAll(async () => {
  bench = await BuildBench.open()
})
afterAll(() => bench[Symbol.dispose]())

/** Makes the context anew with these files; a name that ends in `/` is a directory, a value like `-> x` a symlink. */
function context(files: Readonly<Record<string, string>>): void {
  rmSync(bench.context, { recursive: true })
  mkdirSync(bench.context, { mode: 0o755 })
  for (const [path, content] of Object.entries(files)) {
    if (path.endsWith('/')) bench.dir(path.slice(0, -1))
    else if (content.startsWith('-> ')) bench.symlink(path, content.slice(3))
    else bench.file(path, content)
  }
}

/** What the image has besides busybox after these lines, the values without owner and mode where those are usual. */
async function files(...lines: string[]): Promise<Listing> {
  const { files: all } = await bench.build(`FROM busybox\n${lines.join('\n')}\n`)
  return Object.fromEntries(
    Object.entries(all).map(([path, text]) => [
      path,
      text.replace(/^file 644 0:0 /, '').replace(/^dir 755 0:0$/, 'dir'),
    ]),
  )
}

async function message(...lines: string[]): Promise<string> {
  return (await bench.failure(`FROM busybox\n${lines.join('\n')}\n`)).message
}

describe('COPY --parents', () => {
  beforeAll(() =>
    context({
      'a/b/c.txt': 'c',
      'a/b/d.md': 'd',
      'a/e.txt': 'e',
      'x/y/z.txt': 'z',
      'top.txt': 't',
      'to-a': '-> a',
      'a/empty/': '',
    }),
  )

  test('keeps the path of a file below the destination', async () => {
    expect(await files('COPY --parents a/b/c.txt top.txt /d/')).toEqual({
      '/d': 'dir',
      '/d/a': 'dir',
      '/d/a/b': 'dir',
      '/d/a/b/c.txt': '"c"',
      '/d/top.txt': '"t"',
    })
  })

  test('keeps only what stands after the pivot', async () => {
    expect(await files('COPY --parents a/./b/c.txt x/./y/z.txt /d/')).toEqual({
      '/d': 'dir',
      '/d/b': 'dir',
      '/d/b/c.txt': '"c"',
      '/d/y': 'dir',
      '/d/y/z.txt': '"z"',
    })
  })

  test('copies a directory whole', async () => {
    expect(await files('COPY --parents a/b /d/')).toEqual({
      '/d': 'dir',
      '/d/a': 'dir',
      '/d/a/b': 'dir',
      '/d/a/b/c.txt': '"c"',
      '/d/a/b/d.md': '"d"',
    })
  })

  test('finds files at any depth with **', async () => {
    expect(Object.keys(await files('COPY --parents **/*.txt /d/'))).toEqual([
      '/d',
      '/d/a',
      '/d/a/b',
      '/d/a/b/c.txt',
      '/d/a/e.txt',
      '/d/top.txt',
      '/d/x',
      '/d/x/y',
      '/d/x/y/z.txt',
    ])
    expect(Object.keys(await files('COPY --parents ./a/./**/*.md /d/'))).toEqual(['/d', '/d/b', '/d/b/d.md'])
  })

  test('leaves out what is excluded', async () => {
    expect(Object.keys(await files('COPY --parents --exclude=**/c.* --exclude=x **/*.txt /d/'))).toEqual([
      '/d',
      '/d/a',
      '/d/a/e.txt',
      '/d/top.txt',
    ])
  })

  test('gives implied directories the mode of their source', async () => {
    context({ 'p/q/r': 'r' })
    bench.dir('p/q', 0o700)
    expect(await files('COPY --parents p/q/r /d/')).toEqual({
      '/d': 'dir',
      '/d/p': 'dir',
      '/d/p/q': 'dir 700 0:0',
      '/d/p/q/r': '"r"',
    })
  })

  test('fails for a path that is not there, not for a wildcard without a match', async () => {
    context({ a: 'a' })
    expect(await message('COPY --parents no/where /d/')).toContain('"/no/where": not found')
    expect(await files('COPY --parents no/*.c a /d/')).toEqual({ '/d': 'dir', '/d/a': '"a"' })
  })
})

describe('COPY --exclude', () => {
  beforeAll(() =>
    context({ 't/a.txt': 'a', 't/b.md': 'b', 't/s/a.txt': 'sa', 't/s/keep.txt': 'k', 'home.txt': 'h', 'home.md': 'm' }),
  )

  test('leaves out what matches below the source, whatever .dockerignore can say', async () => {
    expect(Object.keys(await files('COPY --exclude=*.txt t /d'))).toEqual([
      '/d',
      '/d/b.md',
      '/d/s',
      '/d/s/a.txt',
      '/d/s/keep.txt',
    ])
    expect(Object.keys(await files('COPY --exclude=**/*.txt --exclude=!**/keep.txt t /d'))).toEqual([
      '/d',
      '/d/b.md',
      '/d/s',
      '/d/s/keep.txt',
    ])
    expect(Object.keys(await files('COPY --exclude=s t /d'))).toEqual(['/d', '/d/a.txt', '/d/b.md'])
  })

  test('counts for sources that are files, too', async () => {
    expect(await files('COPY --exclude=*.txt home* /d/')).toEqual({ '/d': 'dir', '/d/home.md': '"m"' })
  })

  test('counts for ADD and for other stages', async () => {
    expect(Object.keys(await files('ADD --exclude=*.txt t /d'))).not.toContain('/d/a.txt')
    const { files: own } = await bench.build(
      'FROM busybox AS s\nCOPY t /t\nFROM scratch\nCOPY --from=s --exclude=s /t /\n',
    )
    expect(Object.keys(own)).toEqual(['/a.txt', '/b.md'])
  })
})

describe('COPY --chown and --chmod', () => {
  beforeAll(() => {
    context({ f: 'f', 'd/x': 'x', 'd/l': '-> x' })
    bench.file('d/x', 'x', 0o711)
  })

  test('fails for names that the image does not know', async () => {
    expect(await message('COPY --chown=nobody-here f /f')).toBe(
      'unable to find user nobody-here: no matching entries in passwd file',
    )
    expect(await message('COPY --chown=1:no-group f /f')).toContain('unable to find group no-group')
    expect((await bench.failure('FROM scratch\nCOPY --chown=root f /f\n')).message).toContain(
      'unable to find user root',
    )
  })

  test('takes a user with a colon for the user alone', async () => {
    expect(await files('COPY --chown=app: f /f')).toEqual({ '/f': 'file 644 1000:1000 "f"' })
  })

  test('looks names up in the image as it is at that step', async () => {
    expect(await files('RUN echo "late:x:77:78::/:/bin/sh" >> /etc/passwd', 'COPY --chown=late f /f')).toMatchObject({
      '/f': 'file 644 77:78 "f"',
    })
  })

  test('takes a symbolic mode for files and directories, not for links and made parents', async () => {
    expect(await files('COPY --chmod=u=rwX,go=rX,o-r d /n/d')).toEqual({
      '/n': 'dir',
      '/n/d': 'dir',
      '/n/d/l': 'symlink -> x',
      '/n/d/x': 'file 751 0:0 "x"',
    })
    expect(await files('COPY --chmod=+x f /f')).toEqual({ '/f': 'file 755 0:0 "f"' })
    expect(await files('COPY --chmod=g=u,o= f /f')).toEqual({ '/f': 'file 660 0:0 "f"' })
  })
})

describe('COPY onto what is there', () => {
  beforeAll(() => context({ f: 'f', 'd/x': 'x', 'd/sub/y': 'y', 'over/sub': 'file' }))

  test('refuses a directory where a file is, and a file where a directory is', async () => {
    expect(await message('COPY f /file', 'COPY d /file')).toBe('cannot copy to non-directory: /file')
    expect(await message('COPY f /file', 'COPY f /file/x')).toBe('mkdir /file: not a directory')
    expect(await message('COPY d /d', 'COPY over /d')).toBe('cannot replace to directory /d/sub with file')
    expect(await message('COPY over /d', 'COPY d /d')).toBe('cannot copy to non-directory: /d/sub')
    expect(await message('COPY f /f', 'COPY f /f/')).toBe('mkdir /f: not a directory')
  })

  test('refuses what symlinks of the image make endless', async () => {
    expect(await message('RUN ln -s /loop /loop', 'COPY f /loop/f')).toContain('too many levels of symbolic links')
  })

  test('gives a newly made top directory 0755 root:root, or what --chown and --chmod say', async () => {
    bench.dir('d', 0o700)
    expect(await files('COPY d /new')).toMatchObject({ '/new': 'dir' })
    expect(await files('COPY --chown=5 --chmod=711 d /new')).toMatchObject({ '/new': 'dir 711 5:5' })
  })

  test('puts several sources without a slash where docker puts them', async () => {
    expect(await files('COPY f over/sub /one')).toEqual({ '/one': '"file"' })
  })
})

describe('COPY --link', () => {
  test('gives the same layer on any base and does not follow its symlinks', async () => {
    context({ f: 'f' })
    const one = await bench.build('FROM busybox\nRUN ln -s /tmp /to\nCOPY --link f /to/f\n')
    const other = await bench.build('FROM scratch\nCOPY --link f /to/f\n')
    expect(one.config.rootfs.diff_ids.at(-1)).toBe(other.config.rootfs.diff_ids[0] as never)
    expect(one.files).toMatchObject({ '/to': 'dir 755 0:0', '/to/f': 'file 644 0:0 "f"' })
    expect(other.shown.map(({ cached }) => cached)).toEqual([true])
  })
})

describe('COPY and what files have besides bytes', () => {
  test('keeps extended attributes that users and capabilities set', async () => {
    context({ f: 'f' })
    const set = (...args: string[]): void => {
      const { exitCode, stderr } = Bun.spawnSync(['setfattr', ...args, `${bench.context}/f`])
      if (exitCode !== 0) throw new Error(stderr.toString())
    }
    set('-n', 'user.note', '-v', 'text')
    set('-n', 'security.capability', '-v', '0x0100000200040000000000000000000000000000')
    set('-n', 'trusted.secret', '-v', 'x')
    const { files: own, tree } = await bench.build('FROM busybox\nCOPY f /f\nRUN cp -a /f /never && cat /f\n')
    expect(Object.keys(Object.fromEntries(tree.lookup('/f')?.xattrs ?? []))).toEqual([
      'security.capability',
      'user.note',
    ])
    expect(own['/f']).toEndWith('user.note=text')
  })

  test('keeps hard links among the files of one source', async () => {
    context({ 'd/b': 'same', 'd/z': 'other' })
    linkSync(`${bench.context}/d/b`, `${bench.context}/d/a`)
    linkSync(`${bench.context}/d/b`, `${bench.context}/outside`)
    const { config } = await bench.build(
      'FROM busybox\nCOPY . /c\nRUN test "$(stat -c %i /c/d/a)" = "$(stat -c %i /c/d/b)"\n',
    )
    const layer = bench.layer(config.rootfs.diff_ids[1] as never)
    expect(layer.lookup('/c/d/a')?.inode).toBeDefined()
    expect(layer.lookup('/c/d/a')?.inode).toBe(layer.lookup('/c/outside')?.inode as string)
    expect(layer.lookup('/c/d/z')?.inode).toBeUndefined()
  })

  test('keeps real times to the second, as docker does, those before 1970 too', async () => {
    context({ new: 'n', old: 'o', 'd/x': 'x', l: '-> new' })
    utimesSync(`${bench.context}/new`, 1_600_000_000.25, 1_600_000_000.25)
    Bun.spawnSync(['touch', '-d', '@-5', `${bench.context}/old`])
    utimesSync(`${bench.context}/d`, 1_500_000_000, 1_500_000_000)
    lutimesSync(`${bench.context}/l`, 1_400_000_000, 1_400_000_000)
    const { tree } = await bench.build('FROM busybox\nCOPY . /c\n', { timestamps: 'real' })
    const time = (path: string): unknown => {
      const entry = tree.lookup(path)
      return [entry?.mtimeSeconds, entry?.mtimeNanoseconds]
    }
    expect(time('/c/new')).toEqual([1_600_000_000, 0])
    expect(time('/c/old')).toEqual([-5, 0])
    expect(time('/c/d')).toEqual([1_500_000_000, 0])
    expect(time('/c/l')).toEqual([1_400_000_000, 0])
  })

  test('keeps device files', async () => {
    context({})
    if (Bun.spawnSync(['mknod', `${bench.context}/loop`, 'b', '7', '200']).exitCode !== 0)
      throw new Error('mknod failed')
    expect(await files('COPY . /c')).toMatchObject({
      '/c/loop': expect.stringMatching(/^block-device \d+ 0:0 7,200$/) as string,
    })
  })

  test('makes empty files of sockets', async () => {
    context({ 'd/f': 'f' })
    const server = Bun.listen({ unix: `${bench.context}/d/socket`, socket: { data: () => undefined } })
    try {
      expect(await files('COPY d /d')).toEqual({ '/d': 'dir', '/d/f': '"f"', '/d/socket': 'file 755 0:0 ""' })
    } finally {
      server.stop(true)
    }
  })

  test('takes names with any characters', async () => {
    context({ 'd/a b': '1', 'd/ä€😀': '2', 'd/-n': '3', 'd/new\nline': '4', 'd/\'q"': '5', 'd/*': '6' })
    expect(await files('COPY d /d')).toEqual({
      '/d': 'dir',
      '/d/\'q"': '"5"',
      '/d/*': '"6"',
      '/d/-n': '"3"',
      '/d/a b': '"1"',
      '/d/new\nline': '"4"',
      '/d/ä€😀': '"2"',
    })
  })

  test('copies files larger than any buffer whole', async () => {
    context({})
    const bytes = new Uint8Array(5_000_001).map((_, index) => index * 31 + (index >> 8))
    bench.file('big', bytes)
    const { files: own } = await bench.build('FROM busybox\nCOPY big /big\nRUN sha256sum /big | cut -c1-64 > /sum\n')
    const sha256 = (data: Uint8Array | string): string => Bun.CryptoHasher.hash('sha256', data, 'hex')
    expect(own).toEqual({
      '/big': `file 644 0:0 ${sha256(bytes)}`,
      '/sum': `file 644 0:0 ${sha256(`${sha256(bytes)}\n`)}`,
    })
  })
})

describe('COPY of what is not there', () => {
  beforeAll(() => context({ a: 'a', 'd/x': 'x', dangling: '-> nowhere', '.dockerignore': 'd\n' }))

  test.each([
    ['COPY missing /', '"/missing": not found'],
    ['COPY a missing /', '"/missing": not found'],
    ['COPY d/x /', '"/d/x": not found'],
    ['COPY dangling /', 'not found'],
    ['COPY ../../../etc/passwd /', '"/etc/passwd": not found'],
    ['COPY --from=busybox /nope /', '"/nope": not found'],
  ])('fails for %s, with the line', async (line, text) => {
    const error = await bench.failure(`FROM busybox\nRUN true\n${line}\n`)
    expect(error).toMatchObject({ code: 'CONTEXT_PATH_UNKNOWN', range: { start: 3, end: 3 } })
    expect(error.message).toContain(text)
  })
})

describe('ADD', () => {
  test('unpacks xz and what stands behind concatenated gzip members', async () => {
    context({ 'in/f': 'f' })
    const tar = Uint8Array.from(Bun.spawnSync(['tar', '-C', `${bench.context}/in`, '-c', 'f']).stdout)
    bench.file('a.tar.xz', Bun.spawnSync(['xz', '-c'], { stdin: tar }).stdout)
    bench.file('b.tar.gz', Buffer.concat([Bun.gzipSync(tar.subarray(0, 700)), Bun.gzipSync(tar.subarray(700))]))
    expect(await files('ADD a.tar.xz /x', 'ADD b.tar.gz /g')).toEqual({
      '/x': 'dir',
      '/x/f': '"f"',
      '/g': 'dir',
      '/g/f': '"f"',
    })
  })

  test('copies an archive as it is with --unpack=false', async () => {
    const own = await files('ADD --unpack=false a.tar.xz /x/')
    expect(Object.keys(own)).toEqual(['/x', '/x/a.tar.xz'])
  })

  test('keeps an archive inside its destination', async () => {
    writeFileSync(`${bench.directory}/evil`, 'evil')
    const evil = (name: string, ...args: string[]): void => {
      const made = Bun.spawnSync(['tar', '-P', '-C', bench.directory, '-cf', `${bench.context}/${name}`, ...args])
      if (made.exitCode !== 0) throw new Error(made.stderr.toString())
    }
    evil('absolute.tar', '--transform=s,^,/etc/,', 'evil')
    evil('above.tar', '--transform=s,^,../../,', 'evil')
    expect(await files('ADD absolute.tar /d')).toEqual({ '/d': 'dir', '/d/etc': 'dir', '/d/etc/evil': '"evil"' })
    expect(await bench.failure('FROM busybox\nADD above.tar /d\n')).toMatchObject({ code: 'LAYER_UNSAFE' })
  })

  test('follows symlinks of the archive inside the directory that it is unpacked into', async () => {
    context({ 'in/sub/f': 'through' })
    bench.symlink('in/out', '../../../../../../../../etc')
    const tar = (args: string[]): void => {
      const made = Bun.spawnSync(['tar', '-C', `${bench.context}/in`, ...args])
      if (made.exitCode !== 0) throw new Error(made.stderr.toString())
    }
    tar(['-cf', `${bench.context}/a.tar`, 'out'])
    tar(['-rf', `${bench.context}/a.tar`, '--transform=s,^sub,out,', 'sub/f'])
    const { files: own } = await bench.build('FROM busybox\nADD a.tar /d\n')
    expect(own).toMatchObject({ '/d/etc/f': 'file 644 0:0 "through"' })
  })
})

describe('.dockerignore', () => {
  test('gives way to the file beside the Dockerfile that has its name', async () => {
    context({ a: 'a', b: 'b', '.dockerignore': 'a\n', 'other.Dockerfile.dockerignore': 'b\n' })
    bench.file('other.Dockerfile', 'FROM scratch\nCOPY a* b* /\n')
    expect(Object.keys((await bench.buildFile(`${bench.context}/other.Dockerfile`)).files)).toEqual(['/a'])
    bench.file('Dockerfile', 'FROM scratch\nCOPY a* b* /\n')
    expect(Object.keys((await bench.buildFile(undefined)).files)).toEqual(['/b'])
  })

  test('may exclude the Dockerfile, which is read all the same', async () => {
    context({ a: 'a', '.dockerignore': 'Dockerfile\n.dockerignore\n' })
    expect(Object.keys((await bench.build('FROM scratch\nCOPY . /\n')).files)).toEqual(['/a'])
    expect((await bench.failure('FROM scratch\nCOPY Dockerfile /\n')).message).toContain('"/Dockerfile": not found')
  })

  test('counts for bind mounts of the context', async () => {
    context({ a: 'a', b: 'b', '.dockerignore': 'b\nDockerfile\n.dockerignore' })
    expect(await files('RUN --mount=target=/ctx ls -A /ctx > /list')).toEqual({ '/list': '"a\\n"' })
  })

  test('fails with its name for a pattern that is none', async () => {
    context({ '.dockerignore': 'ok\n[a\n' })
    const error = await bench.failure('FROM scratch\nCOPY . /\n')
    expect(error.code).toBe('IGNORE_INVALID')
    expect(error.message).toContain('[a')
  })
})
