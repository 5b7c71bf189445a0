import { RegistryClient } from '../../registry/client/connection.ts'

/** What reaching registries needs of the command that does. */
export interface RegistryAccess {
  /** Folder of docker's config.json. */
  readonly configDir: string
  readonly env: Readonly<Record<string, string | undefined>>
  readonly signal: AbortSignal
  /** Told of what registries want their users to know. */
  readonly warn?: (text: string) => void
}

/** A client for the registries that one command talks to. */
export function registryClient({ configDir, env, signal, warn }: RegistryAccess): RegistryClient {
  return new RegistryClient({ configDir, env, signal, onWarning: warn })
}
