import type { MetricsSnapshot } from '../../registry/server/metrics.ts'
import type { RegistryConfig } from '../../registry/server/registry-config.ts'
import type { Allowance } from '../../registry/server/request-limits.ts'
import type { RequestRecord } from '../../registry/server/request-record.ts'

/** What a worker of a registry says to the process that has started it. Each question has a number. */
export type FromWorker =
  | { readonly kind: 'ready' }
  | { readonly kind: 'failed'; readonly message: string }
  /** Something that webhooks are told of. */
  | { readonly kind: 'event'; readonly record: RequestRecord }
  | { readonly kind: 'take-request'; readonly id: number; readonly client: string }
  | { readonly kind: 'failed-login'; readonly id: number; readonly address: string }
  | { readonly kind: 'metrics'; readonly id: number; readonly snapshot: MetricsSnapshot }

/** What it is told. */
export type ToWorker =
  | { readonly kind: 'allowance'; readonly id: number; readonly allowance: Allowance | undefined }
  /** An address is let nowhere for so many milliseconds. */
  | { readonly kind: 'blocked'; readonly address: string; readonly wait: number }
  | { readonly kind: 'noted'; readonly id: number }
  | { readonly kind: 'tell-metrics'; readonly id: number }
  | { readonly kind: 'stop' }

/** A configuration as text, for {@link parseWorkerConfig}. */
export function formatWorkerConfig(config: RegistryConfig): string {
  return JSON.stringify(config)
}

/** What {@link formatWorkerConfig} has written. */
export function parseWorkerConfig(text: string): RegistryConfig {
  const config = JSON.parse(text) as RegistryConfig
  const { s3, upstreams } = config
  return {
    ...config,
    s3: s3 && {
      ...s3,
      endpoint: new URL(s3.endpoint),
      publicEndpoint: s3.publicEndpoint && new URL(s3.publicEndpoint),
    },
    upstreams: upstreams.map((one) => ({ ...one, url: new URL(one.url) })),
  }
}
