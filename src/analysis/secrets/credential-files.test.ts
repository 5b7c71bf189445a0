import { describe, expect, test } from 'bun:test'
import { isPublicSample } from './catalog.ts'
import { FileScanner } from './file-scanner.ts'
import { armoured, keyBody, randomText, tokenSamples } from './secret-samples.ts'

function idsIn(path: string, text: string): string[] {
  const bytes = new TextEncoder().encode(text)
  const scanner = new FileScanner()
  scanner.begin(path, bytes.length)
  scanner.push(bytes)
  return scanner.end().secrets.map(({ rule }) => rule.id)
}

const secret = randomText(20)
const base64 = (text: string): string => Buffer.from(text).toString('base64')
const crypt = `$y$j9T$${randomText(22)}$${randomText(43)}`

describe('secretsInFile()', () => {
  test.each([
    ['root/.netrc', `machine git.internal\n  login robot\n  password ${secret}\n`, 'netrc'],
    ['root/.npmrc', `//registry.internal/:_authToken=${secret}\n`, 'npmrc'],
    ['home/x/.npmrc', `_auth = "${base64(`x:${secret}`)}"\n`, 'npmrc'],
    ['app/.yarnrc.yml', `npmAuthToken: ${secret}\n`, 'yarnrc'],
    ['root/.pypirc', `[pypi]\nusername = robot\npassword = ${secret}\n`, 'pypirc'],
    ['root/.git-credentials', `https://robot:${secret}@git.internal\n`, 'url-credentials'],
    ['src/.git/config', `[remote "origin"]\n\turl = https://robot:${secret}@git.internal/x.git\n`, 'url-credentials'],
    ['etc/apt/sources.list.d/x.list', `deb https://robot:${secret}@deb.internal stable main\n`, 'url-credentials'],
    ['etc/apt/auth.conf.d/x.conf', `machine deb.internal login robot password ${secret}\n`, 'apt-auth'],
    [
      'root/.docker/config.json',
      JSON.stringify({ auths: { 'r.internal': { auth: base64(`robot:${secret}`) } } }),
      'docker-config',
    ],
    [
      'root/.docker/config.json',
      JSON.stringify({ auths: { 'r.internal': { identitytoken: secret } } }),
      'docker-config',
    ],
    ['app/.env', `DEBUG=1\nexport DB_PASSWORD="${secret}"\n`, 'env-file'],
    ['app/.env.production', `SESSION_SECRET=${secret}\n`, 'env-file'],
    [
      'root/.kube/config',
      `users:\n- name: x\n  user:\n    client-key-data: ${base64(armoured('PRIVATE KEY', keyBody()))}\n`,
      'kubeconfig',
    ],
    ['root/.kube/config', `users:\n- name: x\n  user:\n    token: ${secret}\n`, 'kubeconfig'],
    ['etc/nginx/.htpasswd', `robot:$apr1$${randomText(8)}$${randomText(22)}\n`, 'htpasswd'],
    ['etc/shadow', `root:${crypt}:19000:0:99999:7:::\ndaemon:*:19000:0:99999:7:::\n`, 'shadow'],
    ['etc/shadow-', `root:!${crypt}:19000:0:99999:7:::\n`, 'shadow'],
    ['root/.pgpass', `db.internal:5432:app:robot:${secret}\n`, 'pgpass'],
    ['root/.my.cnf', `[client]\npassword=${secret}\n`, 'my-cnf'],
    ['root/.cargo/credentials.toml', `[registry]\ntoken = "${secret}"\n`, 'cargo-credentials'],
    ['app/config/master.key', randomText(32, 1, '0123456789abcdef'), 'rails-master-key'],
    ['root/.m2/settings.xml', `<server><id>x</id><password>${secret}</password></server>`, 'maven-settings'],
    ['etc/wireguard/wg0.conf', `[Interface]\nPrivateKey = ${randomText(43)}=\n`, 'wireguard-key'],
  ])('finds the secret of %s', (path, text, id) => {
    expect(idsIn(path, text)).toEqual([id])
  })

  test.each([
    ['root/.npmrc', '//registry.npmjs.org/:_authToken=${NPM_TOKEN}\nregistry=https://registry.npmjs.org/\n'],
    ['root/.netrc', 'machine example.org login user password changeme\n'],
    [
      'etc/shadow',
      'root:*:19000:0:99999:7:::\nbin:!:19000:0:99999:7:::\nsync:!*:19000::::::\nx:!!:19000::::::\ny::19000::::::\n',
    ],
    [
      'app/.env',
      'DB_PASSWORD=\nDB_PASSWORD_FILE=/run/secrets/db\nTOKEN_TTL=3600\nAPI_KEY=your-api-key\nSECRET=${SECRET}\nPORT=8080\n',
    ],
    ['app/.env.example', `DB_PASSWORD=${secret}\n`],
    ['root/.docker/config.json', JSON.stringify({ auths: { 'r.internal': {} }, credsStore: 'pass' })],
    ['root/.docker/config.json', JSON.stringify({ auths: { x: { auth: base64('user:password') } } })],
    [
      'root/.kube/config',
      `clusters:\n- cluster:\n    certificate-authority-data: ${base64(armoured('CERTIFICATE', keyBody()))}\n`,
    ],
    ['src/.git/config', '[remote "origin"]\n\turl = https://github.com/x/y.git\n\turl = git@github.com:x/y.git\n'],
    ['etc/ssl/certs/ca.pem', armoured('CERTIFICATE', keyBody())],
    ['etc/nginx/.htpasswd', '# user:password\n'],
    ['opt/x', `password ${secret}\n_authToken=${secret}\nDB_PASSWORD=${secret}\n`],
  ])('finds none in %s where there is none', (path, text) => {
    expect(idsIn(path, text)).toEqual([])
  })

  test('tells a token that has a form of its own by that form, once', () => {
    expect(idsIn('root/.npmrc', `//registry.npmjs.org/:_authToken=${tokenSamples['npm-token']?.()}\n`)).toEqual([
      'npm-token',
    ])
    expect(
      idsIn(
        'app/.env',
        `GITHUB_TOKEN=${tokenSamples['github-token']?.()}\nDATABASE_URL=${tokenSamples['database-url']?.()}\n`,
      ),
    ).toEqual(['github-token', 'database-url'])
  })
})

describe('isPublicSample()', () => {
  test.each([
    'app/node_modules/x/test/fixtures/key.pem',
    'usr/lib/python3/dist-packages/x/tests/key.pem',
    'usr/local/go/src/crypto/tls/testdata/example-key.pem',
    'usr/share/go-1.19/src/crypto/tls/example_test.go',
    'app/node_modules/jose/keys.spec.mjs',
    'usr/share/doc/libx/examples/rsakey.pem',
    'usr/lib/x86_64-linux-gnu/libgnutls.so.30.34.3',
  ])('is true of %s', (path) => {
    expect(isPublicSample(path)).toBe(true)
  })

  test.each([
    'app/test/key.pem',
    'root/.ssh/id_rsa',
    'etc/ssl/private/server.key',
    'usr/local/bin/server',
    'app/node_modules/x/key.pem',
  ])('is false of %s', (path) => {
    expect(isPublicSample(path)).toBe(false)
  })
})
