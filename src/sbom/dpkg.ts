import type { Tree } from '../layers/tree.ts'
import { field, parseFields, readText, tryReadText } from './metadata-file.ts'
import type { OperatingSystem, Package } from './package.ts'
import { distroOf, packageUrl } from './purl.ts'

const largestStatus = 128 * 1024 * 1024
const largestCopyright = 1024 * 1024

/** True for dpkg's database, and for a file of `status.d`, where images without dpkg have a file for each package. */
export function isDpkgStatus(path: string): boolean {
  return (
    path === '/var/lib/dpkg/status' || (/^\/var\/lib\/dpkg\/status\.d\/[^/]+$/.test(path) && !path.endsWith('.md5sums'))
  )
}

/** The installed packages of dpkg, deb-control(5). Throws UnreadableMetadata. */
export function readDpkgStatus(tree: Tree, path: string, os: OperatingSystem | undefined): Package[] {
  return readText(tree, path, largestStatus)
    .split(/\n\s*\n/)
    .flatMap((stanza) => {
      const fields = parseFields(stanza.trimStart())
      const status = field(fields, 'status')
      const [name, version] = [field(fields, 'package'), field(fields, 'version')]
      if (name === '' || version === '' || (status !== '' && !status.endsWith(' installed'))) return []
      const maintainer = field(fields, 'maintainer')
      const homepage = field(fields, 'homepage')
      return {
        type: 'deb' as const,
        name,
        version,
        purl: packageUrl({
          type: 'deb',
          namespace: [os?.id ?? 'debian'],
          name,
          version,
          qualifiers: {
            arch: field(fields, 'architecture'),
            distro: distroOf(os),
            upstream: sourceOf(field(fields, 'source'), name),
          },
        }),
        licenses: licensesOf(tree, name),
        ...(maintainer === '' ? {} : { supplier: maintainer }),
        ...(homepage === '' ? {} : { homepage }),
        path,
      }
    })
}

/** `glibc` or `glibc@2.36-9` of `Source: glibc (2.36-9)`. */
function sourceOf(text: string, name: string): string | undefined {
  const [, source = '', version] = /^(\S+)(?:\s+\(([^)]*)\))?/.exec(text) ?? []
  if (source === '' || (source === name && version === undefined)) return undefined
  return version === undefined ? source : `${source}@${version}`
}

/** The short names of a machine-readable copyright file (Debian's DEP 5); other files say it in prose, which is not read. */
function licensesOf(tree: Tree, name: string): readonly string[] {
  if (!/^[a-z0-9][a-z0-9+.-]*$/.test(name)) return []
  const text = tryReadText(tree, `/usr/share/doc/${name}/copyright`, largestCopyright)
  if (text === undefined || !/^Format:/im.test(text.slice(0, 1024))) return []
  const names = [...text.matchAll(/^License:([^\n]*)$/gim)].map(([, license = '']) => spdxName(license.trim()))
  return [...new Set(names)].filter((license) => license !== '').sort()
}

/** SPDX's name of a licence that DEP 5 names differently. */
function spdxName(license: string): string {
  if (/^expat$/i.test(license)) return 'MIT'
  const match = /^(A?GPL|LGPL)-(\d)(?:\.(\d))?(\+)?$/.exec(license)
  if (match !== null) {
    const [, family = '', major = '', minor = '0', later] = match
    return `${family}-${major}.${minor}-${later === undefined ? 'only' : 'or-later'}`
  }
  const bsd = /^BSD-([234])-clause$/i.exec(license)
  return bsd === null ? license : `BSD-${bsd[1]}-Clause`
}
