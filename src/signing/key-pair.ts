import type { KeyObject } from 'node:crypto'
import { CairnError } from '../errors/error.ts'
import { isJsonObject } from '../oci/descriptor.ts'
import { seal, unseal } from './secretbox.ts'

/** A private key that can sign; made by {@link parsePrivateKey}. */
export interface SigningKey {
  readonly privateKey: KeyObject
}

/** A public key that signatures are checked with; made by {@link parsePublicKey}. */
export interface VerifyingKey {
  readonly publicKey: KeyObject
  /** Base64 of the sha256 of the key (SubjectPublicKeyInfo, DER): what bundles call it by. */
  readonly hint: string
}

const encryptedType = 'ENCRYPTED SIGSTORE PRIVATE KEY'
/** What cosign takes since 2023. */
const scryptParameters = { N: 65536, r: 8, p: 1 } as const
/** Keys of others may ask for more work, but not for all memory. */
const largestWork = 2 ** 20

/** Makes a key pair for ECDSA on P-256, both as PEM; the private key in cosign's encrypted form. */
export async function generateKeyPair(
  password: string,
): Promise<{ readonly privatePem: string; readonly publicPem: string }> {
  const { generateKeyPairSync } = await import('node:crypto')
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  const der = privateKey.export({ type: 'pkcs8', format: 'der' })
  return {
    privatePem: await encryptKey(der, password),
    publicPem: publicKey.export({ type: 'spki', format: 'pem' }),
  }
}

async function encryptKey(der: Uint8Array, password: string): Promise<string> {
  const { randomBytes } = await import('node:crypto')
  const [salt, nonce] = [randomBytes(32), randomBytes(24)]
  const key = await deriveKey(password, salt, scryptParameters)
  const document = {
    kdf: { name: 'scrypt', params: scryptParameters, salt: base64(salt) },
    cipher: { name: 'nacl/secretbox', nonce: base64(nonce) },
    ciphertext: base64(seal(der, nonce, key)),
  }
  const body = base64(new TextEncoder().encode(JSON.stringify(document))).replace(/.{1,64}/g, '$&\n')
  return `-----BEGIN ${encryptedType}-----\n${body}-----END ${encryptedType}-----\n`
}

/**
 * Reads a private key: cosign's encrypted form, or PKCS #8 or SEC 1 in PEM. `password` is asked for where it is encrypted;
 * `name` is what errors call it. Throws KEY_INVALID.
 */
export async function parsePrivateKey(
  pem: string,
  name: string,
  password: () => string | undefined,
): Promise<SigningKey> {
  const { createPrivateKey } = await import('node:crypto')
  const encrypted = /-----BEGIN ENCRYPTED (?:SIGSTORE|COSIGN) PRIVATE KEY-----([\sA-Za-z0-9+/=]+)-----END/.exec(pem)
  let privateKey: KeyObject
  if (encrypted !== null) {
    const der = await decryptKey(Buffer.from(encrypted[1] ?? '', 'base64'), name, password())
    privateKey = readKey(name, () => createPrivateKey({ key: Buffer.from(der), format: 'der', type: 'pkcs8' }))
  } else privateKey = readKey(name, () => createPrivateKey(pem))
  requireP256(privateKey, name)
  return { privateKey }
}

/** Reads a public key in PEM. Throws KEY_INVALID. */
export async function parsePublicKey(pem: string, name: string): Promise<VerifyingKey> {
  const { createPublicKey } = await import('node:crypto')
  if (/PRIVATE KEY-----/.test(pem))
    throw new CairnError('KEY_INVALID', `${name} is a private key`, {
      hint: 'Give the public one, which ends in .pub.',
    })
  return await verifyingKey(
    readKey(name, () => createPublicKey(pem)),
    name,
  )
}

/** The public key of a pair. */
export async function publicKeyOf({ privateKey }: SigningKey): Promise<VerifyingKey> {
  const { createPublicKey } = await import('node:crypto')
  return await verifyingKey(createPublicKey(privateKey), 'the key')
}

async function verifyingKey(publicKey: KeyObject, name: string): Promise<VerifyingKey> {
  requireP256(publicKey, name)
  const der = publicKey.export({ type: 'spki', format: 'der' })
  return { publicKey, hint: new Bun.CryptoHasher('sha256').update(der).digest('base64') }
}

function readKey(name: string, read: () => KeyObject): KeyObject {
  try {
    return read()
  } catch (cause) {
    throw new CairnError('KEY_INVALID', `${name} is no key in PEM form`, {
      cause,
      hint: '`cairn image generate-key-pair` makes a pair.',
    })
  }
}

function requireP256(key: KeyObject, name: string): void {
  if (key.asymmetricKeyType === 'ec' && key.asymmetricKeyDetails?.namedCurve === 'prime256v1') return
  throw new CairnError('KEY_INVALID', `${name} is a key of another kind: ECDSA keys on P-256 are supported`)
}

async function decryptKey(json: Uint8Array, name: string, password: string | undefined): Promise<Uint8Array> {
  if (password === undefined)
    throw new CairnError('KEY_INVALID', `${name} is encrypted`, {
      hint: 'Give its password in COSIGN_PASSWORD, or by --password-stdin.',
    })
  const { kdf, cipher, ciphertext } = parseEncrypted(json, name)
  const der = unseal(ciphertext, cipher, await deriveKey(password, kdf.salt, kdf))
  if (der === undefined)
    throw new CairnError('KEY_INVALID', `${name} cannot be decrypted: the password is wrong, or the file is damaged`)
  return der
}

interface EncryptedKey {
  readonly kdf: { readonly N: number; readonly r: number; readonly p: number; readonly salt: Uint8Array }
  /** The nonce. */
  readonly cipher: Uint8Array
  readonly ciphertext: Uint8Array
}

function parseEncrypted(json: Uint8Array, name: string): EncryptedKey {
  const wrong = (what: string): CairnError => new CairnError('KEY_INVALID', `${name} is no encrypted key: ${what}`)
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder().decode(json))
  } catch {
    throw wrong('its content is not JSON')
  }
  const object = (field: unknown): Readonly<Record<string, unknown>> => (isJsonObject(field) ? field : {})
  const { kdf, cipher, ciphertext } = object(value)
  const { N, r, p } = object(object(kdf)['params'])
  if (object(kdf)['name'] !== 'scrypt' || object(cipher)['name'] !== 'nacl/secretbox')
    throw wrong('it is encrypted in an unknown way')
  if (typeof N !== 'number' || typeof r !== 'number' || typeof p !== 'number' || !(N > 1 && r > 0 && p > 0))
    throw wrong('it has no parameters of scrypt')
  if (N > largestWork || r > 32 || p > 16 || (N & (N - 1)) !== 0)
    throw wrong('its parameters of scrypt are not acceptable')
  const nonce = bytesOf(object(cipher)['nonce'])
  if (nonce.length !== 24) throw wrong('it has no nonce')
  return { kdf: { N, r, p, salt: bytesOf(object(kdf)['salt']) }, cipher: nonce, ciphertext: bytesOf(ciphertext) }
}

async function deriveKey(
  password: string,
  salt: Uint8Array,
  { N, r, p }: { readonly N: number; readonly r: number; readonly p: number },
): Promise<Uint8Array> {
  const { scryptSync } = await import('node:crypto')
  return new Uint8Array(scryptSync(password, salt, 32, { N, r, p, maxmem: 256 * N * r }))
}

function bytesOf(value: unknown): Uint8Array {
  return new Uint8Array(typeof value === 'string' ? Buffer.from(value, 'base64') : [])
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64')
}
