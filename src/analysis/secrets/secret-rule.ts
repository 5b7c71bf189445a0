/** How sure and how bad: an `error` lets whoever has the image act as someone, a `warning` needs more than the image. */
export type SecretLevel = 'error' | 'warning'

/** What a finding is about. */
export interface SecretRule {
  /** Stable: budgets and SARIF name it. */
  readonly id: string
  readonly title: string
  readonly level: SecretLevel
}

/** A secret as it was found. The value never leaves the analysis unredacted. */
export interface FoundSecret {
  readonly rule: SecretRule
  readonly value: string
  /** Position in the file or text: bytes from its beginning. */
  readonly offset: number
}
