import { CairnError } from '../errors/error.ts'
import { parseRegistryConfig, type RegistryConfig } from '../registry/server/registry-config.ts'

/** The configuration of a registry: of a file, or the defaults without one. Throws CONFIG_INVALID. */
export async function readRegistryConfig(path: string | undefined): Promise<RegistryConfig> {
  if (path === undefined) return parseRegistryConfig('', '')
  let text: string
  try {
    text = await Bun.file(path).text()
  } catch (cause) {
    throw new CairnError('CONFIG_INVALID', `${path} cannot be read`, { cause })
  }
  return parseRegistryConfig(text, path)
}
