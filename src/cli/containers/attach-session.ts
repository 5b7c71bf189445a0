import { attachContainer, type Attachment, resizeMonitored } from '../../containers/attach-container.ts'
import { CairnError } from '../../errors/error.ts'
import { isTerminal, type TerminalSize } from '../../linux/terminal.ts'
import type { StreamName } from './attached-streams.ts'
import type { CommandContext } from '../context.ts'
import { makeRawUntilExit, passInput } from './typed-input.ts'

export interface AttachOptions {
  readonly streams: readonly StreamName[]
  /** The container has a terminal. */
  readonly tty: boolean
  /** The keys that leave it, bytes of {@link import('./detach-keys.ts').parseDetachKeys}. */
  readonly detachKeys: readonly number[]
}

/** This process's input and output as those of a container with a monitor. */
export class AttachSession implements Disposable {
  readonly #ctx: CommandContext
  readonly #options: AttachOptions
  #attachment: Attachment | undefined
  #failure: unknown
  #isDetached = false
  readonly #undo: (() => void)[] = []

  constructor(ctx: CommandContext, options: AttachOptions) {
    this.#ctx = ctx
    this.#options = options
  }

  /** Connects, in time to miss nothing where the container's command has not begun. Throws CONTAINER_STOPPED. */
  readonly connect = async (bundle: string): Promise<void> => {
    const { streams, tty } = this.#options
    const attachment = await attachContainer(bundle, (stream, bytes) => this.#show(stream, bytes))
    if (attachment === undefined)
      throw new CairnError('CONTAINER_STOPPED', 'You cannot attach to a stopped container, start it first')
    this.#attachment = attachment
    if (tty) this.#followSize(bundle)
    if (streams.includes('stdin')) {
      if (tty && this.#ctx.stdin.isTTY) this.#undo.push(makeRawUntilExit())
      void this.#pumpInput(attachment)
    }
  }

  /** The size of the terminal that the container's is shown on; undefined where there is none. */
  get terminalSize(): TerminalSize | undefined {
    const { columns, rows } = this.#ctx.stdout
    return this.#options.tty && isTerminal(1) ? { columns, rows } : undefined
  }

  /** Waits until the container has ended or its user has left it. Throws what kept the output from being written. */
  async finish(): Promise<'ended' | 'detached'> {
    await this.#attachment?.closed
    this[Symbol.dispose]()
    if (this.#failure !== undefined) throw this.#failure
    return this.#isDetached ? 'detached' : 'ended'
  }

  #show(stream: 'stdout' | 'stderr', bytes: Uint8Array): void {
    if (this.#failure !== undefined || !this.#options.streams.includes(stream)) return
    try {
      this.#ctx[stream].write(bytes)
    } catch (error) {
      this.#failure = error
      this.#attachment?.close()
    }
  }

  #followSize(bundle: string): void {
    const { stdout } = this.#ctx
    if (!isTerminal(1)) return
    const resize = (): void => resizeMonitored(bundle, { columns: stdout.columns, rows: stdout.rows })
    resize()
    this.#undo.push(stdout.onResize(resize))
  }

  async #pumpInput(attachment: Attachment): Promise<void> {
    const { tty, detachKeys } = this.#options
    if ((await passInput(this.#ctx, tty ? detachKeys : undefined, attachment.write)) === 'ended') attachment.endInput()
    else {
      this.#isDetached = true
      attachment.close()
    }
  }

  [Symbol.dispose](): void {
    for (const undo of this.#undo.splice(0)) undo()
  }
}
