import { digestHex } from '../oci/digest.ts'
import { isLicenseExpression, isLicenseId } from './license-expression.ts'
import type { Package } from './package.ts'
import { documentTime, documentUuid, imagePurl, type SbomSubject } from './subject.ts'

/** The bill of materials of an image as a document of CycloneDX 1.6, to be written as JSON. */
export function toCycloneDx(subject: SbomSubject): object {
  const { name, digest, contents, toolVersion } = subject
  const { os, packages, unread } = contents
  const references = new Map<string, number>()
  const system =
    os === undefined
      ? []
      : [
          {
            type: 'operating-system',
            'bom-ref': `os:${os.id}`,
            name: os.id,
            ...(os.version === '' ? {} : { version: os.version }),
            description: os.title,
          },
        ]
  const components = packages.map((one) => component(one, uniqueReference(one.purl, references)))
  const image = imagePurl(subject)
  return {
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    serialNumber: `urn:uuid:${documentUuid(subject, 'cyclonedx')}`,
    version: 1,
    metadata: {
      timestamp: documentTime(subject),
      tools: { components: [{ type: 'application', name: 'cairn', version: toolVersion }] },
      component: {
        type: 'container',
        'bom-ref': image,
        name,
        version: digest,
        purl: image,
        hashes: [{ alg: digest.startsWith('sha512:') ? 'SHA-512' : 'SHA-256', content: digestHex(digest) }],
      },
      ...(unread.length === 0
        ? {}
        : { properties: unread.map(({ path, reason }) => ({ name: 'cairn:unread', value: `${path}: ${reason}` })) }),
    },
    components: [...system, ...components],
    dependencies: [{ ref: image, dependsOn: [...system, ...components].map((one) => one['bom-ref']) }],
  }
}

function component(one: Package, reference: string) {
  const { name, version, purl, type, supplier, homepage, path } = one
  const colon = type === 'maven' ? name.indexOf(':') : -1
  const scope = type === 'npm' && name.startsWith('@') ? name.indexOf('/') : colon
  return {
    type: type === 'deb' || type === 'apk' || type === 'rpm' ? 'application' : 'library',
    'bom-ref': reference,
    ...(supplier === undefined ? {} : { supplier: { name: supplier } }),
    ...(scope < 0 ? {} : { group: name.slice(0, scope) }),
    name: scope < 0 ? name : name.slice(scope + 1),
    ...(version === '' ? {} : { version }),
    ...licensesOf(one.licenses),
    purl,
    ...(homepage === undefined || !URL.canParse(homepage)
      ? {}
      : { externalReferences: [{ type: 'website', url: new URL(homepage).href }] }),
    properties: [{ name: 'cairn:path', value: path }],
  } as const
}

/** One expression, or a list of single licences: the format has no room for both. */
function licensesOf(texts: readonly string[]): object {
  const licenses = [...new Set(texts.filter((text) => text.trim() !== ''))]
  const [only] = licenses
  if (only === undefined) return {}
  if (licenses.length === 1 && !isLicenseId(only) && isLicenseExpression(only))
    return { licenses: [{ expression: only }] }
  return { licenses: licenses.map((text) => ({ license: isLicenseId(text) ? { id: text } : { name: text } })) }
}

function uniqueReference(purl: string, references: Map<string, number>): string {
  const count = references.get(purl) ?? 0
  references.set(purl, count + 1)
  return count === 0 ? purl : `${purl}#${count + 1}`
}
