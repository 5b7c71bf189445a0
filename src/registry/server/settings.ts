import type { Rate } from './rate-limit.ts'

/** How a registry server behaves. Sizes are in bytes, times in milliseconds. */
export interface RegistrySettings {
  /** Whether tags, manifests and blobs may be deleted. */
  readonly isDeleteEnabled: boolean
  /** Whether nothing may be changed. */
  readonly isReadOnly: boolean
  /** Whether a manifest may name blobs and manifests that its repository does not have. */
  readonly missingContent: 'accept' | 'refuse'
  readonly largestManifest: number
  readonly largestBlob: number
  /** Bytes that the blobs of one repository may have. */
  readonly quota: number
  /** Requests of one client: a user, or an address where there is no name. */
  readonly requests: Rate | undefined
  /** Wrong credentials from one address. */
  readonly failedLogins: Rate
}

export const defaultSettings: RegistrySettings = {
  isDeleteEnabled: true,
  isReadOnly: false,
  missingContent: 'accept',
  largestManifest: 4 * 1024 * 1024,
  largestBlob: Number.MAX_SAFE_INTEGER,
  quota: Number.MAX_SAFE_INTEGER,
  requests: undefined,
  failedLogins: { count: 30, period: 60_000 },
}
