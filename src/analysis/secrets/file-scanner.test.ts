import { describe, expect, test } from 'bun:test'
import { defaultScanLimits, FileScanner, type FileSecret } from './file-scanner.ts'
import { LiteralFinder } from './literal-finder.ts'
import { armoured, keyBody, randomText, tokenSamples } from './secret-samples.ts'
import { tokenRules } from './token-rules.ts'

function scan(text: string | Uint8Array, path = 'opt/file', pieceSize = Infinity): readonly FileSecret[] {
  const bytes = typeof text === 'string' ? new TextEncoder().encode(text) : text
  const scanner = new FileScanner()
  scanner.begin(path, bytes.length)
  for (let at = 0; at < bytes.length; at += pieceSize)
    scanner.push(bytes.subarray(at, Math.min(bytes.length, at + pieceSize)))
  return scanner.end().secrets
}

const idsIn = (text: string, path?: string): string[] => scan(text, path).map(({ rule }) => rule.id)

describe('LiteralFinder.find()', () => {
  test('finds every literal at every position, also in bytes that begin at an odd address', () => {
    const literals = ['abc', 'AKIA', '-----BEGIN', 'zz~', 'KIAAKI']
    const finder = new LiteralFinder(literals)
    for (const [number, literal] of literals.entries())
      for (const start of [0, 1])
        for (let at = 0; at < 12; at++)
          for (const tail of [0, 1, 2]) {
            const bytes = new Uint8Array(start + at + literal.length + tail).fill(0x2e)
            bytes.set(new TextEncoder().encode(literal), start + at)
            const found: number[][] = []
            finder.find(bytes.subarray(start), (one, position) => void found.push([one, position]))
            expect(found).toContainEqual([number, at])
          }
  })

  test('finds literals that overlap each other and itself', () => {
    const found: number[][] = []
    new LiteralFinder(['aaa', 'aab']).find(new TextEncoder().encode('aaaab'), (one, at) => void found.push([one, at]))
    expect(found.sort()).toEqual([
      [0, 0],
      [0, 1],
      [1, 2],
    ])
  })

  test('refuses a literal that is too short to be found', () => {
    expect(() => new LiteralFinder(['ab'])).toThrow(RangeError)
  })
})

describe('FileScanner', () => {
  test('has a sample for every rule', () => {
    expect(Object.keys(tokenSamples).sort()).toEqual(tokenRules.map(({ id }) => id).sort())
  })

  test.each(Object.keys(tokenSamples))('finds %s in text, in quotes and among bytes', (id) => {
    const sample = tokenSamples[id]?.() ?? ''
    expect(idsIn(`${sample}\n`)).toEqual([id])
    expect(idsIn(`token: '${sample}'\n`)).toEqual([id])
    const binary = Buffer.concat([Buffer.from([0x7f, 0x45, 0, 0xff]), Buffer.from(sample), Buffer.from([0, 0xfe])])
    expect(scan(binary).map(({ rule }) => rule.id)).toEqual([id])
  })

  test.each(Object.keys(tokenSamples))('takes no %s that stands in for one', (id) => {
    const sample = tokenSamples[id]?.() ?? ''
    // The same shape with random parts of nothing but x.
    const plain = sample.replace(/(?<![A-Za-z0-9])(?!eyJ)\w*?([A-Za-z0-9]{9,})/g, (all, random: string) =>
      all.replace(random, 'x'.repeat(random.length)),
    )
    expect(idsIn(plain)).toEqual([])
  })

  test.each([
    ['RSA PRIVATE KEY', 'private-key'],
    ['EC PRIVATE KEY', 'private-key'],
    ['PRIVATE KEY', 'private-key'],
    ['OPENSSH PRIVATE KEY', 'private-key'],
    ['ENCRYPTED PRIVATE KEY', 'encrypted-private-key'],
    ['PGP PRIVATE KEY BLOCK', 'pgp-private-key'],
  ])('finds a %s', (label, id) => {
    expect(idsIn(armoured(label, keyBody()))).toEqual([id])
    expect(idsIn(armoured(label, keyBody(), '\r\n'))).toEqual([id])
    // As a program has it in its source.
    expect(idsIn(`const key = "${armoured(label, keyBody(), String.raw`\n`)}"`)).toEqual([id])
    expect(idsIn(armoured(label, keyBody(), '\n    '))).toEqual([id])
  })

  test.each([
    'CERTIFICATE',
    'PUBLIC KEY',
    'RSA PUBLIC KEY',
    'PGP PUBLIC KEY BLOCK',
    'CERTIFICATE REQUEST',
    'X509 CRL',
    'DH PARAMETERS',
  ])('takes no %s for a secret', (label) => {
    expect(idsIn(armoured(label, keyBody()))).toEqual([])
  })

  test('takes no header without a key for one', () => {
    for (const text of [
      '-----BEGIN PRIVATE KEY-----\0-----END PRIVATE KEY-----\0',
      'if (text.includes("-----BEGIN RSA PRIVATE KEY-----")) return parse(text, options, somethingElse, andMore)',
      '-----BEGIN RSA PRIVATE KEY-----\n...\n-----END RSA PRIVATE KEY-----',
      `-----BEGIN RSA PRIVATE KEY-----\n${'x'.repeat(64)}\n-----END RSA PRIVATE KEY-----`,
      '-----BEGIN RSA PRIVATE KEY-----\n<your key here, in base64, with all of its lines>\n',
    ])
      expect(idsIn(text)).toEqual([])
  })

  test('tells a key behind a passphrase from one in the clear', () => {
    const encrypted = armoured('RSA PRIVATE KEY', keyBody()).replace(
      '-----\n',
      '-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0123456789ABCDEF\n\n',
    )
    expect(idsIn(encrypted)).toEqual(['encrypted-private-key'])
    const openssh = (cipher: string): string => {
      const head = Buffer.concat([
        Buffer.from('openssh-key-v1\0'),
        Buffer.from([0, 0, 0, cipher.length]),
        Buffer.from(cipher),
      ])
      return armoured('OPENSSH PRIVATE KEY', head.toString('base64').replace(/=+$/, '') + randomText(200))
    }
    expect(idsIn(openssh('none'))).toEqual(['private-key'])
    expect(idsIn(openssh('aes256-ctr'))).toEqual(['encrypted-private-key'])
  })

  test('knows the key of a Google service account', () => {
    const json = JSON.stringify(
      { type: 'service_account', private_key: armoured('PRIVATE KEY', keyBody(1600)) },
      undefined,
      2,
    )
    expect(idsIn(json)).toEqual(['gcp-service-account'])
  })

  test('tells an AWS ID and its secret as one', () => {
    const text = `[default]\naws_access_key_id = ${tokenSamples['aws-access-key-id']?.()}\n${tokenSamples['aws-secret-access-key']?.()}\n`
    expect(scan(text).map(({ rule, line }) => [rule.id, line])).toEqual([['aws-secret-access-key', 3]])
  })

  test.each([
    'AKIAIOSFODNN7EXAMPLE',
    'aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
    'ghp_${TOKEN}',
    'postgres://user:password@localhost/db',
    'postgres://app:${DB_PASSWORD}@db/app',
    'mysql://root:<password>@db',
    'redis://:changeme@cache:6379',
    'postgresql://scott:tiger@localhost/test',
    'postgres://u:s3cr3tW0rd@db.example.com/x',
  ])('takes %p for a placeholder', (text) => {
    expect(idsIn(text)).toEqual([])
  })

  test('finds a secret however the file is cut into pieces, and says where it is', () => {
    const token = tokenSamples['github-token']?.() ?? ''
    const text = `${'line\n'.repeat(100)}${token}\n${'more\n'.repeat(100)}`
    for (const size of [1, 7, 64, 500, 501, 4096])
      expect(scan(text, 'x', size).map(({ line, offset, value }) => [line, offset, value])).toEqual([[101, 500, token]])
  })

  test('finds secrets across the windows of a large file, each once', () => {
    const token = tokenSamples['npm-token']?.() ?? ''
    const window = 1024 * 1024
    const size = 5 * window
    const bytes = new Uint8Array(size).fill(0x2e)
    const positions = [
      0,
      70_000,
      window - 10,
      window + 500,
      2 * window + 8000,
      3 * window - 1,
      4 * window + 8703,
      size - token.length,
    ]
    for (const at of positions) bytes.set(new TextEncoder().encode(token), at)
    const found = scan(bytes, 'x', 65_536)
    expect(found.map(({ offset }) => offset)).toEqual(positions)
    expect(found.every(({ line }) => line === undefined)).toBe(true)
  })

  test('gives up on a file that is made to keep it busy, and says so', () => {
    const bytes = Buffer.from('AKIA'.repeat(1024 * 1024))
    const scanner = new FileScanner()
    scanner.begin('x', bytes.length)
    const start = performance.now()
    for (let at = 0; at < bytes.length; at += 65_536) scanner.push(bytes.subarray(at, at + 65_536))
    expect(scanner.end()).toEqual({ secrets: [], isIncomplete: true })
    expect(performance.now() - start).toBeLessThan(5000)
  })

  test('searches no more bytes of a file, and tells no more secrets, than its limits say', () => {
    const token = tokenSamples['npm-token']?.() ?? ''
    const scanner = new FileScanner({ ...defaultScanLimits, findings: 3 })
    const many = Array.from({ length: 10 }, (_, seed) => `npm_${randomText(36, seed + 1)}`).join('\n')
    scanner.begin('x', many.length)
    scanner.push(Buffer.from(many))
    expect(scanner.end()).toMatchObject({ secrets: { length: 3 }, isIncomplete: true })
    const short = new FileScanner({ ...defaultScanLimits, fileBytes: 1024 * 1024 })
    const large = Buffer.concat([Buffer.alloc(4 * 1024 * 1024), Buffer.from(token)])
    short.begin('x', large.length)
    for (let at = 0; at < large.length; at += 65_536) short.push(large.subarray(at, at + 65_536))
    expect(short.end()).toEqual({ secrets: [], isIncomplete: true })
  })

  test.each(tokenRules.map(({ id }) => id))('takes time linear in hostile text for %s', (id) => {
    const rule = tokenRules.find((one) => one.id === id)
    const start = performance.now()
    for (const literal of rule?.literals ?? [])
      for (const filler of ['a', 'A', '-', '.', '/', ':', ' ', '_', 'a.', '\n', '"', '0', 'eyJ', '@'])
        scan(`${filler.repeat(2000)}${`${literal}${filler.repeat(300)}`.repeat(20)}`)
    expect(performance.now() - start).toBeLessThan(3000)
  })
})
