import { CairnError } from '../errors/error.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { isJsonObject } from '../oci/descriptor.ts'
import { type Digest, digestAlgorithm, digestHex, digestOf } from '../oci/digest.ts'
import type { Manifest } from '../oci/manifest.ts'
import { mediaTypes } from '../oci/media-types.ts'
import { publicKeyOf, type SigningKey, type VerifyingKey } from './key-pair.ts'

/** Media type of sigstore bundles, and artifact type of the manifests that carry them. */
export const bundleType = 'application/vnd.dev.sigstore.bundle.v0.3+json'
/** Bytes; a bundle has some two thousand. */
export const largestBundle = 1024 * 1024

const payloadType = 'application/vnd.in-toto+json'
/** What cosign's signatures of images state. */
const predicateType = 'https://sigstore.dev/cosign/sign/v1'

/** A signature of an image, ready to be written. */
export interface ImageSignature {
  /** Refers to the image. */
  readonly manifest: Manifest
  /** The bundle and the config that the manifest names. */
  readonly blobs: readonly Uint8Array<ArrayBuffer>[]
}

/**
 * Signs the image with this manifest or index as cosign does: an in-toto statement with its digest in a DSSE envelope, in
 * a sigstore bundle (version 0.3) without certificate or entry of a transparency log. Works offline.
 */
export async function signImageDigest(image: Descriptor, key: SigningKey): Promise<ImageSignature> {
  const { bundleToJSON, toDSSEBundle } = await import('@sigstore/bundle')
  const { sign } = await import('node:crypto')
  const statement = {
    _type: 'https://in-toto.io/Statement/v1',
    subject: [{ digest: { [digestAlgorithm(image.digest)]: digestHex(image.digest) } }],
    predicateType,
    predicate: {},
  }
  const payload = Buffer.from(JSON.stringify(statement))
  const signature = sign('sha256', preAuthentication(payload), key.privateKey)
  const { hint } = await publicKeyOf(key)
  const bundle = toDSSEBundle({ artifact: payload, artifactType: payloadType, signature, keyHint: hint })
  const bytes = new TextEncoder().encode(JSON.stringify(bundleToJSON(bundle)))
  const config = new TextEncoder().encode('{}')
  const { mediaType, digest, size } = image
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    artifactType: bundleType,
    config: { mediaType: mediaTypes.ociEmpty, digest: digestOf(config), size: config.length },
    layers: [{ mediaType: bundleType, digest: digestOf(bytes), size: bytes.length }],
    subject: { mediaType, digest, size },
    annotations: {
      'dev.sigstore.bundle.content': 'dsse-envelope',
      'dev.sigstore.bundle.predicateType': predicateType,
    },
  }
  return { manifest, blobs: [bytes, config] }
}

/**
 * Checks that a sigstore bundle has a signature by `key` of the image with this digest. Certificates and transparency
 * logs are not looked at. Throws SIGNATURE_INVALID saying what is wrong.
 */
export async function verifyBundle(bytes: Uint8Array, image: Digest, key: VerifyingKey): Promise<void> {
  const { bundleFromJSON } = await import('@sigstore/bundle')
  const { verify } = await import('node:crypto')
  const bundle = attempt('it is no sigstore bundle', () =>
    bundleFromJSON(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))),
  )
  if (bundle.content.$case !== 'dsseEnvelope') throw invalid('it signs no statement')
  const { payload, payloadType: type, signatures } = bundle.content.dsseEnvelope
  if (type !== payloadType) throw invalid(`it signs ${JSON.stringify(type)}, no in-toto statement`)
  const signed = preAuthentication(payload)
  if (!signatures.some(({ sig }) => verify('sha256', signed, key.publicKey, sig)))
    throw invalid('it was not made with this key, or was changed')
  checkStatement(
    attempt('it signs no in-toto statement', () => JSON.parse(payload.toString('utf8')) as unknown),
    image,
  )
}

function checkStatement(value: unknown, image: Digest): void {
  const { _type: type, predicateType: predicate, subject } = isJsonObject(value) ? value : {}
  if (typeof type !== 'string' || !type.startsWith('https://in-toto.io/Statement/') || !Array.isArray(subject))
    throw invalid('it signs no in-toto statement')
  if (predicate !== predicateType) throw invalid(`it signs a statement of another kind, ${JSON.stringify(predicate)}`)
  const [algorithm, hex] = [digestAlgorithm(image), digestHex(image)]
  const isAboutImage = subject.some(
    (one) => isJsonObject(one) && isJsonObject(one['digest']) && one['digest'][algorithm] === hex,
  )
  if (!isAboutImage) throw invalid('it signs another image')
}

/** What is signed of an envelope (DSSE v1, pre-authentication encoding). */
function preAuthentication(payload: Uint8Array): Uint8Array {
  const head = `DSSEv1 ${payloadType.length} ${payloadType} ${payload.length} `
  return Buffer.concat([Buffer.from(head), payload])
}

function attempt<Result>(otherwise: string, work: () => Result): Result {
  try {
    return work()
  } catch {
    throw invalid(otherwise)
  }
}

function invalid(message: string): CairnError {
  return new CairnError('SIGNATURE_INVALID', message)
}
