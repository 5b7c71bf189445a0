import { CairnError } from '../../errors/error.ts'
import { eraseCredentials, storeCredentials, type StoredCredentials } from '../../registry/client/credential-file.ts'
import { credentialKey, type Credentials, hubKey } from '../../registry/client/credentials.ts'
import { parseReference } from '../../oci/reference.ts'
import { type RegistryAccess, registryClient } from './registry-access.ts'

/** The registry that users mean when they name none. */
export const defaultServer = hubKey

/** The host of a registry as users write it: `https://index.docker.io/v1/` is `docker.io`. Throws REFERENCE_INVALID. */
function hostOf(server: string): string {
  const key = credentialKey(server)
  const host = key === hubKey ? 'docker.io' : key
  const reference = parseReference(`${host}/name`)
  if (host === '' || (reference.domain !== host && host !== 'docker.io'))
    throw new CairnError('REFERENCE_INVALID', `${JSON.stringify(server)} is not the name of a registry`, {
      hint: 'It is HOST or HOST:PORT, for example registry.example.com.',
    })
  return host
}

/** Credentials that are kept for a registry. Throws as CredentialStore.for(). */
export async function knownCredentials(server: string, access: RegistryAccess): Promise<Credentials | undefined> {
  const client = registryClient(access)
  const endpoint = client.hosts.endpointFor(parseReference(`${hostOf(server)}/name`))
  return await client.credentials.for(endpoint.host, '')
}

/**
 * Checks that a registry takes these credentials, and keeps them, or the identity token that it gave for them. Throws
 * UNAUTHORIZED where it does not take them, and as RegistryConnection.send() and storeCredentials().
 */
export async function login(
  server: string,
  credentials: Credentials,
  access: RegistryAccess,
): Promise<StoredCredentials> {
  const client = registryClient(access)
  const endpoint = client.hosts.endpointFor(parseReference(`${hostOf(server)}/name`))
  const kept = await client.connection(endpoint).logIn(credentials)
  if (kept.kind === 'bearer') return { plainFile: undefined }
  return await storeCredentials(server, kept, access)
}

/** Forgets the credentials of a registry; false where there were none. Throws as eraseCredentials(). */
export async function logout(server: string, access: RegistryAccess): Promise<boolean> {
  hostOf(server)
  return await eraseCredentials(server, access)
}
