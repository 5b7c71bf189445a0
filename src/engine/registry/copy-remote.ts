import { recover } from '../../content/recovery.ts'
import type { Store } from '../../content/store.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import type { Platform } from '../../oci/platform.ts'
import { pinned, type Reference, withDefaultTag, withDigest } from '../../oci/reference.ts'
import { copyRemote as copy } from '../../registry/client/copy.ts'
import { copyReferrers } from '../../registry/client/copy-referrers.ts'
import { type RegistryAccess, registryClient } from './registry-access.ts'

export interface CopyRemoteOptions {
  readonly access: RegistryAccess
  /** Of an image for several platforms, copy only this one. */
  readonly platform?: Platform | undefined
  /** Also copies what refers to the image. */
  readonly withReferrers: boolean
}

/** What a copy between registries did. */
export interface CopiedRemote {
  readonly target: Descriptor
  readonly referrers: number
  readonly written: { readonly blobs: number; readonly bytes: number }
}

/** Copies an image from registry to registry. Throws as copyRemote() and copyReferrers() of the registry client. */
export async function copyRemote(
  store: Store,
  from: Reference,
  to: Reference,
  { access, platform, withReferrers }: CopyRemoteOptions,
): Promise<CopiedRemote> {
  recover(store)
  const client = registryClient(access)
  const source = pinned(from)
  // What is copied by its digest alone needs no tag there.
  const target = to.tag === undefined && source.digest !== undefined ? withDigest(to, source.digest) : to
  const options = { store, client, from: source, to: withDefaultTag(target), platform }
  const { target: descriptor, written } = await copy(options)
  if (!withReferrers) return { target: descriptor, referrers: 0, written }
  const more = await copyReferrers(options, descriptor)
  return {
    target: descriptor,
    referrers: more.referrers + more.tags,
    written: { blobs: written.blobs + more.written.blobs, bytes: written.bytes + more.written.bytes },
  }
}
