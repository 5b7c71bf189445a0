import type { Store } from '../../content/store.ts'
import type { Platform } from '../../oci/platform.ts'
import { platformOf } from '../../oci/config.ts'
import { scanPackages } from '../../sbom/scan-packages.ts'
import type { SbomSubject } from '../../sbom/subject.ts'
import { openImageFiles } from './image-files.ts'
import type { RegistryAccess } from '../registry/registry-access.ts'

export interface SbomOptions {
  readonly platform?: Platform | undefined
  readonly access?: RegistryAccess
  readonly toolVersion: string
  readonly signal?: AbortSignal
}

/**
 * Finds the packages of the image that `location` means, of one for several platforms those of `platform`, by default
 * this machine's. Nothing is run or unpacked. Throws as openImageFiles and scanPackages.
 */
export async function scanImage(store: Store, location: string, options: SbomOptions): Promise<SbomSubject> {
  const { platform, access, toolVersion, signal } = options
  using opened = await openImageFiles(store, location, platform, access)
  const { image, files } = opened
  const { value: config } = await image.config()
  const contents = await scanPackages(await files.tree(), signal)
  return {
    name: location,
    digest: await image.digest(),
    platform: platformOf(config),
    created: config.created,
    contents,
    toolVersion,
  }
}
