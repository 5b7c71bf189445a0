import { encodePath } from '../linux/path-bytes.ts'
import type { AnalyzedImage, PermissionFinding, SecretFinding, WasteItem } from './analysis.ts'
import { secretRules } from './secrets/catalog.ts'

type Level = 'error' | 'warning' | 'note'

interface SarifRule {
  readonly id: string
  readonly text: string
  readonly level: Level
  readonly tags: readonly string[]
}

const wasteRules: readonly SarifRule[] = (
  [
    ['overwritten', 'A later layer has another content of the file'],
    ['removed', 'A later layer deletes what this one holds'],
    ['metadata', 'A later layer has the same content again with another mode, owner or time'],
    ['duplicate', 'The same content stands at another path'],
    ['cache', 'A package manager left its cache'],
    ['temporary', 'Temporary files were left behind'],
  ] as const
).map(([id, text]) => ({ id, text, level: 'note', tags: ['waste'] }))

const permissionRules: readonly SarifRule[] = (
  [
    ['setuid', 'A program runs with the rights of its owner'],
    ['setgid', 'A program runs with the rights of its group'],
    ['capabilities', 'A program gets capabilities'],
    ['world-writable', 'Everybody may write it'],
  ] as const
).map(([id, text]) => ({ id, text, level: 'note', tags: ['security'] }))

/** An ID belongs to several kinds of places, once as a file and once as a value of the config. */
const rules: readonly SarifRule[] = [
  ...new Map(
    secretRules.map(({ id, title, level }) => [id, { id, text: title, level, tags: ['security', 'secret'] }]),
  ).values(),
  ...permissionRules,
  ...wasteRules,
]
const ruleIndex = new Map(rules.map(({ id }, index) => [id, index]))

/**
 * Findings as a SARIF 2.1.0 log (OASIS, section 3): one run for each image, its rules, and a result for each finding
 * with the path within the image's root file system and the layer.
 */
export function toSarif(images: readonly AnalyzedImage[], version: string): object {
  return {
    $schema: 'https://json.schemastore.org/sarif-2.1.0.json',
    version: '2.1.0',
    runs: images.map((image) => runOf(image, version)),
  }
}

function runOf(image: AnalyzedImage, version: string): object {
  const { name, platform, digest, id, analysis } = image
  const { efficiency, size, wastedBytes, secrets, permissions, waste } = analysis
  return {
    tool: {
      driver: {
        name: 'cairn',
        semanticVersion: version,
        rules: rules.map((rule) => ({
          id: rule.id,
          shortDescription: { text: rule.text },
          defaultConfiguration: { level: rule.level },
          properties: { tags: rule.tags },
        })),
      },
    },
    automationDetails: { id: `cairn image analyze/${name}/${platform}` },
    originalUriBaseIds: { ROOTFS: { description: { text: `The root file system of ${name} (${platform})` } } },
    columnKind: 'utf16CodeUnits',
    properties: { image: name, platform, digest, imageId: id, size, wastedBytes, efficiency },
    results: [
      ...secrets.map((secret) => secretResult(secret, image)),
      ...permissions.map((finding) => permissionResult(finding, image)),
      ...waste.map((item) => wasteResult(item, image)),
    ],
  }
}

function secretResult(secret: SecretFinding, image: AnalyzedImage): object {
  const { rule, title, level, path, layer, line, offset, field, name, redacted, isVisible } = secret
  const where = path ?? `${field}${name === undefined ? '' : ` ${name}`}`
  const hidden = isVisible ? '' : '; a later layer hides the file, but it is in the image'
  const region = line !== undefined ? { startLine: line } : { byteOffset: offset, byteLength: 0 }
  return {
    ...head(rule, level, `${title} in ${where}: ${redacted}${hidden}`),
    locations:
      path === undefined ? [configLocation(image, field ?? '', name)] : [fileLocation(image, path, layer ?? 1, region)],
    partialFingerprints: { 'cairn/v1': fingerprint(rule, where, redacted) },
  }
}

function permissionResult({ kind, path, layer, mode, capabilities }: PermissionFinding, image: AnalyzedImage): object {
  const detail = capabilities === '' ? `mode ${mode.toString(8).padStart(4, '0')}` : capabilities
  return {
    ...head(kind, 'note', `${path}: ${detail}`),
    locations: [fileLocation(image, path, layer)],
    partialFingerprints: { 'cairn/v1': fingerprint(kind, path, detail) },
  }
}

function wasteResult({ kind, path, bytes, files, layer, origin, advice }: WasteItem, image: AnalyzedImage): object {
  const instruction = image.analysis.layers[layer - 1]?.instruction ?? ''
  const by = instruction === '' ? `layer ${layer}` : `layer ${layer}, ${instruction}`
  return {
    ...head(
      kind,
      'note',
      `${path}: ${bytes} bytes in ${files} ${files === 1 ? 'file' : 'files'} wasted by ${by}. ${sentence(advice)}`,
    ),
    locations: [fileLocation(image, path, origin)],
    partialFingerprints: { 'cairn/v1': fingerprint(kind, path, instruction) },
  }
}

function head(ruleId: string, level: Level, text: string): object {
  return { ruleId, ruleIndex: ruleIndex.get(ruleId), level, message: { text: text.toWellFormed() } }
}

function fileLocation(image: AnalyzedImage, path: string, layer: number, region?: object): object {
  const { diffId, instruction } = image.analysis.layers[layer - 1] ?? { diffId: '', instruction: '' }
  return {
    physicalLocation: {
      artifactLocation: { uri: uriOf(path.slice(1)), uriBaseId: 'ROOTFS' },
      ...(region !== undefined && { region }),
    },
    logicalLocations: [
      {
        name: `layer ${layer}`,
        fullyQualifiedName: `${image.name}/layer ${layer}`,
        kind: 'module',
        properties: { diffId, instruction: instruction.toWellFormed() },
      },
    ],
  }
}

/** A layout keeps the config there. */
function configLocation({ id, name: image }: AnalyzedImage, field: string, name: string | undefined): object {
  const uri = `blobs/${id.replace(':', '/')}`
  const member = name === undefined ? field : `${field}.${name}`
  return {
    physicalLocation: { artifactLocation: { uri } },
    logicalLocations: [{ name: member, fullyQualifiedName: `${image}/config/${member}`, kind: 'member' }],
  }
}

/** Bytes that stand for themselves in a URI (RFC 3986, section 2.3), and the slash between names. */
const plain = /[A-Za-z0-9._~/-]/

/** A path's bytes as a relative URI reference (RFC 3986, section 4.2). */
function uriOf(path: string): string {
  let uri = ''
  for (const byte of encodePath(path)) {
    const character = String.fromCharCode(byte)
    uri += plain.test(character) ? character : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  }
  return uri === '' ? '.' : uri
}

function fingerprint(...parts: readonly string[]): string {
  return new Bun.CryptoHasher('sha256').update(parts.join('\0').toWellFormed()).digest('hex').slice(0, 32)
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`
}
