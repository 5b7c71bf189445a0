import { describe, expect, test } from 'bun:test'
import type { ContainerConfig, History } from '../../oci/config.ts'
import { secretsInConfig } from './config-scanner.ts'
import { redactSecret, SecretMask } from './redaction.ts'
import { isSecretName } from './secret-names.ts'
import { randomText, tokenSamples } from './secret-samples.ts'

const secret = randomText(20)
const token = tokenSamples['github-token']?.() ?? ''

function found(config: ContainerConfig, history: readonly History[] = []): unknown[] {
  const image = {
    architecture: 'amd64',
    os: 'linux',
    rootfs: { type: 'layers' as const, diff_ids: [] },
    config,
    history,
  }
  return secretsInConfig(image).map(({ rule, field, name, value }) => [rule.id, field, name, value])
}

describe('secretsInConfig()', () => {
  test('finds secrets of variables, labels, commands and health checks', () => {
    expect(
      found({
        Env: ['PATH=/bin', `DB_PASSWORD=${secret}`, `GH=${token}`],
        Labels: { 'com.internal.api-key': `${secret}2`, maintainer: 'me' },
        Cmd: ['server', '--admin-password', `${secret}3`],
        Entrypoint: ['sh', '-c', `AUTH_TOKEN=${secret}4 exec server`],
        Healthcheck: { Test: ['CMD-SHELL', `curl -H "Authorization: Bearer ${secret}5" localhost`] },
      }),
    ).toEqual([
      ['config-secret', 'config.Env', 'DB_PASSWORD', secret],
      ['github-token', 'config.Env', 'GH', token],
      ['config-secret', 'config.Labels', 'com.internal.api-key', `${secret}2`],
      ['config-secret', 'config.Entrypoint', 'AUTH_TOKEN', `${secret}4`],
      ['config-secret', 'config.Cmd', 'admin-password', `${secret}3`],
      ['authorization-header', 'config.Healthcheck', undefined, `${secret}5`],
    ])
  })

  test('finds build arguments and addresses in the history, each secret once', () => {
    const history = [
      { created_by: `ARG NPM_TOKEN=${secret}`, empty_layer: true },
      { created_by: `RUN |1 NPM_TOKEN=${secret} /bin/sh -c npm ci # buildkit` },
      { created_by: `/bin/sh -c #(nop)  ENV API_SECRET=${secret}2`, empty_layer: true },
      { created_by: `RUN /bin/sh -c git clone https://robot:${secret}3@git.internal/x # buildkit` },
      { created_by: `RUN /bin/sh -c echo ${token} > /token # buildkit` },
    ]
    expect(found({}, history)).toEqual([
      ['config-secret', 'history[0]', 'NPM_TOKEN', secret],
      ['config-secret', 'history[2]', 'API_SECRET', `${secret}2`],
      ['url-credentials', 'history[3]', undefined, `${secret}3`],
      ['github-token', 'history[4]', undefined, token],
    ])
  })

  test('takes names, paths, fingerprints and placeholders for what they are', () => {
    expect(
      found(
        {
          Env: [
            'PATH=/usr/bin',
            'GPG_KEY=A035C8C19219BA821ECEA86B64E628F8D684696D',
            'PYTHON_PIP_SHA256=0123456789abcdef0123456789abcdef',
            'POSTGRES_PASSWORD_FILE=/run/secrets/password',
            'SECRET_KEY=changeme',
            'API_KEY=${API_KEY}',
            'TOKEN_TTL=3600s',
            'AUTH_TOKEN=',
            'SSH_AUTH_SOCK=/agent',
            'KEY=value',
            'PWD=/home/somebody',
            'PASSWORD=/run/secrets/x',
            'NODE_VERSION=20.1.0',
          ],
          Labels: { 'org.opencontainers.image.source': 'https://github.com/x/y', password: 'example' },
          Cmd: ['server', '--token-file', '/run/secrets/token', '--password=$PASSWORD'],
        },
        [{ created_by: 'RUN |1 TOKEN= /bin/sh -c curl -fsSL https://example.org | sh # buildkit' }],
      ),
    ).toEqual([])
  })
})

describe('isSecretName()', () => {
  test.each([
    'PASSWORD',
    'DB_PASS',
    'dbPassword',
    'apiKey',
    'API_KEY',
    'AWS_SECRET_ACCESS_KEY',
    'npm.token',
    'client-secret',
    'APP_SECRET_KEY_BASE',
  ])('is true of %s', (name) => expect(isSecretName(name)).toBe(true))
  test.each([
    'PASSWORD_FILE',
    'TOKEN_URL',
    'SECRET_NAME',
    'PUBLIC_KEY',
    'KEYBOARD',
    'COMPASS',
    'TOKENIZER',
    'BYPASS',
    'PWD',
    'SSH_KEY_PATH',
    '',
  ])('is false of %p', (name) => expect(isSecretName(name)).toBe(false))
})

describe('redactSecret()', () => {
  test('leaves four characters, and no more than a quarter', () => {
    expect(redactSecret('abcdefghijklmnopqrst')).toBe('abcd… (20 characters)')
    expect(redactSecret('hunter42')).toBe('hu… (8 characters)')
    expect(redactSecret('abc')).toBe('… (3 characters)')
  })

  test('is what SecretMask puts in the place of secrets', () => {
    const mask = new SecretMask()
    for (const value of [secret, `${secret}more`, 'short']) mask.add(value)
    expect(mask.apply(`a ${secret}more b ${secret} c short`)).toBe(
      `a ${redactSecret(`${secret}more`)} b ${redactSecret(secret)} c short`,
    )
  })
})
