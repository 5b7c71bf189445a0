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
