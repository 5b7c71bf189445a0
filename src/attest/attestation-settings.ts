import { FlagFields } from '../dockerfile/flag-fields.ts'
import { parseGoBool } from '../dockerfile/go-bool.ts'
import { CairnError, usageError } from '../errors/error.ts'

/** `--provenance`: what a statement of SLSA provenance says. */
export interface ProvenanceSettings {
  /** `max` also has build arguments, labels, secrets' names, the Dockerfile and which step made which layer. */
  readonly mode: 'min' | 'max'
  readonly version: 'v1' | 'v0.2'
  /** A URI that stands for who built. */
  readonly builderId: string
  /** The builder's word that the build gives the same bytes again. */
  readonly reproducible: boolean
  /** Where files are written instead of an image. */
  readonly filename: string
  /** Only with images, not with files. */
  readonly inlineOnly: boolean
}

/** `--sbom`: how the packages are told. */
export interface SbomSettings {
  readonly format: 'spdx' | 'cyclonedx'
}

/** Which attestations a build makes; none by default. */
export interface AttestationSettings {
  readonly provenance: ProvenanceSettings | undefined
  readonly sbom: SbomSettings | undefined
  /** Beside the image in an index, as BuildKit does, or as referrers of it, which leave the image as it is. */
  readonly store: 'index' | 'referrers'
}

/** The flags as they were given. */
export interface AttestationFlags {
  readonly attest: readonly string[]
  readonly provenance: string | undefined
  readonly sbom: string | undefined
}

/**
 * Reads `--attest type=…`, `--provenance` and `--sbom` as buildx does: of one type the last counts. Undefined where no
 * attestation is asked for. Throws USAGE in the words of buildx and BuildKit, NOT_SUPPORTED for what Cairn has not.
 */
export function parseAttestations(flags: AttestationFlags): AttestationSettings | undefined {
  const texts = [...flags.attest, ...canonical('provenance', flags.provenance), ...canonical('sbom', flags.sbom)]
  const requests = new Map(texts.map(attestationFields).map((fields) => [fields.type, fields]))
  let provenance: ProvenanceSettings | undefined
  let sbom: SbomSettings | undefined
  const stores = new Set<AttestationSettings['store']>()
  for (const fields of requests.values()) {
    if (fields.bool('disabled', false)) continue
    if (fields.type === 'provenance') provenance = provenanceSettings(fields)
    else if (fields.type === 'sbom') sbom = sbomSettings(fields)
    else
      throw usageError(`unknown attestation type ${JSON.stringify(fields.type)}`, {
        hint: 'There are provenance and sbom.',
      })
    stores.add(fields.oneOf('store', ['index', 'referrers'] as const) ?? 'index')
    fields.refuseOthers('attestation')
  }
  const [store, other] = stores
  if (store === undefined) return undefined
  if (other !== undefined) throw usageError('attestations of one build have to have the same store')
  return { provenance, sbom, store }
}

function attestationFields(text: string): FlagFields {
  const fields = FlagFields.parse(text)
  if (fields.type === '') throw usageError('attestation type not specified')
  return fields
}

/** buildx's CanonicalizeAttest. */
function canonical(type: string, value: string | undefined): string[] {
  if (value === undefined || value === '') return []
  const enabled = parseGoBool(value)
  return [enabled === undefined ? `type=${type},${value}` : `type=${type},disabled=${!enabled}`]
}

function provenanceSettings(fields: FlagFields): ProvenanceSettings {
  const mode = fields.take('mode') ?? 'max'
  if (mode !== 'min' && mode !== 'max' && mode !== 'full') throw usageError(`invalid mode ${JSON.stringify(mode)}`)
  const version = fields.take('version') ?? 'v1'
  if (version !== 'v1' && version !== 'v0.2')
    throw usageError(`invalid provenance SLSA version: ${version}`, { hint: 'There are v1 and v0.2.' })
  const filename = fields.take('filename') ?? 'provenance.json'
  if (!/^[^/\0]+$/.test(filename) || filename === '.' || filename === '..')
    throw usageError(`${JSON.stringify(filename)} is not the name of a file`)
  for (const name of ['capture-usage', 'complete-materials'] as const)
    if (fields.bool(name, false))
      throw new CairnError('NOT_SUPPORTED', `attestation ${fields.text}: ${name} is not supported`)
  return {
    mode: mode === 'min' ? 'min' : 'max',
    version,
    builderId: fields.take('builder-id') ?? '',
    reproducible: fields.bool('reproducible', false),
    filename,
    inlineOnly: fields.bool('inline-only', false),
  }
}

function sbomSettings(fields: FlagFields): SbomSettings {
  if (fields.take('generator') !== undefined)
    throw new CairnError('NOT_SUPPORTED', `attestation ${fields.text}: scanners in images are not supported`, {
      hint: 'Leave generator off: Cairn reads the packages of an image itself.',
    })
  return { format: fields.oneOf('format', ['spdx', 'cyclonedx'] as const) ?? 'spdx' }
}
