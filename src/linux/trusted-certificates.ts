import { readTextFile } from './text-file.ts'

/** Where distributions keep the authorities that the machine trusts; Bun itself only knows Mozilla's. */
const bundles = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
]

/** The machine's certificate authorities as PEM: the file SSL_CERT_FILE names, else that of the distribution. */
export function trustedCertificates(env: Readonly<Record<string, string | undefined>>): string | undefined {
  const chosen = env['SSL_CERT_FILE']
  for (const path of chosen === undefined || chosen === '' ? bundles : [chosen]) {
    const text = readTextFile(path)
    if (text !== undefined && text !== '') return text
  }
  return undefined
}

type Trust = { readonly tls?: { readonly ca: string } }

const trusts = new Map<string, Trust>()

/**
 * What fetch is given so that it trusts the authorities of {@link trustedCertificates}, by the environment of this process;
 * nothing where there are none. They are read once.
 */
export function machineTrust(): Trust {
  const chosen = process.env['SSL_CERT_FILE'] ?? ''
  let trust = trusts.get(chosen)
  if (trust === undefined) {
    const ca = trustedCertificates(process.env)
    trusts.set(chosen, (trust = ca === undefined ? {} : { tls: { ca } }))
  }
  return trust
}
