import type * as NodeCrypto from 'node:crypto'
import type { JsonWebKeyInput, KeyObject } from 'node:crypto'
import { CairnError } from '../errors/error.ts'
import { concatenated, wireNatural, WireReader, wireString } from './wire.ts'

/** A private key that signs, without a way to read it out. */
export interface SigningKey {
  /** The public key as SSH writes it (RFC 4253 §6.6): what an agent lists. */
  readonly publicKey: Uint8Array
  readonly comment: string
  /** A signature as SSH writes it. `flags` are those of the agent protocol (draft-ietf-sshm-ssh-agent §3.6.1). */
  readonly sign: (data: Uint8Array, flags: number) => Uint8Array
}

const opensshBegin = '-----BEGIN OPENSSH PRIVATE KEY-----'
const opensshEnd = '-----END OPENSSH PRIVATE KEY-----'

/**
 * Reads a private key file: OpenSSH's own format, or PEM (PKCS #1, PKCS #8, SEC 1), of the types ed25519, rsa and ecdsa.
 * `name` is how errors call it. Throws CONFIG_INVALID in the words of BuildKit's library, NOT_SUPPORTED for keys with a
 * passphrase and for other types.
 */
export async function parsePrivateKey(text: string, name: string): Promise<SigningKey> {
  const crypto = await import('node:crypto')
  const { key, comment } = text.includes(opensshBegin) ? readOpenssh(crypto, text, name) : readPem(crypto, text, name)
  switch (key.asymmetricKeyType) {
    case 'ed25519':
      return ed25519Key(crypto, key, comment)
    case 'rsa':
      return rsaKey(crypto, key, comment)
    case 'ec':
      return ecdsaKey(crypto, key, comment, name)
    default:
      throw unsupported(name, key.asymmetricKeyType ?? 'unknown')
  }
}

type Crypto = typeof NodeCrypto

interface ReadKey {
  readonly key: KeyObject
  readonly comment: string
}

function readPem(crypto: Crypto, text: string, name: string): ReadKey {
  if (!/^-----BEGIN [A-Z ]*PRIVATE KEY-----/m.test(text)) throw invalid(name, 'ssh: no key found')
  if (/^-----BEGIN ENCRYPTED PRIVATE KEY-----|^Proc-Type: 4,ENCRYPTED/m.test(text)) throw encrypted(name)
  try {
    return { key: crypto.createPrivateKey(text), comment: '' }
  } catch (error) {
    throw invalid(name, error instanceof Error ? error.message : String(error))
  }
}

/** openssh-key-v1: https://github.com/openssh/openssh-portable/blob/master/PROTOCOL.key */
function readOpenssh(crypto: Crypto, text: string, name: string): ReadKey {
  const start = text.indexOf(opensshBegin) + opensshBegin.length
  const end = text.indexOf(opensshEnd, start)
  if (end < 0) throw invalid(name, 'ssh: no key found')
  const bytes = new Uint8Array(Buffer.from(text.slice(start, end), 'base64'))
  const magic = new TextEncoder().encode('openssh-key-v1\0')
  if (Buffer.compare(bytes.subarray(0, magic.length), magic) !== 0)
    throw invalid(name, 'ssh: invalid openssh private key format')
  const file = new WireReader(bytes.subarray(magic.length), name)
  const cipher = file.text()
  const derivation = file.text()
  file.bytes()
  if (file.uint32() !== 1) throw invalid(name, 'ssh: multi-key files are not supported')
  file.bytes()
  if (cipher !== 'none' || derivation !== 'none') throw encrypted(name)
  const secret = new WireReader(file.bytes(), name)
  if (secret.uint32() !== secret.uint32()) throw invalid(name, 'ssh: malformed OpenSSH key')
  const jwk = readJwk(secret, name)
  const comment = secret.text()
  try {
    return { key: crypto.createPrivateKey({ key: jwk, format: 'jwk' }), comment }
  } catch (error) {
    throw invalid(name, error instanceof Error ? error.message : String(error))
  }
}

/** The curves of RFC 5656 §10.1 by SSH's name and JWK's, with the bytes of a coordinate and the hash (§6.2.1). */
const curves = [
  { ssh: 'nistp256', jwk: 'P-256', bytes: 32, hash: 'sha256' },
  { ssh: 'nistp384', jwk: 'P-384', bytes: 48, hash: 'sha384' },
  { ssh: 'nistp521', jwk: 'P-521', bytes: 66, hash: 'sha512' },
] as const

function readJwk(reader: WireReader, name: string): JsonWebKeyInput['key'] {
  const type = reader.text()
  if (type === 'ssh-ed25519') {
    const x = reader.bytes()
    return { kty: 'OKP', crv: 'Ed25519', x: base64url(x), d: base64url(reader.bytes().subarray(0, 32)) }
  }
  if (type === 'ssh-rsa') {
    const [n, e, d, qi, p, q] = [0, 1, 2, 3, 4, 5].map(() => reader.natural()) as [Uint8Array, ...Uint8Array[]]
    const exponent = (prime: Uint8Array | undefined): string => base64url(modulo(d, prime))
    const fields = { n, e, d, qi, p, q }
    return {
      kty: 'RSA',
      ...Object.fromEntries(
        Object.entries(fields).map(([field, value]) => [field, base64url(value ?? new Uint8Array())]),
      ),
      dp: exponent(p),
      dq: exponent(q),
    }
  }
  if (type.startsWith('ecdsa-sha2-')) {
    const named = reader.text()
    const curve = curves.find(({ ssh }) => ssh === named)
    if (curve === undefined) throw unsupported(name, type)
    const point = reader.bytes()
    const d = reader.natural()
    if (point[0] !== 4 || point.length !== 1 + 2 * curve.bytes) throw invalid(name, 'ssh: malformed OpenSSH key')
    return {
      kty: 'EC',
      crv: curve.jwk,
      x: base64url(point.subarray(1, 1 + curve.bytes)),
      y: base64url(point.subarray(1 + curve.bytes)),
      d: base64url(padded(d, curve.bytes)),
    }
  }
  throw unsupported(name, type)
}

/** `value` modulo `prime` - 1: RFC 8017 §3.2, where the exponents of the two primes come from. */
function modulo(value: Uint8Array | undefined, prime: Uint8Array | undefined): Uint8Array {
  const number = (bytes: Uint8Array | undefined): bigint =>
    BigInt(`0x${Buffer.from(bytes ?? []).toString('hex') || '0'}`)
  const divisor = number(prime) - 1n
  if (divisor <= 0n) return new Uint8Array()
  const hex = (number(value) % divisor).toString(16)
  return new Uint8Array(Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex'))
}

function padded(bytes: Uint8Array, length: number): Uint8Array {
  return bytes.length >= length ? bytes : concatenated(new Uint8Array(length - bytes.length), bytes)
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64url')
}

function fromBase64url(text: string | undefined): Uint8Array {
  return new Uint8Array(Buffer.from(text ?? '', 'base64url'))
}

function ed25519Key(crypto: Crypto, key: KeyObject, comment: string): SigningKey {
  const { x } = crypto.createPublicKey(key).export({ format: 'jwk' })
  return {
    publicKey: concatenated(wireString('ssh-ed25519'), wireString(fromBase64url(x))),
    comment,
    sign: (data) => concatenated(wireString('ssh-ed25519'), wireString(crypto.sign(null, data, key))),
  }
}

/** SSH_AGENT_RSA_SHA2_256 and SSH_AGENT_RSA_SHA2_512. */
const rsaSha256 = 2
const rsaSha512 = 4

function rsaKey(crypto: Crypto, key: KeyObject, comment: string): SigningKey {
  const { n, e } = crypto.createPublicKey(key).export({ format: 'jwk' })
  return {
    publicKey: concatenated(wireString('ssh-rsa'), wireNatural(fromBase64url(e)), wireNatural(fromBase64url(n))),
    comment,
    sign: (data, flags) => {
      const [algorithm, hash] =
        (flags & rsaSha512) !== 0
          ? ['rsa-sha2-512', 'sha512']
          : (flags & rsaSha256) !== 0
            ? ['rsa-sha2-256', 'sha256']
            : ['ssh-rsa', 'sha1']
      return concatenated(wireString(algorithm ?? ''), wireString(crypto.sign(hash, data, key)))
    },
  }
}

function ecdsaKey(crypto: Crypto, key: KeyObject, comment: string, name: string): SigningKey {
  const { crv, x, y } = crypto.createPublicKey(key).export({ format: 'jwk' })
  const curve = curves.find(({ jwk }) => jwk === crv)
  if (curve === undefined) throw unsupported(name, `ecdsa on ${crv}`)
  const algorithm = `ecdsa-sha2-${curve.ssh}`
  const point = concatenated(
    new Uint8Array([4]),
    padded(fromBase64url(x), curve.bytes),
    padded(fromBase64url(y), curve.bytes),
  )
  return {
    publicKey: concatenated(wireString(algorithm), wireString(curve.ssh), wireString(point)),
    comment,
    sign: (data) => {
      const both = crypto.sign(curve.hash, data, { key, dsaEncoding: 'ieee-p1363' })
      const half = both.length / 2
      const pair = concatenated(wireNatural(both.subarray(0, half)), wireNatural(both.subarray(half)))
      return concatenated(wireString(algorithm), wireString(pair))
    },
  }
}

function invalid(name: string, why: string): CairnError {
  return new CairnError('CONFIG_INVALID', `failed to parse ${name}: ${why}`)
}

function encrypted(name: string): CairnError {
  return new CairnError('NOT_SUPPORTED', `failed to parse ${name}: ssh: this private key is passphrase protected`, {
    hint: 'Add it to an ssh-agent with ssh-add, and give the agent: --ssh default.',
  })
}

function unsupported(name: string, type: string): CairnError {
  return new CairnError('NOT_SUPPORTED', `failed to parse ${name}: keys of the type ${type} are not supported`, {
    hint: 'Add it to an ssh-agent with ssh-add, and give the agent: --ssh default.',
  })
}
