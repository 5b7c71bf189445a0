import { describe, expect, test } from 'bun:test'
import type { ImageContents } from './package.ts'
import { type FixtureFiles, goProgram, rpmDatabase, rpmHeader, treeOf, zipOf } from './sbom-fixtures.ts'
import { scanPackages } from './scan-packages.ts'

const debian = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n'

async function scan(files: FixtureFiles): Promise<ImageContents> {
  return await scanPackages(treeOf(files))
}

async function purls(files: FixtureFiles): Promise<readonly string[]> {
  return (await scan(files)).packages.map(({ purl }) => purl)
}

describe('scanPackages()', () => {
  test('tells the distribution, and nothing of an image without one', async () => {
    expect((await scan({ '/etc/os-release': debian })).os).toEqual({
      id: 'debian',
      version: '12',
      title: 'Debian GNU/Linux 12 (bookworm)',
    })
    expect(await scan({})).toEqual({ os: undefined, packages: [], unread: [] })
  })

  test("reads what is installed of dpkg's database, with sources, licences and epochs", async () => {
    const status = [
      'Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nSource: glibc (2.36-9)\nVersion: 2.36-9+deb12u9\nMaintainer: GNU Libc Maintainers <debian-glibc@lists.debian.org>\nDescription: GNU C Library\n more text\n .\n Version: 9',
      'Package: zlib1g\nStatus: install ok installed\nVersion: 1:1.2.13.dfsg-1\nArchitecture: amd64\nSource: zlib',
      'Package: gone\nStatus: deinstall ok config-files\nVersion: 1\nArchitecture: all',
    ].join('\n\n')
    const found = await scan({
      '/etc/os-release': debian,
      '/var/lib/dpkg/status': `${status}\n`,
      '/usr/share/doc/libc6/copyright':
        'Format: https://dep-5\n\nFiles: *\nLicense: LGPL-2.1+\n text\n\nLicense: Expat\n',
      '/usr/share/doc/zlib1g/copyright': 'This is prose.\nLicense: zlib\n',
    })
    expect(found.packages).toEqual([
      {
        type: 'deb',
        name: 'libc6',
        version: '2.36-9+deb12u9',
        purl: 'pkg:deb/debian/libc6@2.36-9%2Bdeb12u9?arch=amd64&distro=debian-12&upstream=glibc%402.36-9',
        licenses: ['LGPL-2.1-or-later', 'MIT'],
        supplier: 'GNU Libc Maintainers <debian-glibc@lists.debian.org>',
        path: '/var/lib/dpkg/status',
      },
      {
        type: 'deb',
        name: 'zlib1g',
        version: '1:1.2.13.dfsg-1',
        purl: 'pkg:deb/debian/zlib1g@1:1.2.13.dfsg-1?arch=amd64&distro=debian-12&upstream=zlib',
        licenses: [],
        path: '/var/lib/dpkg/status',
      },
    ])
  })

  test('reads the files that images without dpkg have in status.d', async () => {
    const files = {
      '/var/lib/dpkg/status.d/tzdata': 'Package: tzdata\nVersion: 2024a-0\nArchitecture: all\n',
      '/var/lib/dpkg/status.d/tzdata.md5sums': 'Package: no\nVersion: 1\n',
    }
    expect(await purls(files)).toEqual(['pkg:deb/debian/tzdata@2024a-0?arch=all'])
  })

  test("reads apk's database", async () => {
    const database =
      'C:Q1abc=\nP:musl\nV:1.2.4-r2\nA:x86_64\nL:MIT\no:musl\nm:Timo <t@alpine>\nU:https://musl.libc.org/\nF:lib\n\nP:ssl_client\nV:1.36.1-r5\nA:x86_64\no:busybox\nL:GPL-2.0-only\n'
    const found = await scan({
      '/etc/os-release': 'ID=alpine\nVERSION_ID=3.18.4\n',
      '/lib/apk/db/installed': database,
    })
    expect(found.packages.map(({ purl, licenses }) => [purl, licenses])).toEqual([
      ['pkg:apk/alpine/musl@1.2.4-r2?arch=x86_64&distro=alpine-3.18.4', ['MIT']],
      ['pkg:apk/alpine/ssl_client@1.36.1-r5?arch=x86_64&distro=alpine-3.18.4&upstream=busybox', ['GPL-2.0-only']],
    ])
  })

  test("reads rpm's database of SQLite, also one in WAL mode, without its keys", async () => {
    const curl = rpmHeader({
      1000: 'curl',
      1001: '8.0.1',
      1002: '1.fc39',
      1003: 2,
      1014: 'MIT',
      1022: 'x86_64',
      1044: 'curl-8.0.1-1.fc39.src.rpm',
    })
    const key = rpmHeader({ 1000: 'gpg-pubkey', 1001: 'a', 1002: 'b' })
    const found = await scan({
      '/etc/os-release': 'ID=fedora\nVERSION_ID=39\n',
      '/usr/lib/sysimage/rpm/rpmdb.sqlite': rpmDatabase([curl, key]),
    })
    expect(found.unread).toEqual([])
    expect(found.packages.map(({ purl, version }) => [purl, version])).toEqual([
      [
        'pkg:rpm/fedora/curl@8.0.1-1.fc39?arch=x86_64&distro=fedora-39&epoch=2&upstream=curl-8.0.1-1.fc39.src.rpm',
        '2:8.0.1-1.fc39',
      ],
    ])
  })

  test("says that rpm's older databases, damaged ones and ones with a view for a table were not read", async () => {
    const endless = 'CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB, x AS (hnum + 1))'
    const reasons: string[] = []
    for (const [name, bytes] of [
      ['Packages', new Uint8Array(10)],
      ['Packages.db', new Uint8Array(10)],
      ['rpmdb.sqlite', new Uint8Array(5000)],
      ['rpmdb.sqlite', rpmDatabase([rpmHeader({ 1000: 'x' })], endless)],
      ['rpmdb.sqlite', rpmDatabase([new Uint8Array([0, 0, 255, 255, 0, 0, 0, 0])])],
    ] as const) {
      const { unread, packages } = await scan({ [`/var/lib/rpm/${name}`]: bytes })
      expect(packages).toEqual([])
      reasons.push(unread[0]?.reason.replace(/database: .*/, 'database') ?? 'read')
    }
    expect(reasons).toEqual([
      "it is rpm's older Berkeley DB format, of which nothing is read",
      "it is rpm's older ndb format, of which nothing is read",
      'it is no whole database',
      'it has not the table that rpm makes',
      'the header of a package is not whole',
    ])
  })

  test('reads installed packages of npm, and lock files only where nothing is installed', async () => {
    const lock = JSON.stringify({
      lockfileVersion: 3,
      packages: {
        '': { name: 'app' },
        'node_modules/a': { version: '1.0.0', license: 'MIT' },
        'node_modules/a/node_modules/@s/b': { version: '2.0.0' },
        'node_modules/dev': { version: '3.0.0', dev: true },
      },
    })
    const old = JSON.stringify({ dependencies: { a: { version: '1.0.0', dependencies: { c: { version: '4.0.0' } } } } })
    const found = await scan({
      '/app/node_modules/left-pad/package.json': '{"name":"left-pad","version":"1.3.0","license":"WTFPL"}',
      '/app/node_modules/left-pad/test/package.json': '{"name":"no","version":"1"}',
      '/app/node_modules/@angular/animation/package.json':
        '{"name":"@angular/animation","version":"12.3.1","licenses":[{"type":"MIT"}]}',
      '/app/node_modules/broken/package.json': '{',
      '/app/package-lock.json': lock,
      '/bundled/package-lock.json': lock,
      '/old/npm-shrinkwrap.json': old,
    })
    expect(found.packages.map(({ purl, licenses }) => [purl, ...licenses])).toEqual([
      ['pkg:npm/%40angular/animation@12.3.1', 'MIT'],
      ['pkg:npm/%40s/b@2.0.0'],
      ['pkg:npm/a@1.0.0', 'MIT'],
      ['pkg:npm/a@1.0.0'],
      ['pkg:npm/c@4.0.0'],
      ['pkg:npm/left-pad@1.3.0', 'WTFPL'],
    ])
    expect(found.unread).toEqual([{ path: '/app/node_modules/broken/package.json', reason: 'it is not JSON' }])
  })

  test('reads installed distributions of Python', async () => {
    const packages = '/usr/lib/python3/dist-packages'
    const found = await scan({
      [`${packages}/Flask_Login-0.6.dist-info/METADATA`]:
        'Metadata-Version: 2.1\nName: Flask_Login\nVersion: 0.6\nLicense-Expression: MIT\n\nName: no\n',
      [`${packages}/six.egg-info/PKG-INFO`]:
        'Name: six\nVersion: 1.16.0\nLicense: UNKNOWN\nClassifier: License :: OSI Approved :: MIT License\n',
      [`${packages}/apt-2.egg-info`]: 'Name: apt\nVersion: 2\n',
    })
    expect(found.packages.map(({ purl, licenses }) => [purl, ...licenses])).toEqual([
      ['pkg:pypi/apt@2'],
      ['pkg:pypi/flask-login@0.6', 'MIT'],
      ['pkg:pypi/six@1.16.0', 'MIT License'],
    ])
  })

  test('reads the modules of Go programs, replaced ones as what they were replaced by', async () => {
    const modules =
      'path\texample.com/app\nmod\texample.com/App\t(devel)\t\ndep\tgithub.com/a/b\tv1.2.3\th1:x=\ndep\tgithub.com/old/c\tv1.0.0\n=>\tgithub.com/new/c\tv2.0.0\th1:y=\nbuild\t-compiler=gc\n'
    expect(await purls({ '/bin/app': goProgram('go1.22.1', modules) })).toEqual([
      'pkg:golang/example.com/app',
      'pkg:golang/github.com/a/b@v1.2.3',
      'pkg:golang/github.com/new/c@v2.0.0',
      'pkg:golang/stdlib@1.22.1',
    ])
    expect(await purls({ '/data/app': goProgram('go1.22.1', modules) })).toEqual([])
  })

  test('says of a Go program that is too old, or cut off, that it was not read', async () => {
    const whole = goProgram('go1.22.1', 'x'.repeat(100))
    const cut = whole.slice(0, 0x10000 + 20_000 + 60)
    const found = await scan({
      '/bin/old': goProgram('go1.17', '', 0),
      '/bin/cut': cut,
      '/bin/sh': new Uint8Array(9000),
    })
    expect(found.packages).toEqual([])
    expect(found.unread).toEqual([
      { path: '/bin/old', reason: 'it was built by Go before 1.18, whose build information is not read' },
    ])
  })

  test('reads Java archives and those in them, by Maven, manifest or name', async () => {
    const properties = 'groupId=org.example\nartifactId=lib\nversion=1.0\n'
    const nested = zipOf({
      'META-INF/MANIFEST.MF':
        'Manifest-Version: 1.0\r\nImplementation-Vendor-Id: com.ac\r\n me\r\nImplementation-Version: 3.1\r\n',
    })
    const found = await scan({
      '/app/lib-1.0.jar': zipOf({ 'META-INF/maven/org.example/lib/pom.properties': properties, 'a.class': 'x' }),
      '/app/app.war': zipOf({ 'WEB-INF/web.xml': '', 'WEB-INF/lib/inner.jar': nested }),
      '/app/plain-2.5.jar': zipOf({ 'a.class': '' }),
      '/app/no.jar': 'this is no archive, but long enough',
    })
    expect(found.packages.map(({ purl, path }) => [purl, path])).toEqual([
      ['pkg:maven/com.acme/inner@3.1', '/app/app.war/WEB-INF/lib/inner.jar'],
      ['pkg:maven/org.example/lib@1.0', '/app/lib-1.0.jar'],
      ['pkg:maven/plain@2.5', '/app/plain-2.5.jar'],
    ])
    expect(found.unread).toEqual([{ path: '/app/no.jar', reason: 'it is no zip archive' }])
  })

  test('does not unpack more of a Java archive than it says it has', async () => {
    const bomb = zipOf({ 'META-INF/MANIFEST.MF': 'x'.repeat(8 * 1024 * 1024) })
    // The directory says that it is small.
    new DataView(bomb.buffer).setUint32(bomb.length - 22 - 46 - 'META-INF/MANIFEST.MF'.length + 24, 10, true)
    const { unread } = await scan({ '/app/bomb-1.jar': bomb })
    expect(unread).toEqual([
      { path: '/app/bomb-1.jar', reason: 'META-INF/MANIFEST.MF in it is damaged, or has other than 10 bytes' },
    ])
  })

  test('reads what it can of a Java archive in which some cannot be read, three levels deep', async () => {
    const properties = (name: string): string => `groupId=g\nartifactId=${name}\nversion=1\n`
    const jar = (name: string, files: FixtureFiles = {}): Uint8Array =>
      zipOf({ [`META-INF/maven/g/${name}/pom.properties`]: properties(name), ...files })
    const war = jar('web', {
      'lib/bad.jar': 'this is no archive, but long enough',
      'lib/worse.jar': 'no',
      'lib/in.jar': jar('in', { 'last.jar': jar('last', { 'more.jar': jar('more') }) }),
    })
    const { packages, unread } = await scan({ '/app.ear': jar('app', { 'web.war': war }) })
    expect(packages.map(({ name, path }) => [name, path])).toEqual([
      ['g:app', '/app.ear'],
      ['g:in', '/app.ear/web.war/lib/in.jar'],
      ['g:last', '/app.ear/web.war/lib/in.jar/last.jar'],
      ['g:web', '/app.ear/web.war'],
    ])
    expect(unread).toEqual([{ path: '/app.ear', reason: 'it is no zip archive; and 1 more in it' }])
  })

  test('does not unpack one part of a Java archive under many names for ever', async () => {
    const count = 2000
    const path = (index: number): string => `META-INF/maven/g/${String(index).padStart(5, '0')}/pom.properties`
    const parts = Object.fromEntries(
      Array.from({ length: count }, (_, index) => [path(index), index === 0 ? 'a=b\n'.repeat(200_000) : '']),
    )
    const bomb = zipOf(parts)
    const view = new DataView(bomb.buffer)
    const directory = view.getUint32(bomb.length - 6, true)
    const [packed, size] = [20, 24].map((field) => view.getUint32(directory + field, true))
    for (let index = 0; index < count; index++) {
      const entry = directory + index * (46 + path(0).length)
      view.setUint16(entry + 10, 8, true)
      view.setUint32(entry + 20, packed ?? 0, true)
      view.setUint32(entry + 24, size ?? 0, true)
      view.setUint32(entry + 42, 0, true)
    }
    const started = performance.now()
    const { unread } = await scan({ '/bomb.jar': bomb })
    expect(unread).toEqual([{ path: '/bomb.jar', reason: 'what is packed in it has more bytes than are read' }])
    expect(performance.now() - started).toBeLessThan(10_000)
  }, 30_000)

  test('takes symlinks that lead in a circle for files that are not there', async () => {
    const found = await scan({
      '/etc/os-release': '-> /usr/lib/os-release',
      '/usr/lib/os-release': '-> /etc/os-release',
      '/var/lib/dpkg/status': 'Package: a\nStatus: install ok installed\nVersion: 1\n',
      '/usr/share/doc/a/copyright': '-> copyright',
    })
    expect(found.os).toBeUndefined()
    expect(found.packages.map(({ name }) => name)).toEqual(['a'])
  })

  test('takes no longer for texts that are made to take long, and leaves out what nothing is named', async () => {
    const blanks = ' '.repeat(500_000)
    const started = performance.now()
    const found = await scan({
      '/etc/os-release': `ID=a${blanks.slice(0, 60_000)}b\n`,
      '/var/lib/dpkg/status': 'Package: a\nStatus: install ok installed\nVersion: 1\n',
      '/usr/share/doc/a/copyright': `Format: x\nLicense: a${blanks}b\n`,
      '/a-1.jar': zipOf({ 'META-INF/maven/a/b/pom.properties': `artifactId=b\nversion=1${blanks}c\n` }),
    })
    expect(performance.now() - started).toBeLessThan(5000)
    expect(found.packages.map(({ type, name }) => [type, name])).toEqual([
      ['deb', 'a'],
      ['maven', 'a'],
    ])
    expect(found.unread).toEqual([{ path: '/a-1.jar', reason: "a package's name or version is too long" }])
  })

  test('lets no control character of an image into its result', async () => {
    const { packages } = await scan({ '/lib/apk/db/installed': 'P:e\u001b[31mvil\nV:1\u0000\u0007\n' })
    expect(packages.map(({ name, version, purl }) => [name, version, purl])).toEqual([
      ['e^[[31mvil', '1^@^G', 'pkg:apk/alpine/e%1B%5B31mvil@1%00%07'],
    ])
  })
})
