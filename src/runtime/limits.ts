import type { RuntimeLimit } from '../oci/runtime-spec.ts'

/**
 * A limit of setrlimit(2), named as docker does (`nofile`), as the runtime reads it. Unlimited is 2⁶⁴-1, which no number is but JSON can say, and the spec is only ever
 * written as JSON.
 */
export function runtimeLimit({ type, soft, hard }: RuntimeLimit): RuntimeLimit {
  const { rawJSON } = JSON as unknown as { readonly rawJSON: (text: string) => number }
  const value = (limit: number): number => (limit < 0 ? rawJSON('18446744073709551615') : limit)
  return { type: `RLIMIT_${type.toUpperCase()}`, soft: value(soft), hard: value(hard) }
}
