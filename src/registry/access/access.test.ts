import { describe, expect, test } from 'bun:test'
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { digestOf } from '../../oci/digest.ts'
import { findApiToken, formatApiToken, isApiToken, newApiToken, parseApiTokens } from './api-tokens.ts'
import { signToken, verifyToken } from './bearer-token.ts'
import { parsePasswords, PasswordCheck } from './htpasswd.ts'
import { matchesRepository } from './repository-pattern.ts'
import { allows, parseRules } from './rules.ts'
import { WatchedFile } from './watched-file.ts'

/** As `htpasswd -nbB` prints it. */
const annsLine = 'ann:$2y$05$oH3l4umxGkOFTwcKB71mPenVn18.KITrbUHZtv61UGSVv1AgThaL.'

describe('parsePasswords()', () => {
  test('reads bcrypt, comments and empty lines', async () => {
    const hash = (await Bun.password.hash('x', { algorithm: 'bcrypt', cost: 4 })).replace('$2b$', '$2y$')
    expect([...parsePasswords(`# users\n\n  bob:${hash}\n`, 'users').keys()]).toEqual(['bob'])
  })

  test.each([
    ['ann', 'line 1: not NAME:HASH'],
    [':$2y$05$x', 'line 1: not NAME:HASH'],
    ['ann:secret', 'line 1: the hash of "ann" is not bcrypt'],
    ['\nann:$apr1$x$y', 'line 2: the hash of "ann" is not bcrypt'],
    ['ann:{SHA}abc', 'line 1: the hash of "ann" is not bcrypt'],
    [`${annsLine}\n${annsLine}`, 'line 2: "ann" is there twice'],
  ])('refuses %j', (text, message) => {
    expect(() => parsePasswords(text, '/etc/users')).toThrow(`/etc/users, ${message}`)
  })
})

describe('PasswordCheck', () => {
  test('takes the right password, and no other for any user', async () => {
    const hash = await Bun.password.hash('secret', { algorithm: 'bcrypt', cost: 4 })
    const passwords = new Map([['ann', hash.replace('$2b$', '$2y$')]])
    const check = new PasswordCheck()
    for (let again = 0; again < 2; again++) {
      expect(await check.isRight(passwords, 'ann', 'secret')).toBe(true)
      expect(await check.isRight(passwords, 'ann', 'Secret')).toBe(false)
      expect(await check.isRight(passwords, 'ann', '')).toBe(false)
      expect(await check.isRight(passwords, 'bob', 'secret')).toBe(false)
    }
    expect(await check.isRight(new Map(), 'ann', 'secret')).toBe(false)
  })

  test('hashes a password once that many ask about at the same moment, and asks before', async () => {
    const hash = await Bun.password.hash('secret', { algorithm: 'bcrypt', cost: 4 })
    const check = new PasswordCheck()
    let asked = 0
    const ask = (password: string) => check.isRight(new Map([['ann', hash]]), 'ann', password, () => void asked++)
    expect(await Promise.all(Array.from({ length: 50 }, () => ask('secret')))).toEqual(Array(50).fill(true))
    expect(asked).toBe(1)
    expect(await ask('secret')).toBe(true)
    expect(asked).toBe(1)
    expect(await Promise.all(['a', 'b'].map(ask))).toEqual([false, false])
    expect(asked).toBe(3)
    const refuse = () => {
      throw new Error('enough')
    }
    await expect(check.isRight(new Map([['ann', hash]]), 'ann', 'c', refuse)).rejects.toThrow('enough')
    expect(await ask('secret')).toBe(true)
  })

  test('an unknown user takes as long as a known one', async () => {
    const hash = await Bun.password.hash('secret', { algorithm: 'bcrypt', cost: 10 })
    const check = new PasswordCheck()
    const time = async (name: string) => {
      const start = performance.now()
      await check.isRight(new Map([['ann', hash]]), name, 'wrong')
      return performance.now() - start
    }
    await time('ann')
    expect(await time('nobody')).toBeGreaterThan((await time('ann')) / 4)
  })
})

describe('rules', () => {
  test.each([
    ['**', 'a/b/c', true],
    ['team/*', 'team/a', true],
    ['team/*', 'team/a/b', false],
    ['team/**', 'team/a/b', true],
    ['team/**', 'team', false],
    ['team*', 'teams', true],
    ['a.b', 'a-b', false],
    ['home/{user}/**', 'home/ann/x', true],
    ['home/{user}/**', 'home/bob/x', false],
  ])('the pattern %j on %j is %j', (pattern, repository, expected) => {
    expect(matchesRepository(pattern, repository, 'ann')).toBe(expected)
  })

  test('{user} matches nothing without a user', () => {
    expect(matchesRepository('{user}/**', '/x', undefined)).toBe(false)
  })

  test('allows() is true where one rule says so', () => {
    const rules = parseRules(
      `[[rules]]
      repositories = ["public/**"]
      anonymous = true
      allow = ["pull"]

      [[rules]]
      repositories = ["**"]
      users = ["ann", "ci-*"]
      allow = ["pull", "push"]

      [[rules]]
      repositories = ["home/{user}/*"]
      users = ["*"]
      allow = ["pull", "push", "delete"]`,
      'rules.toml',
    )
    expect(allows(rules, undefined, 'public/x', 'pull')).toBe(true)
    expect(allows(rules, 'bob', 'public/x', 'pull')).toBe(true)
    expect(allows(rules, undefined, 'public/x', 'push')).toBe(false)
    expect(allows(rules, undefined, 'x', 'pull')).toBe(false)
    expect(allows(rules, 'ci-7', 'x', 'push')).toBe(true)
    expect(allows(rules, 'ann', 'x', 'delete')).toBe(false)
    expect(allows(rules, 'ann', 'home/ann/x', 'delete')).toBe(true)
    expect(allows(rules, 'ann', 'home/bob/x', 'delete')).toBe(false)
    expect(allows([], 'ann', 'x', 'pull')).toBe(false)
  })

  test.each([
    ['rules = 1', 'rules is not a list of tables'],
    ['[[rules]]\nallow = ["pul"]', 'rules[0].allow has "pul"; there are pull, push, overwrite, delete'],
    ['[[rules]]\nusers = "ann"', 'rules[0].users is not a list of texts'],
    ['[[rules]]\nrepos = []', 'rules[0].repos is unknown'],
    ['[[rule]]\n', 'rule is unknown; there are rules'],
    ['[[rules', 'r.toml is not TOML'],
  ])('parseRules() refuses %j', (text, message) => {
    expect(() => parseRules(text, 'r.toml')).toThrow(message)
  })
})

describe('API tokens', () => {
  test('formatApiToken() writes what parseApiTokens() reads; only the digest is kept', () => {
    const token = newApiToken()
    expect(isApiToken(token)).toBe(true)
    const text = formatApiToken(token, 'ci', ['a/**'], ['pull'], new Date('2090-01-01T00:00:00Z'))
    expect(text).not.toContain(token)
    const tokens = parseApiTokens(`${text}\n${formatApiToken('other', 'ann', ['**'], ['push'], undefined)}`, 't.toml')
    expect(findApiToken(tokens, token)).toMatchObject({ user: 'ci', expiresAt: Date.parse('2090-01-01T00:00:00Z') })
    expect(findApiToken(tokens, newApiToken())).toBeUndefined()
  })

  test('findApiToken() does not find one that has run out', () => {
    const text = formatApiToken('cairn_x', 'ci', ['**'], ['pull'], new Date(Date.now() - 1000))
    expect(findApiToken(parseApiTokens(text, 't.toml'), 'cairn_x')).toBeUndefined()
  })

  test.each([
    ['[[tokens]]\nuser = "a"\ndigest = "x"', 'tokens[0].digest is wrong: not a sha256 digest'],
    [`[[tokens]]\nuser = "a"\ndigest = "${digestOf('x')}"\nexpires = "soon"`, 'tokens[0].expires is wrong'],
    [`[[tokens]]\ndigest = "${digestOf('x')}"`, 'tokens[0].user is missing'],
  ])('parseApiTokens() refuses %j', (text, message) => {
    expect(() => parseApiTokens(text, 't.toml')).toThrow(message)
  })
})

describe('bearer tokens', () => {
  const key = new Uint8Array(32).fill(7)
  const claims = { sub: 'ann', aud: 'here', iat: 1000, exp: 1300, jti: 'x', access: [] }
  const token = signToken(claims, key)
  const [header = '', body = '', signature = ''] = token.split('.')
  const encode = (value: unknown) =>
    new TextEncoder().encode(JSON.stringify(value)).toBase64({ alphabet: 'base64url', omitPadding: true })

  test('verifyToken() gives back what was signed', () => {
    expect(verifyToken(token, key, 'here', 1100)).toEqual(claims)
  })

  test('verifyToken() refuses a token that has run out, is not yet valid, or is for somebody else', () => {
    expect(verifyToken(token, key, 'here', 1300)).toBeUndefined()
    expect(verifyToken(token, key, 'here', 900)).toBeUndefined()
    expect(verifyToken(token, key, 'there', 1100)).toBeUndefined()
    expect(verifyToken(token, new Uint8Array(32), 'here', 1100)).toBeUndefined()
  })

  test.each([
    ['other claims', `${header}.${encode({ ...claims, sub: 'root' })}.${signature}`],
    ['no algorithm', `${encode({ alg: 'none', typ: 'JWT' })}.${body}.`],
    ['no algorithm with the signature', `${encode({ alg: 'none', typ: 'JWT' })}.${body}.${signature}`],
    ['another algorithm', `${encode({ alg: 'RS256', typ: 'JWT' })}.${body}.${signature}`],
    ['no signature', `${header}.${body}.`],
    ['a cut signature', `${header}.${body}.${signature.slice(0, -1)}`],
    ['more parts', `${token}.x`],
    ['nothing', ''],
    ['dots', '..'],
  ])('verifyToken() refuses %s', (_, forged) => {
    expect(verifyToken(forged, key, 'here', 1100)).toBeUndefined()
  })
})

describe('WatchedFile', () => {
  test('is read again when it changes, and keeps what it said when it becomes wrong', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'cairn-watched-'))
    try {
      const path = join(directory, 'rules.toml')
      const write = (text: string) => {
        writeFileSync(`${path}.new`, text)
        renameSync(`${path}.new`, path)
      }
      const rule = (name: string) => `[[rules]]\nrepositories = ["${name}"]\n`
      write(rule('a'))
      const complaints: string[] = []
      const file = await WatchedFile.open(
        path,
        (text) => parseRules(text, path),
        ({ message }) => complaints.push(message),
      )
      expect((await file.get())[0]?.repositories).toEqual(['a'])
      write(rule('b'))
      await Bun.sleep(1_050)
      expect((await file.get())[0]?.repositories).toEqual(['b'])
      write('nonsense')
      await Bun.sleep(1_050)
      expect((await file.get())[0]?.repositories).toEqual(['b'])
      expect((await file.get())[0]?.repositories).toEqual(['b'])
      expect(complaints).toHaveLength(1)
      expect(complaints[0]).toContain('rules.toml is not TOML')
      rmSync(path)
      await Bun.sleep(1_050)
      expect((await file.get())[0]?.repositories).toEqual(['b'])
      expect(complaints[1]).toContain('cannot be read')
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  })

  test('open() fails where the file is wrong from the start', async () => {
    const open = WatchedFile.open(
      '/nowhere/rules.toml',
      (text) => text,
      () => {},
    )
    await expect(open).rejects.toThrow('/nowhere/rules.toml cannot be read: no such file or directory')
  })
})
