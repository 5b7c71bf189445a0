/** What a push or pull tells about itself: docker's messages, a line for each layer. */
export interface TransferEvent {
  /** The layer, by the first twelve digits of its digest; undefined for a line of its own. */
  readonly id: string | undefined
  /** `Downloading`, `Pull complete`, `Digest: sha256:…`. */
  readonly text: string
  /** Bytes so far, and in all, of work that takes a while; `total` 0 where unknown. */
  readonly current?: number
  readonly total?: number
}

/** Takes events as they happen. Must not throw. */
export type TransferListener = (event: TransferEvent) => void
