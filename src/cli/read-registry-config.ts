import { readConfigFile } from '../registry/access/config-file.ts'
import { parseRegistryConfig, type RegistryConfig } from '../registry/server/registry-config.ts'

/** The configuration of a registry server: of a file, or the defaults without one. Throws CONFIG_INVALID. */
export async function readRegistryConfig(path: string | undefined): Promise<RegistryConfig> {
  return path === undefined ? parseRegistryConfig('', '') : parseRegistryConfig(await readConfigFile(path), path)
}
