import { type Digest, digestAlgorithm, digestHex, isDigest } from '../../../oci/digest.ts'

/**
 * Keys in the bucket. The order of keys is the order of bytes, which lists are in. Components of repositories begin
 * with a letter or digit, so `_` ends their name. All objects but those of `data/` and `uploads/` are small; those below
 * `records/`, `links/`, `catalog/`, `_manifests/` and `_tags/` are guarded.
 *
 *     data/<id>                                      bytes of a blob, or of an upload that is about to become one
 *     records/<algorithm>/<hex>                      a blob: which data it is
 *     links/<algorithm>/<hex>/<repository>           a repository has it
 *     catalog/<repository>                           there is such a repository
 *     repositories/<repository>/_blobs/<algorithm>/<hex>/<size>  as links, to be listed
 *     repositories/<repository>/_manifests/<algorithm>/<hex>
 *     repositories/<repository>/_referrers/<algorithm>/<hex of the subject>/<algorithm>/<hex>
 *     repositories/<repository>/_tags/<tag>
 *     uploads/<id>                                   the state of an upload
 *     tails/<id>/<mark>                              its bytes that do not fill a part
 */
export const keys = {
  data: (id: string) => `data/${id}`,
  record: (digest: Digest) => `records/${digestPath(digest)}`,
  links: (digest: Digest) => `links/${digestPath(digest)}/`,
  link: (digest: Digest, repository: string) => `links/${digestPath(digest)}/${repository}`,
  catalog: (repository: string) => `catalog/${repository}`,
  repository: (repository: string) => `repositories/${repository}/_`,
  blobs: (repository: string) => `repositories/${repository}/_blobs/`,
  blob: (repository: string, digest: Digest, size: number) =>
    `repositories/${repository}/_blobs/${digestPath(digest)}/${size}`,
  manifests: (repository: string) => `repositories/${repository}/_manifests/`,
  manifest: (repository: string, digest: Digest) => `repositories/${repository}/_manifests/${digestPath(digest)}`,
  allReferrers: (repository: string) => `repositories/${repository}/_referrers/`,
  referrers: (repository: string, subject: Digest) => `repositories/${repository}/_referrers/${digestPath(subject)}/`,
  referrer: (repository: string, subject: Digest, digest: Digest) =>
    `repositories/${repository}/_referrers/${digestPath(subject)}/${digestPath(digest)}`,
  tags: (repository: string) => `repositories/${repository}/_tags/`,
  tag: (repository: string, tag: string) => `repositories/${repository}/_tags/${tag}`,
  upload: (id: string) => `uploads/${id}`,
  tail: (id: string, mark: string) => `tails/${id}/${mark}`,
  garbageLock: 'locks/garbage',
} as const

/** The digest in a key at `<algorithm>/<hex>` after `prefix`; undefined for a key that is not of this layout. */
export function digestInKey(key: string, prefix: string): Digest | undefined {
  const [algorithm = '', hex = ''] = key.slice(prefix.length).split('/')
  const digest = `${algorithm}:${hex}`
  return isDigest(digest) ? digest : undefined
}

function digestPath(digest: Digest): string {
  return `${digestAlgorithm(digest)}/${digestHex(digest)}`
}
