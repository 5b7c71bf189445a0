import { digestHex } from '../oci/digest.ts'
import { isLicenseExpression } from './license-expression.ts'
import type { Package, PackageType } from './package.ts'
import { documentTime, documentUuid, imagePurl, type SbomSubject } from './subject.ts'

const none = 'NOASSERTION'
const documentId = 'SPDXRef-DOCUMENT'
const imageId = 'SPDXRef-Image'
const systemId = 'SPDXRef-OperatingSystem'

/** What `sourceInfo` says of where a package was found. */
const sources: Readonly<Record<PackageType, string>> = {
  deb: "dpkg's database",
  apk: "apk's database",
  rpm: "rpm's database",
  npm: 'a manifest or lock file of npm',
  pypi: 'the metadata of an installed Python distribution',
  golang: 'the build information of a Go program',
  maven: 'the metadata in a Java archive',
}

/** The bill of materials of an image as a document of SPDX 2.3, to be written as JSON. */
export function toSpdx(subject: SbomSubject): object {
  const { name, digest, contents, toolVersion } = subject
  const { os, packages, unread } = contents
  const licenses = new LicenseReferences()
  const ids = new Map<string, number>()
  const described = packages.map((one) => spdxPackage(one, uniqueId(one, ids), licenses))
  const system =
    os === undefined
      ? []
      : [
          {
            SPDXID: systemId,
            name: os.id,
            ...(os.version === '' ? {} : { versionInfo: os.version }),
            ...commonFields,
            primaryPackagePurpose: 'OPERATING_SYSTEM',
            summary: os.title,
          },
        ]
  const image = {
    SPDXID: imageId,
    name,
    versionInfo: digest,
    ...commonFields,
    checksums: [{ algorithm: digest.startsWith('sha512:') ? 'SHA512' : 'SHA256', checksumValue: digestHex(digest) }],
    externalRefs: [purlReference(imagePurl(subject))],
    primaryPackagePurpose: 'CONTAINER',
  }
  const held = [...system, ...described].map(({ SPDXID }) => SPDXID)
  const comment =
    unread.length === 0
      ? {}
      : { comment: `Not read: ${unread.map(({ path, reason }) => `${path}: ${reason}`).join('; ')}.` }
  return {
    spdxVersion: 'SPDX-2.3',
    dataLicense: 'CC0-1.0',
    SPDXID: documentId,
    name,
    documentNamespace: `https://spdx.org/spdxdocs/cairn-${documentUuid(subject, 'spdx')}`,
    creationInfo: { created: documentTime(subject), creators: [`Tool: cairn-${toolVersion}`], ...comment },
    packages: [image, ...system, ...described],
    ...(licenses.size === 0 ? {} : { hasExtractedLicensingInfos: licenses.list() }),
    relationships: [
      { spdxElementId: documentId, relationshipType: 'DESCRIBES', relatedSpdxElement: imageId },
      ...held.map((id) => ({ spdxElementId: imageId, relationshipType: 'CONTAINS', relatedSpdxElement: id })),
    ],
  }
}

const commonFields = {
  downloadLocation: none,
  filesAnalyzed: false,
  licenseConcluded: none,
  licenseDeclared: none,
  copyrightText: none,
} as const

function spdxPackage(one: Package, id: string, licenses: LicenseReferences) {
  const { name, version, purl, supplier, homepage, path, type } = one
  return {
    SPDXID: id,
    name,
    ...(version === '' ? {} : { versionInfo: version }),
    ...(supplier === undefined ? {} : { supplier: `Organization: ${supplier}` }),
    ...commonFields,
    licenseDeclared: licenses.expressionOf(one.licenses),
    ...(homepage === undefined || !URL.canParse(homepage) ? {} : { homepage }),
    sourceInfo: `from ${sources[type]}: ${path}`,
    externalRefs: [purlReference(purl)],
    primaryPackagePurpose:
      type === 'golang' || type === 'npm' || type === 'pypi' || type === 'maven' ? 'LIBRARY' : 'APPLICATION',
  } as const
}

function purlReference(purl: string): object {
  return { referenceCategory: 'PACKAGE-MANAGER', referenceType: 'purl', referenceLocator: purl }
}

/** Stable: of the name and, where several have that, their order. */
function uniqueId({ type, name, version }: Package, ids: Map<string, number>): string {
  const id = `SPDXRef-Package-${idString(`${type}-${name}-${version}`)}`
  const count = ids.get(id) ?? 0
  ids.set(id, count + 1)
  return count === 0 ? id : `${id}-${count + 1}`
}

function idString(text: string): string {
  return text.replace(/[^A-Za-z0-9.]+/g, '-').replace(/^-|-$/g, '')
}

/** Licences that are no SPDX expressions, each under a name of its own (SPDX 2.3, clause 10). */
class LicenseReferences {
  readonly #ids = new Map<string, string>()
  readonly #taken = new Set<string>()

  get size(): number {
    return this.#ids.size
  }

  expressionOf(licenses: readonly string[]): string {
    const parts = [...new Set(licenses.filter((text) => text.trim() !== ''))].map((text) =>
      isLicenseExpression(text) ? text : this.#reference(text),
    )
    if (parts.length === 0) return none
    return parts.length === 1
      ? (parts[0] as string)
      : parts.map((part) => (part.includes(' ') ? `(${part})` : part)).join(' AND ')
  }

  list(): readonly object[] {
    return [...this.#ids]
      .map(([text, licenseId]) => ({ licenseId, extractedText: text, name: text }))
      .sort((left, right) => (left.licenseId < right.licenseId ? -1 : 1))
  }

  #reference(text: string): string {
    const known = this.#ids.get(text)
    if (known !== undefined) return known
    const base = `LicenseRef-${idString(text).slice(0, 60) || 'unnamed'}`
    let id = base
    for (let count = 2; this.#taken.has(id); count++) id = `${base}-${count}`
    this.#taken.add(id)
    this.#ids.set(text, id)
    return id
  }
}
