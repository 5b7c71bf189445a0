import { entropy } from './placeholder.ts'
import type { SecretRule } from './secret-rule.ts'

/** What every armoured key begins with (RFC 7468, RFC 4880 §6.2, PROTOCOL.key of OpenSSH). */
export const armourLiteral = '-----BEGIN'

/** Bytes before and after that literal which decide what it is. */
export const armourContext = { before: 512, after: 8192 } as const

const privateKey: SecretRule = { id: 'private-key', title: 'Private key', level: 'error' }
const encryptedKey: SecretRule = {
  id: 'encrypted-private-key',
  title: 'Private key behind a passphrase',
  level: 'warning',
}
const pgpKey: SecretRule = { id: 'pgp-private-key', title: 'PGP private key', level: 'error' }
const serviceAccount: SecretRule = { id: 'gcp-service-account', title: 'Google service account key', level: 'error' }

export const privateKeyRules: readonly SecretRule[] = [privateKey, encryptedKey, pgpKey, serviceAccount]

const header = /^-----BEGIN ([A-Z0-9]{2,12} )?PRIVATE KEY( BLOCK)?-----/
/** Characters of base64, between header and footer or where the footer is missing: programs have headers alone. */
const shortestBody = { whole: 24, cut: 40 } as const

/** The key that begins at `at` of `text`: its rule and its base64, or undefined for certificates, public keys and programs' own words. */
export function privateKeyAt(
  text: string,
  at: number,
): { readonly rule: SecretRule; readonly value: string } | undefined {
  const after = text.slice(at, at + armourContext.after)
  const match = header.exec(after)
  if (match === null) return undefined
  const rest = after.slice(match[0].length)
  const end = rest.indexOf('-----END')
  // Programs and JSON write the line ends of keys as escapes.
  const lines = (end < 0 ? rest : rest.slice(0, end)).replace(/\\r|\\n|\\\n/g, '\n').split(/\r?\n/)
  const isEncrypted = match[1] === 'ENCRYPTED ' || lines.some((line) => /^Proc-Type: ?4,ENCRYPTED/.test(line))
  const body = base64Of(lines)
  if (body.length < (end < 0 ? shortestBody.cut : shortestBody.whole) || entropy(body) < 3) return undefined
  const before = text.slice(Math.max(0, at - armourContext.before), at)
  if (/"private_key"\s{0,8}:\s{0,8}"$/.test(before) && /"service_account"/.test(before + after))
    return { rule: serviceAccount, value: body }
  if (match[2] !== undefined) return { rule: pgpKey, value: body }
  return { rule: isEncrypted || isEncryptedOpenSsh(body) ? encryptedKey : privateKey, value: body }
}

/** The base64 at the beginning of a block, its header lines and checksum left out. */
function base64Of(lines: readonly string[]): string {
  let body = ''
  for (const line of lines) {
    // As in source code: indented, quoted, joined by `+` or `.`.
    const text = line.replace(/^[\s"'+.]+|[\s"'+,;.]+$/g, '')
    if (text === '' || (body === '' && /^[A-Za-z-]+: /.test(text)) || /^=[A-Za-z0-9+/]{4}$/.test(text)) continue
    const whole = /^[A-Za-z0-9+/]+={0,2}/.exec(text)?.[0] ?? ''
    body += whole
    if (whole !== text) break
  }
  return body
}

/** openssh-key-v1: a magic, then the cipher's name, `none` for a key in the clear. */
function isEncryptedOpenSsh(body: string): boolean {
  const bytes = Buffer.from(body.slice(0, 64), 'base64')
  if (bytes.subarray(0, 15).toString('latin1') !== 'openssh-key-v1\0') return false
  return bytes.subarray(19, 23).toString('latin1') !== 'none'
}
