import type { Tree } from '../layers/tree.ts'
import { field, parseFields, readText } from './metadata-file.ts'
import type { Package } from './package.ts'
import { packageUrl } from './purl.ts'

const largestMetadata = 16 * 1024 * 1024
const longestLicense = 200

/** True for the metadata of an installed distribution of Python, a wheel's or an egg's. */
export function isPythonMetadata(path: string): boolean {
  return /\.dist-info\/METADATA$|\.egg-info\/PKG-INFO$|[^/]\.egg-info$/.test(path)
}

/** The distribution that a METADATA or PKG-INFO file describes (Python's core metadata). Throws UnreadableMetadata. */
export function readPythonMetadata(tree: Tree, path: string): Package[] {
  const fields = parseFields(readText(tree, path, largestMetadata))
  const [name, version] = [field(fields, 'name'), field(fields, 'version')]
  if (name === '' || version === '') return []
  const author = field(fields, 'author')
  const homepage = field(fields, 'home-page')
  return [
    {
      type: 'pypi',
      name,
      version,
      purl: packageUrl({ type: 'pypi', name: name.toLowerCase().replaceAll('_', '-'), version }),
      licenses: licensesOf(
        field(fields, 'license-expression'),
        field(fields, 'license'),
        fields.get('classifier') ?? [],
      ),
      ...(author === '' || author === 'UNKNOWN' ? {} : { supplier: author }),
      ...(homepage === '' || homepage === 'UNKNOWN' ? {} : { homepage }),
      path,
    },
  ]
}

function licensesOf(expression: string, license: string, classifiers: readonly string[]): readonly string[] {
  if (expression !== '') return [expression]
  // Some have the whole text of their licence there.
  if (license !== '' && license !== 'UNKNOWN' && license.length <= longestLicense) return [license]
  const named = classifiers.flatMap((text) => /^License :: (?:OSI Approved :: )?(.+)$/.exec(text)?.[1] ?? [])
  return [...new Set(named)].filter((name) => name !== 'OSI Approved').sort()
}
