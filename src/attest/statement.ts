import { type Digest, digestAlgorithm, digestHex } from '../oci/digest.ts'

/** Media type of in-toto statements as layers of attestation manifests, and payload type of their envelopes. */
export const statementType = 'application/vnd.in-toto+json'

/** What kinds of predicates there are here. */
export const predicateTypes = {
  provenance: { v1: 'https://slsa.dev/provenance/v1', 'v0.2': 'https://slsa.dev/provenance/v0.2' },
  sbom: { spdx: 'https://spdx.dev/Document', cyclonedx: 'https://cyclonedx.org/bom' },
} as const

/** Digests by algorithm, as in-toto and SLSA write them. */
export type DigestSet = Readonly<Record<string, string>>

/** What a statement is about. */
export interface StatementSubject {
  readonly name: string
  readonly digest: DigestSet
}

/** A claim, before it is said what it is about. */
export interface Predicate {
  readonly type: string
  readonly content: object
  /** Where files are written instead of an image. */
  readonly filename: string
  /** Only with images, not with files. */
  readonly inlineOnly: boolean
}

/** An in-toto statement (in-toto attestation framework, Statement v1). */
export interface Statement {
  readonly _type: 'https://in-toto.io/Statement/v1'
  readonly predicateType: string
  readonly subject: readonly StatementSubject[]
  readonly predicate: object
}

export function statementOf(predicate: Predicate, subject: readonly StatementSubject[]): Statement {
  return {
    _type: 'https://in-toto.io/Statement/v1',
    predicateType: predicate.type,
    subject,
    predicate: predicate.content,
  }
}

export function digestSet(digest: Digest): DigestSet {
  return { [digestAlgorithm(digest)]: digestHex(digest) }
}
