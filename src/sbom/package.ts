/** Where packages come from; each has a type of package URL of its own. */
export type PackageType = 'deb' | 'apk' | 'rpm' | 'npm' | 'pypi' | 'golang' | 'maven'

/** A package that an image holds. */
export interface Package {
  readonly type: PackageType
  /** With its scope, group or module path, as its own tools write it. */
  readonly name: string
  /** Empty where the metadata gives none. */
  readonly version: string
  /** Package URL (purl-spec). */
  readonly purl: string
  /** As the metadata says them: SPDX expressions or any other text. All apply. */
  readonly licenses: readonly string[]
  /** Who made it: a person or an organisation. */
  readonly supplier?: string
  readonly homepage?: string
  /** The file of the image that tells of it. */
  readonly path: string
}

/** The distribution an image is made of, os-release(5). */
export interface OperatingSystem {
  /** `debian`, `alpine`. */
  readonly id: string
  /** Of the release; empty for rolling ones. */
  readonly version: string
  /** `Debian GNU/Linux 12 (bookworm)`. */
  readonly title: string
}

/** Metadata that is there and was not understood. */
export interface UnreadMetadata {
  readonly path: string
  readonly reason: string
}

/** What an image is made of. Everything is sorted, so equal images give equal lists. */
export interface ImageContents {
  readonly os: OperatingSystem | undefined
  readonly packages: readonly Package[]
  readonly unread: readonly UnreadMetadata[]
}

/**
 * Thrown by whoever reads metadata that is damaged or too large: the image is scanned on without it. `found` is what else
 * the same file told of.
 */
export class UnreadableMetadata extends Error {
  readonly found: readonly Package[]

  constructor(message: string, found: readonly Package[] = []) {
    super(message)
    this.found = found
  }
}
