/**
 * What the client and the server of the OCI distribution-spec say to each other: paths, header names, error codes. One
 * place for both, so that they cannot drift apart.
 */
import type { Digest } from '../oci/digest.ts'

/** distribution-spec §error-codes, with the HTTP status a registry answers with. */
export const registryErrors = {
  BLOB_UNKNOWN: { status: 404, message: 'blob unknown to registry' },
  BLOB_UPLOAD_INVALID: { status: 400, message: 'blob upload invalid' },
  BLOB_UPLOAD_UNKNOWN: { status: 404, message: 'blob upload unknown to registry' },
  DIGEST_INVALID: { status: 400, message: 'provided digest did not match uploaded content' },
  MANIFEST_BLOB_UNKNOWN: { status: 404, message: 'manifest references a manifest or blob unknown to registry' },
  MANIFEST_INVALID: { status: 400, message: 'manifest invalid' },
  MANIFEST_UNKNOWN: { status: 404, message: 'manifest unknown to registry' },
  NAME_INVALID: { status: 400, message: 'invalid repository name' },
  NAME_UNKNOWN: { status: 404, message: 'repository name not known to registry' },
  SIZE_INVALID: { status: 400, message: 'provided length did not match content length' },
  UNAUTHORIZED: { status: 401, message: 'authentication required' },
  DENIED: { status: 403, message: 'requested access to the resource is denied' },
  UNSUPPORTED: { status: 405, message: 'the operation is unsupported' },
  TOOMANYREQUESTS: { status: 429, message: 'too many requests' },
} as const

export type RegistryErrorCode = keyof typeof registryErrors

/** One entry of the error envelope, as the wire has it. */
export interface RegistryErrorEntry {
  /** One of {@link registryErrors}, or whatever a registry made up. */
  readonly code: string
  readonly message?: string
  readonly detail?: unknown
}

/** The body of a 4xx answer. */
export interface RegistryErrorEnvelope {
  readonly errors: readonly RegistryErrorEntry[]
}

/** Header names of the specification and of docker's registry API, in lower case. */
export const registryHeaders = {
  apiVersion: 'docker-distribution-api-version',
  contentDigest: 'docker-content-digest',
  uploadUuid: 'docker-upload-uuid',
  chunkMinLength: 'oci-chunk-min-length',
  subject: 'oci-subject',
  tag: 'oci-tag',
  filtersApplied: 'oci-filters-applied',
} as const

/** distribution-spec §endpoints; `name` is a repository as it is written, without the host. */
export const registryPaths = {
  /** end-1 */
  base: '/v2/',
  /** end-2, end-10 */
  blob: (name: string, digest: Digest) => `/v2/${name}/blobs/${digest}`,
  /** end-3, end-7, end-9; a tag or a digest */
  manifest: (name: string, reference: string) => `/v2/${name}/manifests/${reference}`,
  /** end-4, end-11 */
  uploads: (name: string) => `/v2/${name}/blobs/uploads/`,
  /** end-8 */
  tags: (name: string) => `/v2/${name}/tags/list`,
  /** end-12 */
  referrers: (name: string, digest: Digest) => `/v2/${name}/referrers/${digest}`,
  /** docker's catalog; not in the specification */
  catalog: '/v2/_catalog',
} as const
