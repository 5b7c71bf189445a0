import { knownPredicates } from '../../attest/find-statements.ts'
import { attachedStatements } from '../../engine/images/attached-statements.ts'
import { scanImage } from '../../engine/images/sbom-image.ts'
import type { Package } from '../../sbom/package.ts'
import type { SbomSubject } from '../../sbom/subject.ts'
import { CairnError } from '../../errors/error.ts'
import { defineCommand } from '../command.ts'
import { imageNames } from '../images/image-names.ts'
import { openStoreOf } from '../open-store.ts'
import { platformFlag, platformOfFlag } from '../platform-flag.ts'
import { type Listing, renderListing } from '../printer.ts'
import { registryAccessOf } from '../registry-access.ts'
import { version } from '../version.ts'
import { writeFile } from '../write-file.ts'

export default defineCommand({
  usage: '[OPTIONS] IMAGE',
  description: `Lists the packages of an image by what package managers left in it: dpkg, apk, rpm, npm, Python, Java, and modules of
Go programs. Nothing is run, unpacked or downloaded, and the same image gives the same document on every machine.
IMAGE may also be oci:DIR[:TAG], oci-archive:FILE, docker-archive:FILE, dir:DIR or docker://NAME.`,
  examples: [
    { text: 'What an image is made of', command: 'cairn sbom debian:12' },
    { text: 'A document of SPDX for a scanner', command: 'cairn sbom --format spdx -o debian.spdx.json debian:12' },
    { text: 'What its builder says of it', command: 'cairn sbom --attached docker://registry.example/app:1' },
    { text: 'Of an archive, in CycloneDX', command: 'cairn sbom --format cyclonedx oci-archive:app.tar' },
  ],
  args: { min: 1, max: 1 },
  flags: {
    attached: { type: 'bool', summary: 'Show the document that is attached to the image instead of looking into it' },
    format: {
      type: 'string',
      default: 'table',
      oneOf: ['table', 'spdx', 'cyclonedx', 'json'],
      summary:
        "What to write:\n'table':      A table to be read\n'spdx':       SPDX 2.3 JSON\n'cyclonedx':  CycloneDX 1.6 JSON\n'json':       Operating system and packages, as they were found",
    },
    output: { type: 'string', short: 'o', complete: 'file', summary: 'Write to a file instead of stdout' },
    platform: platformFlag,
  },
  complete: (ctx) => imageNames(ctx),
  async run(ctx, flags, [name = '']) {
    const { format, output } = flags
    const write = async (text: string): Promise<void> => {
      if (output === undefined) ctx.stdout.write(text)
      else writeFile(output, text)
    }
    const [platform, access] = [platformOfFlag(flags.platform), registryAccessOf(ctx)]
    const store = await ctx.use(openStoreOf)
    if (flags.attached) {
      const types = attachedTypes[format]
      const [attached] = await attachedStatements(store, name, types, { platform, access })
      if (attached === undefined)
        throw new CairnError('ATTESTATION_UNKNOWN', `${name} has no bill of materials attached`, {
          hint: 'Without --attached the packages in the image are looked for; cairn build --sbom=true attaches them.',
        })
      return await write(json(attached.predicate))
    }
    const found = await scanImage(store, name, {
      platform,
      access,
      toolVersion: version,
      signal: ctx.signal,
    })
    for (const { path, reason } of found.contents.unread) ctx.stderr.write(`WARNING: ${path} was not read: ${reason}\n`)
    return await write(await render(found, format))
  },
})

/** Which documents `--attached` shows: of a format that is not asked for, whatever there is. */
const attachedTypes = {
  table: [...knownPredicates.spdx, ...knownPredicates.cyclonedx],
  json: [...knownPredicates.spdx, ...knownPredicates.cyclonedx],
  spdx: knownPredicates.spdx,
  cyclonedx: knownPredicates.cyclonedx,
} as const

async function render(found: SbomSubject, format: 'table' | 'spdx' | 'cyclonedx' | 'json'): Promise<string> {
  switch (format) {
    case 'table':
      return renderListing(listing, found.contents.packages)
    case 'json':
      return json({ digest: found.digest, ...found.contents })
    case 'spdx': {
      const { toSpdx } = await import('../../sbom/spdx.ts')
      return json(toSpdx(found))
    }
    case 'cyclonedx': {
      const { toCycloneDx } = await import('../../sbom/cyclonedx.ts')
      return json(toCycloneDx(found))
    }
    default:
      return format satisfies never
  }
}

function json(document: object): string {
  return `${JSON.stringify(document, undefined, 2)}\n`
}

const listing: Listing<Package> = {
  columns: {
    Name: { heading: 'NAME', value: ({ name }) => name },
    Version: { heading: 'VERSION', value: ({ version: text }) => text },
    Type: { heading: 'TYPE', value: ({ type }) => type },
    Licenses: { heading: 'LICENSES', value: ({ licenses }) => licenses.join(', ') },
  },
  shown: ['Name', 'Version', 'Type', 'Licenses'],
}
