import type { Digest } from '../oci/digest.ts'
import { digestHex } from '../oci/digest.ts'
import type { Platform } from '../oci/platform.ts'
import type { ImageContents } from './package.ts'
import { packageUrl } from './purl.ts'

/** An image, and all that a bill of materials says of it. Nothing else goes into one, so it is the same on every machine. */
export interface SbomSubject {
  /** As the user names it: `app`, `oci:dir`. */
  readonly name: string
  /** Of the platform's manifest. */
  readonly digest: Digest
  readonly platform: Platform
  /** RFC 3339, the image's own; nothing has a time of now. */
  readonly created: string | undefined
  readonly contents: ImageContents
  /** Of Cairn. */
  readonly toolVersion: string
}

/** When the document says that it was made: the time of the image, to the second. */
export function documentTime({ created }: SbomSubject): string {
  const time = created === undefined ? Number.NaN : Date.parse(created)
  return new Date(Number.isNaN(time) ? 0 : time).toISOString().replace(/\.\d+Z$/, 'Z')
}

/** The image as a package URL: `pkg:oci/app@sha256:…?arch=amd64`. */
export function imagePurl({ name, digest, platform }: SbomSubject): string {
  const bare = name.replace(/@.*$/, '').replace(/:[^/:]*$/, '')
  const short = bare.slice(bare.lastIndexOf('/') + 1).toLowerCase() || 'image'
  return packageUrl({ type: 'oci', name: short, version: digest, qualifiers: { arch: platform.architecture } })
}

/** A UUID (RFC 9562, version 8) that stands for the image and the format. */
export function documentUuid({ digest }: SbomSubject, format: string): string {
  const hex = new Bun.CryptoHasher('sha256').update(`${format} ${digestHex(digest)}`).digest('hex')
  const variant = ((Number.parseInt(hex.slice(16, 17), 16) & 3) | 8).toString(16)
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}
