import { describe, expect, test } from 'bun:test'
import { generateKeyPairSync } from 'node:crypto'
import type { Descriptor } from '../oci/descriptor.ts'
import { digestOf } from '../oci/digest.ts'
import { mediaTypes } from '../oci/media-types.ts'
import { bundleType, signImageDigest, verifyBundle } from './image-signature.ts'
import { generateKeyPair, parsePrivateKey, parsePublicKey } from './key-pair.ts'
import { seal, unseal } from './secretbox.ts'

const image: Descriptor = { mediaType: mediaTypes.ociManifest, digest: digestOf('image'), size: 5 }

async function pair(password = '') {
  const { privatePem, publicPem } = await generateKeyPair(password)
  const privateKey = await parsePrivateKey(privatePem, 'k.key', () => password)
  return { privatePem, publicPem, privateKey, publicKey: await parsePublicKey(publicPem, 'k.pub') }
}

describe('seal()', () => {
  const key = new Uint8Array(32).map((_, index) => index)
  const nonce = new Uint8Array(24).map((_, index) => index * 3)
  const message = new TextEncoder().encode(
    'a message of more than thirty-two bytes, and so of two blocks of the stream',
  )
  /** As TweetNaCl gives it. */
  const box =
    'ba631b30963d758330a3eb593d2f9aa49ae3f9c81244d932aa3f7cfceb9ee95c47280a4c62c2b118b02f8251d199138af8555a0c2696c8d8126eb1c1a3e609d3fb840b141f7fbdbfc967e7ba996cb1e530f44267a54676d2af97f4'

  test("gives NaCl's bytes, which unseal() opens", () => {
    expect(Buffer.from(seal(message, nonce, key)).toString('hex')).toBe(box)
    expect(unseal(Buffer.from(box, 'hex'), nonce, key)).toEqual(message)
  })

  test('is not opened once a byte is changed, cut off, or by another key', () => {
    for (const place of [0, 15, 16, box.length / 2 - 1]) {
      const changed = Buffer.from(box, 'hex')
      changed[place] = (changed[place] ?? 0) ^ 1
      expect(unseal(changed, nonce, key)).toBeUndefined()
    }
    expect(unseal(new Uint8Array(7), nonce, key)).toBeUndefined()
    expect(unseal(Buffer.from(box, 'hex'), nonce, key.toReversed())).toBeUndefined()
  })
})

describe('parsePrivateKey()', () => {
  test('opens what generateKeyPair() encrypted, with its password only', async () => {
    const { privatePem } = await pair('secret')
    expect(privatePem).toStartWith('-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n')
    await expect(parsePrivateKey(privatePem, 'k.key', () => 'other')).rejects.toThrow('k.key cannot be decrypted')
    await expect(parsePrivateKey(privatePem, 'k.key', () => undefined)).rejects.toThrow('k.key is encrypted')
  })

  test('takes PKCS #8 and SEC 1, and no key of another kind', async () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
    for (const type of ['pkcs8', 'sec1'] as const)
      expect(await parsePrivateKey(privateKey.export({ type, format: 'pem' }), 'k', () => undefined)).toBeDefined()
    const other = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' })
    await expect(parsePrivateKey(other, 'k', () => undefined)).rejects.toThrow('k is a key of another kind')
    await expect(parsePrivateKey('nothing', 'k', () => undefined)).rejects.toThrow('k is no key in PEM form')
  })

  test('refuses parameters that would take all memory, and whatever else is no key', async () => {
    const pem = (value: unknown): string =>
      `-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n${Buffer.from(JSON.stringify(value)).toString('base64')}\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n`
    const cipher = { name: 'nacl/secretbox', nonce: Buffer.alloc(24).toString('base64') }
    const kdf = (params: object): object => ({ name: 'scrypt', params, salt: 'AAAA' })
    for (const [value, message] of [
      [{ kdf: kdf({ N: 2 ** 30, r: 8, p: 1 }), cipher, ciphertext: 'AAAA' }, 'are not acceptable'],
      [{ kdf: kdf({ N: 1000, r: 8, p: 1 }), cipher, ciphertext: 'AAAA' }, 'are not acceptable'],
      [{ kdf: kdf({}), cipher }, 'it has no parameters of scrypt'],
      [{ kdf: { name: 'argon2' }, cipher }, 'it is encrypted in an unknown way'],
      [[1], 'it is encrypted in an unknown way'],
      [{ kdf: kdf({ N: 2, r: 1, p: 1 }), cipher, ciphertext: 'AAAA' }, 'cannot be decrypted'],
    ] as const)
      await expect(parsePrivateKey(pem(value), 'k', () => '')).rejects.toThrow(message)
  })
})

describe('parsePublicKey()', () => {
  test('says of a private key that it is one', async () => {
    const { privatePem } = await pair()
    await expect(parsePublicKey(privatePem, 'k.key')).rejects.toThrow('k.key is a private key')
  })
})

describe('verifyBundle()', () => {
  test('takes what signImageDigest() made, which refers to the image', async () => {
    const { privateKey, publicKey } = await pair()
    const { manifest, blobs } = await signImageDigest(image, privateKey)
    expect(manifest).toMatchObject({ artifactType: bundleType, subject: image, layers: [{ mediaType: bundleType }] })
    const [bundle] = blobs
    await verifyBundle(bundle ?? new Uint8Array(), image.digest, publicKey)
    expect(JSON.parse(new TextDecoder().decode(bundle))).toMatchObject({
      mediaType: bundleType,
      verificationMaterial: { publicKey: { hint: publicKey.hint } },
      dsseEnvelope: { payloadType: 'application/vnd.in-toto+json' },
    })
  })

  test('refuses another key, another image, and every change', async () => {
    const { privateKey, publicKey } = await pair()
    const { publicKey: other } = await pair()
    const bundle = (await signImageDigest(image, privateKey)).blobs[0] ?? new Uint8Array()
    const not = (bytes: Uint8Array, digest = image.digest, key = publicKey) =>
      expect(verifyBundle(bytes, digest, key)).rejects
    await not(bundle, image.digest, other).toThrow('it was not made with this key, or was changed')
    await not(bundle, digestOf('other')).toThrow('it signs another image')
    const edited = (
      edit: (value: { dsseEnvelope: { payload: string; payloadType: string; signatures: unknown[] } }) => void,
    ) => {
      const value = JSON.parse(new TextDecoder().decode(bundle)) as Parameters<typeof edit>[0]
      edit(value)
      return new TextEncoder().encode(JSON.stringify(value))
    }
    const payload = Buffer.from(JSON.stringify({ _type: 'https://in-toto.io/Statement/v1', subject: [] })).toString(
      'base64',
    )
    await not(edited((value) => (value.dsseEnvelope.payload = payload))).toThrow('or was changed')
    await not(edited((value) => (value.dsseEnvelope.payloadType = 'text/plain'))).toThrow('it signs "text/plain"')
    await not(edited((value) => (value.dsseEnvelope.signatures = []))).toThrow(/no sigstore bundle|or was changed/)
    await not(new TextEncoder().encode('{}')).toThrow('it is no sigstore bundle')
    await not(new Uint8Array([0xff])).toThrow('it is no sigstore bundle')
  })
})
