import type { Tree } from '../layers/tree.ts'
import { isJsonObject } from '../oci/descriptor.ts'
import { readText } from './metadata-file.ts'
import { type Package, UnreadableMetadata } from './package.ts'
import { packageUrl } from './purl.ts'

const largestManifest = 4 * 1024 * 1024
const largestLock = 64 * 1024 * 1024
const packageName = /^(?:@[\w.~-]+\/)?[\w.~-]+$/

/** True for the package.json of a package in node_modules. */
export function isNodePackage(path: string): boolean {
  return /\/node_modules\/(?:@[^/]+\/)?[^/@.][^/]*\/package\.json$/.test(path)
}

/** True for a lock file of npm beside which nothing is installed: the program was bundled from what it says. */
export function isNpmLock(tree: Tree, path: string): boolean {
  return (
    /\/(?:package-lock|npm-shrinkwrap)\.json$/.test(path) && !/\/node_modules\//.test(path) && !hasModules(tree, path)
  )
}

function hasModules(tree: Tree, path: string): boolean {
  return tree.lookup(`${path.slice(0, path.lastIndexOf('/'))}/node_modules`)?.type === 'directory'
}

/** The package of a package.json; none where it has no name or version. Throws UnreadableMetadata. */
export function readNodePackage(tree: Tree, path: string): Package[] {
  const manifest = parseJson(readText(tree, path, largestManifest))
  const { name, version, license, licenses, author, homepage } = manifest
  if (typeof name !== 'string' || typeof version !== 'string' || !packageName.test(name)) return []
  const supplier = textOf(author, 'name')
  return [
    {
      ...nodePackage(name, version, path),
      licenses: [license, ...(Array.isArray(licenses) ? licenses : [])]
        .map((value) => textOf(value, 'type'))
        .filter(Boolean),
      ...(supplier === '' ? {} : { supplier }),
      ...(typeof homepage === 'string' && homepage !== '' ? { homepage } : {}),
    },
  ]
}

/** The packages of a package-lock.json, versions 1 to 3, without those for development. Throws UnreadableMetadata. */
export function readNpmLock(tree: Tree, path: string): Package[] {
  const lock = parseJson(readText(tree, path, largestLock))
  const { packages, dependencies } = lock
  if (isJsonObject(packages))
    return Object.entries(packages).flatMap(([place, value]) => {
      const at = place.lastIndexOf('node_modules/')
      if (at < 0 || !isJsonObject(value) || value['dev'] === true || value['link'] === true) return []
      const name = typeof value['name'] === 'string' ? value['name'] : place.slice(at + 'node_modules/'.length)
      const version = value['version']
      if (typeof version !== 'string' || !packageName.test(name)) return []
      const license = textOf(value['license'], 'type')
      return { ...nodePackage(name, version, path), licenses: license === '' ? [] : [license] }
    })
  return isJsonObject(dependencies) ? nestedDependencies(dependencies, path) : []
}

/** Version 1 nests dependencies as deep as their directories. */
function nestedDependencies(root: Readonly<Record<string, unknown>>, path: string): Package[] {
  const found: Package[] = []
  const pending = [root]
  for (let level = pending.pop(); level !== undefined; level = pending.pop())
    for (const [name, value] of Object.entries(level)) {
      if (!isJsonObject(value) || value['dev'] === true) continue
      const { version, dependencies } = value
      if (typeof version === 'string' && packageName.test(name)) found.push(nodePackage(name, version, path))
      if (isJsonObject(dependencies)) pending.push(dependencies)
    }
  return found
}

function nodePackage(name: string, version: string, path: string): Package {
  const parts = name.split('/')
  const purl = packageUrl({ type: 'npm', namespace: parts.slice(0, -1), name: parts.at(-1) ?? '', version })
  return { type: 'npm', name, version, purl, licenses: [], path }
}

function parseJson(text: string): Readonly<Record<string, unknown>> {
  let value: unknown
  try {
    value = JSON.parse(text.replace(/^\uFEFF/, ''))
  } catch {
    throw new UnreadableMetadata('it is not JSON')
  }
  if (!isJsonObject(value)) throw new UnreadableMetadata('it is not a JSON object')
  return value
}

/** A text, or that in a field of an object, as older manifests have it. */
function textOf(value: unknown, name: string): string {
  const text = isJsonObject(value) ? value[name] : value
  return typeof text === 'string' ? text : ''
}
