import type { Digest } from '../oci/digest.ts'
import type { SecretLevel } from './secrets/secret-rule.ts'

/** Files other than directories, and what layers hold of them. */
export interface FileTotal {
  readonly files: number
  readonly bytes: number
}

/** One layer of an image. */
export interface LayerAnalysis {
  /** Counted from 1, base first. */
  readonly number: number
  /** Of the blob, where the source has one. */
  readonly digest: Digest | undefined
  readonly diffId: Digest
  /** Bytes of the uncompressed tar. */
  readonly size: number
  /** RFC 3339, or ''. */
  readonly created: string
  readonly instruction: string
  readonly added: FileTotal
  readonly changed: FileTotal
  readonly removed: FileTotal
  /** Bytes of this layer that the final image does not need, whichever instruction is to blame. */
  readonly wastedBytes: number
}

/**
 * - `overwritten`: another content of the same file is in a later layer
 * - `removed`: a later layer deletes it
 * - `metadata`: a later layer has the same content again, with another mode, owner or time
 * - `duplicate`: the same content is in the final image at another path, and is no hard link
 * - `cache`: what a package manager downloaded and can download again
 * - `temporary`: left in `/tmp` or `/var/tmp`
 */
export type WasteKind = 'overwritten' | 'removed' | 'metadata' | 'duplicate' | 'cache' | 'temporary'

/** Bytes in an image that nobody can see or needs. */
export interface WasteItem {
  readonly kind: WasteKind
  /** A file, or a directory when all the files below it share this fate. */
  readonly path: string
  readonly bytes: number
  readonly files: number
  /** Number of the layer whose instruction is to blame. */
  readonly layer: number
  /** Number of the layer that holds the bytes. */
  readonly origin: number
  /** What changed of `metadata`, whose `cache`, which path a `duplicate` is of. */
  readonly detail: string
  /** What to write in the Dockerfile. */
  readonly advice: string
}

/** A secret in a layer or in the image config. */
export interface SecretFinding {
  readonly rule: string
  readonly title: string
  readonly level: SecretLevel
  /** Of the file; undefined for a secret in the config. */
  readonly path: string | undefined
  /** Number of the first layer that has it; undefined for a secret in the config. */
  readonly layer: number | undefined
  /** All layers that have it. */
  readonly layers: readonly number[]
  /** Counted from 1; undefined where the file is binary or large. */
  readonly line: number | undefined
  /** Bytes from the beginning of the file. */
  readonly offset: number | undefined
  /** Field of the config, and the variable or label. */
  readonly field: string | undefined
  readonly name: string | undefined
  /** Never the secret itself: what redactSecret() leaves of it. */
  readonly redacted: string
  /** False where a later layer deletes or replaces the file. It is in the image all the same. */
  readonly isVisible: boolean
}

export type PermissionKind = 'setuid' | 'setgid' | 'capabilities' | 'world-writable'

/** A file of the final image that lends rights to whoever runs it, or that everybody may write. */
export interface PermissionFinding {
  readonly kind: PermissionKind
  readonly path: string
  readonly layer: number
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** `cap_net_raw=ep` of a file with capabilities, else ''. */
  readonly capabilities: string
}

/** An image and what is told of it. */
export interface AnalyzedImage {
  /** As the user named it. */
  readonly name: string
  /** `linux/amd64` */
  readonly platform: string
  /** Of the manifest. */
  readonly digest: Digest
  /** Of the config: the image ID. */
  readonly id: Digest
  readonly analysis: ImageAnalysis
}

/** Everything that is told of one image. */
export interface ImageAnalysis {
  readonly layers: readonly LayerAnalysis[]
  /** Bytes of the uncompressed tars. */
  readonly size: number
  /** Files of all layers. */
  readonly stored: FileTotal
  /** Files of the final image. */
  readonly visible: FileTotal
  /** Bytes of files that layers above the first hold. */
  readonly userBytes: number
  readonly wastedBytes: number
  /** 1 − wasted / stored: from 0 to 1, and 1 where no bytes are stored. */
  readonly efficiency: number
  /** Wasted bytes as part of `userBytes`; 0 where there are none. */
  readonly userWasted: number
  /** Largest first. */
  readonly waste: readonly WasteItem[]
  readonly secrets: readonly SecretFinding[]
  /** What looks like secrets in tests, documentation and libraries of installed packages: everybody has them. */
  readonly samples: readonly SecretFinding[]
  readonly permissions: readonly PermissionFinding[]
  /** Files that a bound kept from being searched to their end. */
  readonly unsearched: readonly string[]
}
