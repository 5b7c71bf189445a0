import { describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { digestOf } from '../oci/digest.ts'
import { toCycloneDx } from './cyclonedx.ts'
import { isLicenseExpression } from './license-expression.ts'
import { goProgram, treeOf } from './sbom-fixtures.ts'
import { scanPackages } from './scan-packages.ts'
import { toSpdx } from './spdx.ts'
import type { SbomSubject } from './subject.ts'

/** Documents that were found valid against the JSON schemas of SPDX 2.3 and CycloneDX 1.6. */
const fixtures = join(import.meta.dir, '../../test/fixtures/sbom')

async function subject(): Promise<SbomSubject> {
  const tree = treeOf({
    '/etc/os-release': 'ID=debian\nVERSION_ID=12\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
    '/var/lib/dpkg/status':
      'Package: bash\nStatus: install ok installed\nVersion: 5.2-1\nArchitecture: amd64\nMaintainer: M <m@debian.org>\nHomepage: https://bash.example\n',
    '/usr/share/doc/bash/copyright': 'Format: x\nLicense: GPL-3+\nLicense: Latex 2e\n',
    '/var/lib/rpm/Packages': 'old',
    '/a/node_modules/@s/b/package.json': '{"name":"@s/b","version":"1.0.0","license":"MIT OR Apache-2.0"}',
    '/b/node_modules/@s/b/package.json': '{"name":"@s/b","version":"1.0.0","license":"MIT"}',
    '/bin/app': goProgram('go1.22.1', 'mod\texample.com/app\t(devel)\t\n'),
  })
  return {
    name: 'registry.example/team/App:1',
    digest: digestOf('image'),
    platform: { os: 'linux', architecture: 'amd64' },
    created: '2024-01-02T03:04:05.678Z',
    contents: await scanPackages(tree),
    toolVersion: '0.1.0',
  }
}

async function golden(name: string): Promise<unknown> {
  return JSON.parse(await Bun.file(join(fixtures, name)).text())
}

describe('a bill of materials', () => {
  test('is a document of SPDX 2.3, the same each time', async () => {
    expect(toSpdx(await subject())).toEqual((await golden('app.spdx.json')) as object)
  })

  test('is a document of CycloneDX 1.6, the same each time', async () => {
    expect(toCycloneDx(await subject())).toEqual((await golden('app.cdx.json')) as object)
  })
})

describe('isLicenseExpression()', () => {
  test('takes expressions of known licences and nothing else', () => {
    for (const text of [
      'MIT',
      '(MIT OR Apache-2.0) AND BSD-3-Clause',
      'GPL-2.0+',
      'GPL-2.0-only WITH Classpath-exception-2.0',
    ])
      expect([text, isLicenseExpression(text)]).toEqual([text, true])
    for (const text of ['', 'MIT/X11', 'MIT AND', '(MIT', 'MIT)', 'GPLv2+ and BSD', 'MIT MIT', '(('.repeat(600)])
      expect([text, isLicenseExpression(text)]).toEqual([text, false])
  })
})
