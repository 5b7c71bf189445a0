import type { Tree } from '../layers/tree.ts'
import { readText } from './metadata-file.ts'
import type { OperatingSystem, Package } from './package.ts'
import { distroOf, packageUrl } from './purl.ts'

const largestDatabase = 128 * 1024 * 1024

export function isApkDatabase(path: string): boolean {
  return path === '/lib/apk/db/installed' || path === '/usr/lib/apk/db/installed'
}

/** The installed packages of apk (apk-tools, database version 2). Throws UnreadableMetadata. */
export function readApkDatabase(tree: Tree, path: string, os: OperatingSystem | undefined): Package[] {
  return readText(tree, path, largestDatabase)
    .split(/\n\n+/)
    .flatMap((stanza) => {
      const fields = new Map<string, string>()
      for (const line of stanza.split('\n'))
        if (line[1] === ':' && !fields.has(line.slice(0, 1))) fields.set(line.slice(0, 1), line.slice(2).trim())
      const [name = '', version = ''] = [fields.get('P'), fields.get('V')]
      if (name === '' || version === '') return []
      const [license = '', origin = '', maintainer = '', homepage = ''] = ['L', 'o', 'm', 'U'].map((key) =>
        fields.get(key),
      )
      return {
        type: 'apk' as const,
        name,
        version,
        purl: packageUrl({
          type: 'apk',
          namespace: [os?.id ?? 'alpine'],
          name,
          version,
          qualifiers: {
            arch: fields.get('A'),
            distro: distroOf(os),
            upstream: origin === name ? undefined : origin,
          },
        }),
        licenses: license === '' ? [] : [license],
        ...(maintainer === '' ? {} : { supplier: maintainer }),
        ...(homepage === '' ? {} : { homepage }),
        path,
      }
    })
}
