import { CairnError } from '../../errors/error.ts'
import { listDirectory } from '../../linux/directories.ts'
import { SystemCallError } from '../../linux/errno.ts'
import { readTextFile } from '../../linux/text-file.ts'
import { trustedCertificates } from '../../linux/trusted-certificates.ts'
import type { Endpoint } from './hosts.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** What a TLS connection to one registry is made with, as fetch takes it. */
export interface TlsSettings {
  readonly ca?: readonly string[]
  readonly cert?: string
  readonly key?: string
  readonly rejectUnauthorized?: false
}

/**
 * Certificates for a registry: the machine's authorities, and of docker's and podman's `certs.d/HOST[:PORT]/` every
 * `*.crt` as one more authority and `NAME.cert` with `NAME.key` as the client's own. Throws CONFIG_INVALID for a
 * certificate without its key, and for a file that is none.
 */
export function tlsSettings({ host, isInsecure }: Endpoint, env: Environment): TlsSettings {
  const directory = certificateDirectory(host, env)
  const authorities = directory?.names.filter((name) => name.endsWith('.crt')) ?? []
  // Where any certificate will do nobody has to read those of the machine.
  const isAny = isInsecure && authorities.length === 0
  const machine = isAny ? undefined : trustedCertificates(env)
  const ca = [
    ...(machine === undefined ? [] : [machine]),
    ...authorities.map((name) => readPem(`${directory?.path}/${name}`, 'CERTIFICATE')),
  ]
  return {
    ...(ca.length === 0 ? {} : { ca }),
    ...(directory === undefined ? {} : clientCertificate(directory)),
    ...(isAny ? { rejectUnauthorized: false } : {}),
  }
}

/** The machine's authorities alone: for every other host that is talked to. */
export function plainTlsSettings(env: Environment): TlsSettings {
  const machine = trustedCertificates(env)
  return machine === undefined ? {} : { ca: [machine] }
}

interface CertificateDirectory {
  readonly path: string
  readonly names: readonly string[]
}

function certificateDirectory(host: string, env: Environment): CertificateDirectory | undefined {
  const { HOME: home, XDG_CONFIG_HOME: configHome } = env
  const config = configHome !== undefined && configHome !== '' ? configHome : `${home ?? '/root'}/.config`
  const places = [
    `${config}/containers/certs.d`,
    `${config}/docker/certs.d`,
    '/etc/containers/certs.d',
    '/etc/docker/certs.d',
  ]
  for (const place of places) {
    const path = `${place}/${host}`
    try {
      const names = listDirectory(path).map(({ name }) => name)
      if (names.length > 0) return { path, names: names.toSorted() }
    } catch (error) {
      if (!(error instanceof SystemCallError)) throw error
    }
  }
  return undefined
}

function clientCertificate({
  path,
  names,
}: CertificateDirectory): { readonly cert: string; readonly key: string } | {} {
  const name = names.find((one) => one.endsWith('.cert'))?.slice(0, -'.cert'.length)
  const orphan = names.find((one) => one.endsWith('.key') && !names.includes(`${one.slice(0, -4)}.cert`))
  if (name === undefined && orphan === undefined) return {}
  const missing = name === undefined ? `${orphan?.slice(0, -4)}.cert` : `${name}.key`
  if (name === undefined || !names.includes(`${name}.key`))
    throw new CairnError('CONFIG_INVALID', `${path} lacks ${missing}: a client certificate is NAME.cert and NAME.key`)
  return { cert: readPem(`${path}/${name}.cert`, 'CERTIFICATE'), key: readPem(`${path}/${name}.key`, 'PRIVATE KEY') }
}

/** A file in PEM with at least one thing of a kind: what is something else would only end as a connection that breaks. */
function readPem(path: string, kind: 'CERTIFICATE' | 'PRIVATE KEY'): string {
  const text = readTextFile(path) ?? ''
  if (new RegExp(`^-----BEGIN (?:[A-Z0-9]+ )*${kind}-----`, 'm').test(text)) return text
  throw new CairnError('CONFIG_INVALID', `${path} holds no ${kind.toLowerCase()} in PEM`)
}
