import type { Descriptor } from '../oci/descriptor.ts'
import { type Digest, digestOf } from '../oci/digest.ts'
import { type Manifest, serializeManifest } from '../oci/manifest.ts'
import { mediaTypes } from '../oci/media-types.ts'
import { type Statement, statementType } from './statement.ts'

/** Artifact type of attestation manifests that are referrers, BuildKit's. */
export const attestationArtifactType = 'application/vnd.docker.attestation.manifest.v1+json'

/** Annotation of a statement's layer: what kind of claim it makes. */
export const predicateTypeAnnotation = 'in-toto.io/predicate-type'

/** The attestations of one image, ready to be written. */
export interface AttestationManifest {
  /** As an entry of an index beside the image. */
  readonly descriptor: Descriptor
  readonly manifest: Manifest
  /** The statements, the config and the manifest, in that order. */
  readonly documents: readonly Uint8Array[]
}

/**
 * The manifest that carries statements about `image` (BuildKit's attestation storage): with `isArtifact` as a referrer of
 * it, else with an image config, which readers before OCI 1.1 understand.
 */
export function attestationManifest(
  image: Descriptor,
  statements: readonly Statement[],
  isArtifact: boolean,
): AttestationManifest {
  const documents: Uint8Array[] = statements.map((statement) => encode(statement))
  const layers = documents.map((document, index): Descriptor => ({
    ...described(statementType, document),
    annotations: { [predicateTypeAnnotation]: statements[index]?.predicateType ?? '' },
  }))
  const config = isArtifact ? encode({}) : unknownConfig(layers.map(({ digest }) => digest))
  const { mediaType, digest, size } = image
  const manifest: Manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    ...(isArtifact ? { artifactType: attestationArtifactType } : {}),
    config: described(isArtifact ? mediaTypes.ociEmpty : mediaTypes.ociConfig, config),
    layers,
    ...(isArtifact ? { subject: { mediaType, digest, size } } : {}),
  }
  const bytes = serializeManifest(manifest)
  return {
    descriptor: {
      ...described(mediaTypes.ociManifest, bytes),
      annotations: { 'vnd.docker.reference.digest': digest, 'vnd.docker.reference.type': 'attestation-manifest' },
      platform: { architecture: 'unknown', os: 'unknown' },
    },
    manifest,
    documents: [...documents, config, bytes],
  }
}

/** The config of an image that no machine can run. */
function unknownConfig(layers: readonly Digest[]): Uint8Array {
  const config = {}
  return encode({ architecture: 'unknown', os: 'unknown', config, rootfs: { type: 'layers', diff_ids: layers } })
}

function described(mediaType: string, bytes: Uint8Array): Descriptor {
  return { mediaType, digest: digestOf(bytes), size: bytes.length }
}

function encode(value: object): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(value))
}
