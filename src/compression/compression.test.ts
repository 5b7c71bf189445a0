import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from 'bun:test'
import * as fc from 'fast-check'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CairnError } from '../errors/error.ts'
import { type CompressionSettings, compress, compressBlock } from './compress.ts'
import { type DecompressOptions, decompress } from './decompress.ts'
import { detectCompression } from './detect.ts'

setDefaultTimeout(30_000)

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'cairn-compression-'))
})
afterEach(() => {
  rmSync(root, { recursive: true, force: true })
})

async function* pieces(bytes: Uint8Array, size = bytes.length): AsyncGenerator<Uint8Array> {
  const piece = new Uint8Array(Math.max(size, 1))
  for (let offset = 0; offset < bytes.length; offset += piece.length) {
    const count = Math.min(piece.length, bytes.length - offset)
    piece.set(bytes.subarray(offset, offset + count))
    yield piece.subarray(0, count)
    piece.fill(0xee)
  }
}

async function joined(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const copies: Uint8Array[] = []
  for await (const piece of source) copies.push(new Uint8Array(piece))
  return Buffer.concat(copies)
}

const unpack = (bytes: Uint8Array, options: DecompressOptions = {}, size = bytes.length): Promise<Buffer> =>
  joined(decompress(pieces(bytes, size), { name: 'blob', ...options }))

async function failure(promise: Promise<unknown>): Promise<CairnError> {
  try {
    await promise
  } catch (error) {
    if (error instanceof CairnError) return error
    throw error
  }
  throw new Error('did not fail')
}

/** Output of a program of the field for `input`. */
function run(command: string, input: Uint8Array): Buffer {
  const result = Bun.spawnSync(['sh', '-c', command], { stdin: input })
  if (result.exitCode !== 0) throw new Error(`${command}: ${result.stderr.toString()}`)
  return result.stdout
}

/** Text, noise, runs and repetitions near and far: 1.5 MiB that give every kind of block. */
function sample(): Uint8Array {
  const noise = new Uint8Array(100_000)
  let state = 1
  for (let index = 0; index < noise.length; index++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    noise[index] = state >>> 24
  }
  const words = Array.from({ length: 20_000 }, (_, index) => `line ${index} of ${(index * 7919) % 1009}`).join('\n')
  return Buffer.concat([Buffer.from(words), noise, Buffer.alloc(500_000), noise.subarray(100), Buffer.from(words)])
}

const original = sample()
const programs = {
  gzip: ['gzip -1', 'gzip -9'],
  zstd: ['zstd -1', 'zstd -19 --long=24 --check', 'zstd --no-check --no-content-size'],
  bzip2: ['bzip2 -1', 'bzip2 -9'],
  xz: [
    'xz -0',
    'xz -9',
    'xz --check=none',
    'xz --check=crc32',
    'xz --check=sha256',
    'xz -T2 --block-size=400KiB',
    'xz --lzma2=preset=4,lc=0,lp=4,pb=0',
  ],
} as const
type Format = keyof typeof programs
const formats = Object.keys(programs) as Format[]
const commands = formats.flatMap((format) => programs[format].map((command) => [format, command] as const))

describe('decompress()', () => {
  test.each(commands)('reads %s as `%s` writes it, in pieces of any size', async (format, command) => {
    const bytes = run(`${command} -c`, original)
    expect(detectCompression(bytes)).toBe(format)
    for (const size of [bytes.length, 4099]) expect(Buffer.compare(await unpack(bytes, {}, size), original)).toBe(0)
  })

  test.each(formats)('reads %s byte by byte', async (format) => {
    const bytes = run(`${programs[format][0]} -c`, Buffer.from('short and short again'))
    expect((await unpack(bytes, {}, 1)).toString()).toBe('short and short again')
  })

  test.each(formats)('reads %s of nothing', async (format) => {
    expect(await unpack(run(`${programs[format][0]} -c`, new Uint8Array(0)))).toHaveLength(0)
  })

  test.each(formats)('reads all of several %s files one after the other', async (format) => {
    const one = run(`${programs[format][0]} -c`, Buffer.from('one '))
    const big = run(`${programs[format][0]} -c`, original)
    expect((await unpack(Buffer.concat([one, one]))).toString()).toBe('one one ')
    expect(
      Buffer.compare(await unpack(Buffer.concat([one, big])), Buffer.concat([Buffer.from('one '), original])),
    ).toBe(0)
  })

  test('reads skippable zstd frames before, between and after others', async () => {
    const skippable = Buffer.from([0x5f, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4])
    const frame = run('zstd -c', Buffer.from('frame'))
    const bytes = Buffer.concat([skippable, frame, skippable, frame, skippable])
    expect(detectCompression(bytes)).toBe('zstd')
    for (const size of [1, bytes.length]) expect((await unpack(bytes, {}, size)).toString()).toBe('frameframe')
  })

  test('reads xz streams with padding between and after', async () => {
    const one = run('xz -c', Buffer.from('one '))
    expect((await unpack(Buffer.concat([one, Buffer.alloc(8), one, Buffer.alloc(4)]))).toString()).toBe('one one ')
  })

  test('passes on as it is what is not compressed', async () => {
    for (const text of ['', 'x', 'BZh9 is no bzip2', 'plain'])
      expect((await unpack(Buffer.from(text), {}, 2)).toString()).toBe(text)
  })

  test.each(formats)('fails with COMPRESSION_INVALID naming the data when %s is cut off anywhere', async (format) => {
    const bytes = run(`${programs[format][0]} -c`, original.subarray(0, 200_000))
    const cuts = [bytes.length - 1, bytes.length - 5, bytes.length - 13, bytes.length >> 1, 40, 12]
    for (const cut of cuts) {
      const error = await failure(unpack(bytes.subarray(0, cut)))
      expect(error.code).toBe('COMPRESSION_INVALID')
      expect(error.message).toContain('blob')
    }
  })

  test.each(formats)('fails with COMPRESSION_INVALID when a second %s file is cut off', async (format) => {
    const one = run(`${programs[format][0]} -c`, Buffer.from('one '))
    for (const cut of [1, 4, one.length - 1])
      expect((await failure(unpack(Buffer.concat([one, one.subarray(0, cut)])))).code).toBe('COMPRESSION_INVALID')
  })

  test.each(formats)('fails with COMPRESSION_INVALID when other data follows %s', async (format) => {
    const one = run(`${programs[format][0]} -c`, Buffer.from('one '))
    expect((await failure(unpack(Buffer.concat([one, Buffer.from('what is this?')])))).code).toBe('COMPRESSION_INVALID')
  })

  test.each(['gzip', 'bzip2', 'xz', 'zstd'] as const)(
    'notices a changed bit in %s, and fails with nothing else',
    async (format) => {
      const text = Buffer.from(original.subarray(0, 20_000))
      const bytes = run(`${format === 'zstd' ? 'zstd --check' : format} -c`, text)
      let noticed = 0
      for (let bit = 0; bit < bytes.length * 8; bit += Math.max(1, Math.floor((bytes.length * 8) / 150))) {
        const changed = Buffer.from(bytes)
        changed[bit >> 3]! ^= 1 << (bit & 7)
        try {
          const output = await unpack(changed)
          // Changed magic is no compressed data; some header bits (a name, a time, a hint) change nothing that counts.
          const isHarmless = detectCompression(changed) === 'none' || Buffer.compare(output, text) === 0
          expect(isHarmless).toBe(true)
        } catch (error) {
          if (!(error instanceof CairnError)) throw error
          expect(['COMPRESSION_INVALID', 'NOT_SUPPORTED', 'LIMIT_EXCEEDED']).toContain(error.code)
          noticed++
        }
      }
      expect(noticed).toBeGreaterThan(120)
    },
  )

  test('fails with nothing but its codes when given any bytes after a magic', async () => {
    const magics = formats.map((format) => run(`${programs[format][0]} -c`, Buffer.from('x')).subarray(0, 14))
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...magics), fc.uint8Array({ maxLength: 400 }), async (magic, rest) => {
        const error = await failure(unpack(Buffer.concat([magic, rest]))).catch(() => undefined)
        if (error !== undefined)
          expect(['COMPRESSION_INVALID', 'NOT_SUPPORTED', 'LIMIT_EXCEEDED']).toContain(error.code)
      }),
      { numRuns: 300 },
    )
  })

  test('holds little of a zstd bomb in memory, of which 64 KiB stand for 2 GiB', async () => {
    const program = `
      const { decompress } = await import(${JSON.stringify(join(import.meta.dir, 'decompress.ts'))})
      const blocks = new Uint8Array(4 * 16 * 4096)
      // A block of 128 KiB that repeats one byte (RFC 8878 §3.1.1.2).
      for (let at = 0; at < blocks.length; at += 4) blocks.set([0x02, 0x00, 0x10, 0x00], at)
      async function* source() {
        yield new Uint8Array([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38])
        yield blocks
      }
      let size = 0
      for await (const piece of decompress(source())) if ((size += piece.length) > 300e6) break
      // The largest size that a process had counts what its parent had until exec(2), but for this one.
      console.log(size, /VmHWM:\\s*(\\d+)/.exec(await Bun.file('/proc/self/status').text())[1])`
    const child = Bun.spawn([process.execPath, '-e', program], { stdout: 'pipe', stderr: 'inherit' })
    const [size = 0, kilobytes = 0] = (await new Response(child.stdout).text()).split(' ').map(Number)
    expect(size).toBeGreaterThan(300e6)
    expect(kilobytes).toBeLessThan(300_000)
  })

  describe('of frames of every kind in one zstd file', () => {
    const random = [1, 2, 3, 4].map(() => crypto.getRandomValues(new Uint8Array(50_000)))
    const noise = new Uint8Array(Buffer.concat(random))
    const parts = [
      original.subarray(0, 300_000),
      noise,
      new Uint8Array(0),
      original.subarray(0, 1000),
      new Uint8Array(200_000),
      original.subarray(0, 1_500_000),
      noise.subarray(0, 7),
    ]
    const frames = parts.map((part, index) =>
      index === 1 ? compressBlock(new Uint8Array(part), { format: 'zstd' }) : Bun.zstdCompressSync(part, { level: 3 }),
    )
    const skipped = new Uint8Array([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3])
    const whole = Buffer.concat([skipped, ...frames.slice(0, 3), skipped, ...frames.slice(3), skipped])

    test.each([1 << 20, 65_536, 997])('gives their content in order, from pieces of %d bytes', async (size) => {
      const found = await joined(decompress(pieces(whole, size)))
      expect(Buffer.compare(found, Buffer.concat(parts))).toBe(0)
    })

    test('fails where one is cut off, or has other bytes than its sum says', async () => {
      const raw = compressBlock(new Uint8Array(noise), { format: 'zstd' })
      for (const cut of [8, 12, 5000, raw.length - 1])
        expect((await failure(joined(decompress(pieces(raw.subarray(0, cut)))))).code).toBe('COMPRESSION_INVALID')
      const changed = new Uint8Array(raw)
      changed[30_000] = (changed[30_000] as number) ^ 1
      expect((await failure(joined(decompress(pieces(changed))))).code).toBe('COMPRESSION_INVALID')
    })
  })

  test('says clearly which filters of xz it lacks', async () => {
    const error = await failure(unpack(run('xz --x86 --lzma2 -c', original.subarray(0, 1000))))
    expect(error.code).toBe('NOT_SUPPORTED')
    expect(error.message).toContain('filter')
  })

  test('refuses an xz dictionary that takes too much memory', async () => {
    const bytes = run('xz --lzma2=dict=1GiB -c', Buffer.from('small'))
    expect((await failure(unpack(bytes))).code).toBe('LIMIT_EXCEEDED')
  })

  test('stops a bomb by size and by ratio before it has run far', async () => {
    writeFileSync(`${root}/bomb.gz`, run('head -c 300000000 /dev/zero | gzip -9', new Uint8Array(0)))
    const bomb = readFileSync(`${root}/bomb.gz`)
    const drain = async (options: DecompressOptions): Promise<number> => {
      let size = 0
      for await (const piece of decompress(pieces(bomb, 65_536), { name: 'bomb', ...options })) size += piece.length
      return size
    }
    expect((await failure(drain({ maxBytes: 10_000_000 }))).code).toBe('LIMIT_EXCEEDED')
    expect((await failure(drain({ maxRatio: 100 }))).code).toBe('LIMIT_EXCEEDED')
    expect(await drain({ maxRatio: 2000, maxBytes: 300_000_000 })).toBe(300_000_000)
  })

  test('lets a small file have any ratio', async () => {
    expect(await unpack(run('gzip -9', new Uint8Array(1_000_000)), { maxRatio: 10 })).toHaveLength(1_000_000)
  })

  test.each(formats)('ends its source when the reader of %s leaves early', async (format) => {
    const bytes = run(`${programs[format][0]} -c`, original)
    let isClosed = false
    const source = (async function* () {
      try {
        yield* pieces(bytes, 1000)
      } finally {
        isClosed = true
      }
    })()
    for await (const _ of decompress(source)) break
    expect(isClosed).toBe(true)
  })

  test('passes on the error of its source', async () => {
    const bytes = run('gzip -c', original)
    const source = (async function* () {
      yield bytes.subarray(0, 1000)
      throw new CairnError('NETWORK', 'connection lost')
    })()
    expect((await failure(joined(decompress(source)))).code).toBe('NETWORK')
  })
})

describe('compress()', () => {
  const cases = [
    ['gzip', 1],
    ['gzip', 6],
    ['gzip', 9],
    ['zstd', 1],
    ['zstd', 3],
    ['zstd', 19],
  ] as const
  test.each(cases)('%s at level %d is read by the program of that name', async (format, level) => {
    const bytes = await joined(compress(pieces(original), { format, level }))
    expect(bytes.length).toBeLessThan(original.length)
    expect(Buffer.compare(run(`${format} -dc`, bytes), original)).toBe(0)
    expect(Buffer.compare(await unpack(bytes), original)).toBe(0)
  })

  test.each(['gzip', 'zstd'] as const)('%s gives the same bytes whatever the pieces and threads', async (format) => {
    const base = await joined(compress(pieces(original), { format }))
    for (const size of [1000, 65_536, 1024 * 1024 + 1])
      expect(Buffer.compare(await joined(compress(pieces(original, size), { format })), base)).toBe(0)
    const compressor = async (block: Uint8Array<ArrayBuffer>, settings: CompressionSettings): Promise<Uint8Array> => {
      await Bun.sleep(Math.random() * 5)
      return compressBlock(block, settings)
    }
    expect(Buffer.compare(await joined(compress(pieces(original), { format, compressor, concurrency: 3 })), base)).toBe(
      0,
    )
  })

  test.each(['gzip', 'zstd'] as const)('%s of nothing is a whole file', async (format) => {
    const bytes = await joined(compress(pieces(new Uint8Array(0)), { format }))
    expect(run(`${format} -dc`, bytes)).toHaveLength(0)
  })

  test('refuses a level that the format does not have', async () => {
    expect((await failure(joined(compress(pieces(original), { format: 'zstd', level: 23 })))).code).toBe('USAGE')
    expect((await failure(joined(compress(pieces(original), { format: 'gzip', level: 13 })))).code).toBe('USAGE')
    expect((await failure(joined(compress(pieces(original), { format: 'gzip', level: -1 })))).code).toBe('USAGE')
  })

  test.each(['gzip', 'zstd'] as const)(
    '%s stores what does not get smaller, whole and readable by others',
    async (format) => {
      const dense = crypto.getRandomValues(new Uint8Array(65_536))
      const original = new Uint8Array(2_500_000).map((_, at) => (dense[at % 65_536] ?? 0) ^ (at >> 16))
      const bytes = await joined(compress(pieces(original), { format }))
      expect(bytes.length).toBeLessThan(original.length * 1.001)
      expect(Buffer.compare(await unpack(bytes), Buffer.from(original))).toBe(0)
      const other = Bun.spawnSync([format, '-dc'], { stdin: bytes })
      expect(Buffer.compare(other.stdout, Buffer.from(original))).toBe(0)
    },
  )

  test('passes on the error of a compressor and of its source', async () => {
    const compressor = (): Promise<Uint8Array> => Promise.reject(new CairnError('CANCELED', 'stopped'))
    expect((await failure(joined(compress(pieces(original), { format: 'gzip', compressor })))).code).toBe('CANCELED')
  })
})
