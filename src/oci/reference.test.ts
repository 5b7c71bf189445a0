import { describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { CairnError } from '../errors/error.ts'
import { digestOf } from './digest.ts'
import {
  familiarName,
  familiarString,
  formatReference,
  isIdentifier,
  parseNormalizedReference,
  parseReference,
  pinned,
  readReference,
  repositoryName,
  withDefaultTag,
  withDigest,
  withoutTag,
  withTag,
} from './reference.ts'

const hex = '1234567890abcdef'.repeat(4)
const digest = `sha256:${hex}`

describe('parseReference()', () => {
  test.each([
    // written, normal form, familiar form
    ['nginx', 'docker.io/library/nginx', 'nginx'],
    ['nginx:1.27', 'docker.io/library/nginx:1.27', 'nginx:1.27'],
    ['library/nginx', 'docker.io/library/nginx', 'nginx'],
    ['docker.io/nginx', 'docker.io/library/nginx', 'nginx'],
    ['docker.io/library/nginx', 'docker.io/library/nginx', 'nginx'],
    ['index.docker.io/nginx', 'docker.io/library/nginx', 'nginx'],
    ['index.docker.io/library/nginx', 'docker.io/library/nginx', 'nginx'],
    ['me/app', 'docker.io/me/app', 'me/app'],
    ['library/me/app', 'docker.io/library/me/app', 'library/me/app'],
    ['a/b/c:T', 'docker.io/a/b/c:T', 'a/b/c:T'],
    ['localhost/x', 'localhost/x', 'localhost/x'],
    ['localhost:5000/x', 'localhost:5000/x', 'localhost:5000/x'],
    ['localhost:5000', 'docker.io/library/localhost:5000', 'localhost:5000'],
    ['127.0.0.1:5000/a/b:t', '127.0.0.1:5000/a/b:t', '127.0.0.1:5000/a/b:t'],
    ['[::1]:5000/x:y', '[::1]:5000/x:y', '[::1]:5000/x:y'],
    ['[2001:db8::1]/x', '[2001:db8::1]/x', '[2001:db8::1]/x'],
    ['Registry/x', 'Registry/x', 'Registry/x'],
    ['ghcr.io/me/app', 'ghcr.io/me/app', 'ghcr.io/me/app'],
    ['xn--7o8h.com/myimage', 'xn--7o8h.com/myimage', 'xn--7o8h.com/myimage'],
    ['a.b/x__y/z-_'.slice(0, 10), 'a.b/x__y/z', 'a.b/x__y/z'],
    ['foo/foo--bar', 'docker.io/foo/foo--bar', 'foo/foo--bar'],
    ['foo_bar.com:8080', 'docker.io/library/foo_bar.com:8080', 'foo_bar.com:8080'],
    [`nginx@${digest}`, `docker.io/library/nginx@${digest}`, `nginx@${digest}`],
    [`nginx:1@${digest}`, `docker.io/library/nginx:1@${digest}`, `nginx:1@${digest}`],
    [hex.slice(1), `docker.io/library/${hex.slice(1)}`, hex.slice(1)],
    [`${hex}:tag`, `docker.io/library/${hex}:tag`, `docker.io/library/${hex}:tag`],
    [digest, `docker.io/library/${digest}`, digest],
    ['x:_', 'docker.io/library/x:_', 'x:_'],
    [`x:${'t'.repeat(128)}`, `docker.io/library/x:${'t'.repeat(128)}`, `x:${'t'.repeat(128)}`],
    // The short forms of these would be read as names on other hosts.
    ['docker.io/localhost/x', 'docker.io/localhost/x', 'docker.io/localhost/x'],
    ['docker.io/foo.bar/x', 'docker.io/foo.bar/x', 'docker.io/foo.bar/x'],
    [`docker.io/library/${hex}`, `docker.io/library/${hex}`, `docker.io/library/${hex}`],
  ])('reads %s as %s, shown as %s', (written, normal, familiar) => {
    const reference = parseReference(written)
    expect(formatReference(reference)).toBe(normal)
    expect(familiarString(reference)).toBe(familiar)
    expect(formatReference(parseReference(familiar))).toBe(normal)
    expect(parseNormalizedReference(normal)).toEqual(reference)
    expect(Object.isFrozen(reference)).toBe(true)
  })

  test.each([
    ['', 'invalid reference format'],
    ['Nginx', 'invalid reference format: repository name (library/Nginx) must be lowercase'],
    ['me/App:1', 'invalid reference format: repository name (me/App) must be lowercase'],
    ['ghcr.io/Me/app', 'invalid reference format: repository name (Me/app) must be lowercase'],
    [hex, `invalid repository name (${hex}), cannot specify 64-byte hexadecimal strings`],
    ['nginx:', 'invalid reference format'],
    [':1', 'invalid reference format'],
    ['nginx:-1', 'invalid reference format'],
    [`x:${'t'.repeat(129)}`, 'invalid reference format'],
    ['a//b', 'invalid reference format'],
    ['a/', 'invalid reference format'],
    ['/a', 'invalid reference format'],
    ['-a', 'invalid reference format'],
    ['a-', 'invalid reference format'],
    ['a..b', 'invalid reference format'],
    ['a___b', 'invalid reference format'],
    ['a._b', 'invalid reference format'],
    ['a b', 'invalid reference format'],
    ['nginx ', 'invalid reference format'],
    ['nginx\n', 'invalid reference format'],
    ['höst/x', 'invalid reference format'],
    ['https://docker.io/x', 'invalid reference format'],
    ['docker.io:port/x', 'invalid reference format'],
    ['[::1/x', 'invalid reference format'],
    ['[fe80::1%eth0]:5000/x', 'invalid reference format'],
    ['a.-b.c/x', 'invalid reference format'],
    ['nginx@', 'invalid reference format'],
    ['nginx@sha256:abc', 'invalid reference format'],
    [`nginx@sha256:${hex.slice(1)}`, 'invalid checksum digest length'],
    [`nginx@sha256:${hex.toUpperCase()}`, 'invalid checksum digest format'],
    [`nginx@md5:${hex.slice(32)}`, 'unsupported digest algorithm'],
    [`me/${'x'.repeat(253)}`, 'repository name must not be more than 255 characters'],
    [`a.b/${'x/'.repeat(3000)}x`, 'invalid reference format'],
  ])('refuses %j: %s', (written, message) => {
    expect(() => parseReference(written)).toThrow(new CairnError('REFERENCE_INVALID', message))
  })

  test('takes a path of 255 characters, the domain not counted', () => {
    expect(parseReference(`registry.example/${'x'.repeat(255)}`).path).toHaveLength(255)
  })

  test('gives a reference that reads as itself, or fails with REFERENCE_INVALID, for any text', () => {
    const part = fc.stringMatching(/^[a-zA-Z0-9._:/@[\]-]{0,12}$/)
    const text = fc.oneof(
      fc.string({ maxLength: 40 }),
      fc.array(part, { maxLength: 6 }).map((parts) => parts.join('')),
    )
    fc.assert(
      fc.property(text, (written) => {
        let reference
        try {
          reference = parseReference(written)
        } catch (error) {
          expect(error).toBeInstanceOf(CairnError)
          return
        }
        expect(parseNormalizedReference(formatReference(reference))).toEqual(reference)
        expect(parseReference(familiarString(reference))).toEqual(reference)
      }),
      { numRuns: 3000 },
    )
  })

  test('reads what it is told to write', () => {
    const component = fc.stringMatching(/^[a-z0-9]{1,5}((\.|_|__|-{1,3})[a-z0-9]{1,5}){0,2}$/)
    const domain = fc.oneof(
      fc.constantFrom('docker.io', 'localhost', 'localhost:5000', '[::1]', '[fe80::1]:80', 'UPPER'),
      fc.stringMatching(/^[a-z0-9]{1,5}\.[a-z]{2,3}(:[0-9]{1,5})?$/),
    )
    const path = fc.array(component, { minLength: 2, maxLength: 4 }).map((parts) => parts.join('/'))
    const tag = fc.option(fc.stringMatching(/^\w[\w.-]{0,20}$/), { nil: undefined })
    fc.assert(
      fc.property(domain, path, tag, fc.boolean(), (domain, path, tag, digested) => {
        const written = `${domain}/${path}${tag === undefined ? '' : `:${tag}`}${digested ? `@${digest}` : ''}`
        const reference = parseReference(written)
        expect({ ...reference }).toEqual({
          domain,
          path,
          ...(tag === undefined ? {} : { tag }),
          ...(digested ? { digest } : {}),
        } as never)
      }),
    )
  })

  test('takes no time for long hostile text', () => {
    const start = performance.now()
    for (const text of [`${'a'.repeat(4000)}!`, `${'a-'.repeat(2000)}!`, `a/${'a.'.repeat(2000)}`, '-'.repeat(1e6)])
      expect(() => parseReference(text)).toThrow('invalid reference format')
    expect(performance.now() - start).toBeLessThan(500)
  })
})

describe('parseNormalizedReference()', () => {
  test('refuses what is not in its normal form', () => {
    expect(() => parseNormalizedReference('nginx')).toThrow('repository name must be canonical')
  })
})

describe('changing a reference', () => {
  const nginx = parseReference('nginx')

  test('withDefaultTag() adds latest where there is neither tag nor digest', () => {
    expect(formatReference(withDefaultTag(nginx))).toBe('docker.io/library/nginx:latest')
    expect(withDefaultTag(parseReference('nginx:1')).tag).toBe('1')
    expect(withDefaultTag(parseReference(`nginx@${digest}`)).tag).toBeUndefined()
  })

  test('pinned() lets the digest win over the tag', () => {
    expect(formatReference(pinned(parseReference(`nginx:1@${digest}`)))).toBe(`docker.io/library/nginx@${digest}`)
    expect(formatReference(pinned(nginx))).toBe('docker.io/library/nginx:latest')
  })

  test('withTag(), withDigest() and withoutTag() replace what was there', () => {
    const both = parseReference(`nginx:1@${digest}`)
    expect(familiarString(withTag(both, '2'))).toBe('nginx:2')
    expect(familiarString(withDigest(both, digestOf('x')))).toBe(`nginx@${digestOf('x')}`)
    expect(familiarString(withoutTag(both))).toBe('nginx')
    expect(familiarName(both)).toBe('nginx')
    expect(repositoryName(both)).toBe('docker.io/library/nginx')
    expect(() => withTag(nginx, 'a/b')).toThrow('invalid tag format')
  })

  test('isIdentifier() is true for 64 hex characters only', () => {
    expect(isIdentifier(hex)).toBe(true)
    expect(isIdentifier(hex.slice(1))).toBe(false)
    expect(isIdentifier(hex.toUpperCase())).toBe(false)
  })
})

test('`readReference()` reads back what `formatReference()` wrote', () => {
  const digest = `@sha256:${'a'.repeat(64)}`
  for (const name of ['docker.io/library/nginx', 'localhost:5000/a/b', '[::1]:5000/x'])
    for (const rest of ['', ':1.27', digest, `:1.27${digest}`]) {
      const reference = parseNormalizedReference(name + rest)
      expect(readReference(formatReference(reference))).toEqual(reference)
    }
})
