import { type AttachedStatement, findStatements } from '../../attest/find-statements.ts'
import type { Store } from '../../content/store.ts'
import { chooseManifest } from '../../images/copy-image.ts'
import { parseImageLocation } from '../../images/image-location.ts'
import type { Platform } from '../../oci/platform.ts'
import { openSource } from './open-source.ts'
import type { RegistryAccess } from '../registry/registry-access.ts'

export interface AttachedOptions {
  readonly platform?: Platform | undefined
  readonly access?: RegistryAccess
}

/**
 * The statements of some predicate types that are attached to the image that `location` means, of one for several
 * platforms those of `platform`'s. Throws as openSource, chooseManifest and findStatements.
 */
export async function attachedStatements(
  store: Store,
  location: string,
  types: readonly string[],
  { platform, access }: AttachedOptions = {},
): Promise<readonly AttachedStatement[]> {
  using source = await openSource(store, parseImageLocation(location), access)
  return await findStatements(source, await chooseManifest(source, platform), types)
}
