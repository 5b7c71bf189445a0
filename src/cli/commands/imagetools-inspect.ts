import { knownPredicates } from '../../attest/find-statements.ts'
import { printable } from '../../dockerfile/characters.ts'
import { type InspectedRemote, inspectRemote, type RemoteImage } from '../../engine/registry/inspect-remote.ts'
import { formatPlatform } from '../../oci/platform.ts'
import { formatReference, parseReference, pinned, type Reference } from '../../oci/reference.ts'
import { builderFlag } from '../build/one-builder.ts'
import { mapView, documentView } from '../go-template/document-view.ts'
import { toJson } from '../go-template/template-functions.ts'
import { defineCommand } from '../command.ts'
import { imageNames } from '../images/image-names.ts'
import { openStoreOf } from '../open-store.ts'
import { registryAccessOf } from '../registry-access.ts'

export default defineCommand({
  usage: '[OPTIONS] NAME',
  description:
    'Asks the registry, whatever the store has. Templates know .Name, .Manifest, .Image, .Provenance and .SBOM; of an image for\nseveral platforms the last three are maps by platform.',
  examples: [
    { text: 'Which platforms an image has', command: 'cairn buildx imagetools inspect alpine' },
    { text: 'Its digest', command: "cairn buildx imagetools inspect --format '{{.Manifest.Digest}}' alpine" },
    { text: 'The index, byte for byte', command: 'cairn buildx imagetools inspect --raw alpine' },
  ],
  args: { min: 1, max: 1 },
  flags: {
    builder: builderFlag,
    format: { type: 'string', default: '', summary: 'Format the output using the given Go template' },
    raw: { type: 'bool', summary: 'Show original, unformatted JSON manifest' },
  },
  complete: (ctx) => imageNames(ctx),
  async run(ctx, { format, raw }, [name = '']) {
    const reference = pinned(parseReference(name))
    const isTemplate = !raw && !/^\s*(?:\{\{\s*\.Manifest\s*\}\}\s*)?$/.test(format)
    const inspected = await inspectRemote(await ctx.use(openStoreOf), reference, {
      access: registryAccessOf(ctx),
      isWhole: isTemplate && /\.(?:Image|Provenance|SBOM)\b|[{ (]\.[ })]/.test(format),
    })
    if (raw) return ctx.stdout.write(new TextDecoder().decode(inspected.document.raw))
    if (!isTemplate) return ctx.stdout.write(summary(reference, inspected))
    const { renderTemplate } = await import('../go-template/go-template.ts')
    // As buildx: indented.
    const json = { parameters: ['any'], call: (value: unknown) => indented(value) } as const
    ctx.stdout.write(renderTemplate(format, templateData(name, inspected), { functions: { json } }))
  },
})

function indented(value: unknown): string {
  return JSON.stringify(JSON.parse(toJson(value)), undefined, 2)
}

/** As buildx lays it out, but for spaces at the ends of lines. */
function summary(reference: Reference, { descriptor, document }: InspectedRemote): string {
  const name = formatReference(reference)
  const head = `Name:      ${name}\nMediaType: ${descriptor.mediaType}\nDigest:    ${descriptor.digest}\n`
  if (document.type === 'manifest') return head
  const { manifests } = document.value
  const isAnnotated = manifests.some(({ annotations }) => annotations !== undefined)
  const width = isAnnotated ? 'Annotations:'.length : 'MediaType:'.length
  const row = (key: string, value: string): string => `  ${`${key}:`.padEnd(width)} ${printable(value)}`.trimEnd()
  const entries = manifests.map(({ digest, mediaType, platform, ...entry }) => {
    const annotations = entry.annotations ?? {}
    const rows = [row('Name', `${name}@${digest}`), row('MediaType', mediaType)]
    if (platform !== undefined) rows.push(row('Platform', formatPlatform(platform)))
    if (platform?.['os.version'] !== undefined) rows.push(row('OSVersion', platform['os.version']))
    if (Object.keys(annotations).length > 0) rows.push(row('Annotations', ''), ...annotationRows(annotations))
    return rows.map((line) => `${line}\n`).join('')
  })
  return `${head}\nManifests:\n${entries.join('\n')}`
}

function annotationRows(annotations: Readonly<Record<string, string>>): readonly string[] {
  const width = Math.max(...Object.keys(annotations).map((key) => key.length)) + 1
  return Object.entries(annotations).map(([key, value]) => printable(`    ${`${key}:`.padEnd(width)} ${value}`))
}

function templateData(name: string, { descriptor, document, images }: InspectedRemote): object {
  const { mediaType, digest, size } = descriptor
  const { value } = document
  const manifest =
    document.type === 'manifest'
      ? { mediaType, digest, size }
      : {
          schemaVersion: value.schemaVersion,
          mediaType,
          digest,
          size,
          manifests: document.value.manifests,
          annotations: value.annotations,
        }
  const data = {
    name,
    manifest,
    image: byPlatform(images, ({ config }) => config),
  }
  // What is attached is not in the JSON of the whole, as with buildx.
  return Object.defineProperties(documentView(data), {
    Provenance: {
      value: byPlatform(images, ({ provenance: [one] }) => (one === undefined ? {} : { SLSA: mapView(one.predicate) })),
    },
    SBOM: { value: byPlatform(images, ({ sbom }) => sbomOf(sbom)) },
  })
}

function sbomOf(statements: RemoteImage['sbom']): object {
  const [spdx, ...others] = statements
    .filter(({ predicateType }) => knownPredicates.spdx.some((type) => type === predicateType))
    .map(({ predicate }) => mapView(predicate))
  if (spdx === undefined) return {}
  return { SPDX: spdx, ...(others.length === 0 ? {} : { AdditionalSPDXs: others }) }
}

/** What there is of the one image, or of each by its platform. */
function byPlatform<Part>(
  images: readonly RemoteImage[],
  part: (image: RemoteImage) => Part,
): Part | Map<string, Part> {
  const [first, ...others] = images
  if (first !== undefined && others.length === 0) return part(first)
  return new Map(images.map((image) => [image.platform, part(image)]))
}
