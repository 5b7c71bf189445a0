import type { Store } from '../../content/store.ts'
import { runContainer } from '../../engine/run-container.ts'
import { CairnError, isCairnError } from '../../errors/error.ts'
import { exitAtOnce } from '../../linux/exit.ts'
import { tryStat } from '../../linux/file-status.ts'
import { parsePlatform } from '../../oci/platform.ts'
import { familiarString, parseReference, withDefaultTag } from '../../oci/reference.ts'
import { detectRuntime, type OciRuntime } from '../../runtime/runtime.ts'
import type { StartedContainer } from '../../containers/start-container.ts'
import { defineCommand } from '../command.ts'
import { containerFlags, missingFlags, refuseMissingFlags } from '../container-flags.ts'
import { type ContainerFlagValues, parseContainerRequest } from '../container-request.ts'
import { containerStreams } from '../container-streams.ts'
import type { CommandContext } from '../context.ts'
import { imageNames } from '../image-names.ts'
import { openStoreOf } from '../open-store.ts'
import { writeFileAtomic } from '../write-file.ts'

export default defineCommand({
  usage: '[OPTIONS] IMAGE [COMMAND] [ARG...]',
  description:
    'The container ends with this command, also when that is killed. Its exit status is that of the container; 125 is a failure of Cairn, 126 a command that cannot be run and 127 one that is not there.',
  examples: [
    { text: 'A shell in a container that leaves nothing behind', command: 'cairn run --rm -it busybox sh' },
    { text: 'A program on the files of this directory', command: 'cairn run --rm -v .:/work -w /work busybox ls -l' },
    { text: 'Data through a filter', command: 'cairn run --rm -i busybox tr a-z A-Z < notes.txt' },
  ],
  args: { min: 1 },
  flags: { ...missingFlags, ...containerFlags },
  interspersed: false,
  complete: (ctx, _, args) => (args.length === 0 ? imageNames(ctx) : 'file'),
  async run(ctx, values, [image = '', ...command]) {
    const flags = values as unknown as ContainerFlagValues
    try {
      return await runInForeground(ctx, values, flags, image, command)
    } catch (error) {
      throw asRunFailure(error)
    }
  },
})

/**
 * What is recorded about containers need not survive a power failure, which none of them does. So the database is left
 * as it is, also by Bun, which would close it when the process ends: that saves four fsyncs.
 */
function openBriefly(ctx: CommandContext): { readonly store: Store } & Disposable {
  const store = openStoreOf(ctx)
  return {
    store,
    [Symbol.dispose]: () => {
      store.leave()
      process.once('exit', exitAtOnce)
    },
  }
}

async function runInForeground(
  ctx: CommandContext,
  values: Readonly<Record<string, unknown>>,
  flags: ContainerFlagValues,
  image: string,
  command: readonly string[],
): Promise<number> {
  refuseMissingFlags(values, (flag) => ctx.given(flag))
  const request = parseContainerRequest(ctx, flags, command)
  const platform = flags.platform === undefined || flags.platform === '' ? undefined : parsePlatform(flags.platform)
  checkPull(flags.pull)
  checkIdFile(flags.cidfile)
  const streams = containerStreams(ctx, flags)
  const runtime = flags.runtime === undefined ? {} : { runtime: chosenRuntime(flags.runtime) }
  const { store } = await ctx.use(openBriefly)
  let idFile: Promise<void> | undefined
  try {
    const status = await runContainer(store, {
      image,
      platform,
      request,
      streams,
      ...runtime,
      warn: (text) => ctx.stderr.write(`${text}\n`),
      onCreated: ({ id }) => {
        if (flags.cidfile !== undefined) idFile = writeFileAtomic(flags.cidfile, id)
      },
      onStarted: (container) => {
        if (flags['sig-proxy']) endAtThirdSignal(ctx, container)
      },
    })
    await idFile
    return status
  } catch (error) {
    if (flags.pull !== 'never' && (isCairnError(error, 'IMAGE_UNKNOWN') || isCairnError(error, 'IMAGE_PLATFORM')))
      throw notHere(ctx, image, error)
    throw error
  }
}

function chosenRuntime(name: string): OciRuntime {
  if (name === 'crun' || name === 'runc') return detectRuntime(name)
  throw new CairnError('USAGE', `unknown or invalid runtime name: ${name}`, { hint: 'Runtimes are crun and runc.' })
}

function checkPull(pull: string): void {
  if (pull === 'always')
    throw new CairnError('NOT_SUPPORTED', '--pull always is not supported yet', {
      hint: 'Images come from `cairn build`, `cairn load` and `cairn import`.',
    })
  if (pull !== 'missing' && pull !== 'never')
    throw new CairnError('USAGE', `invalid pull option: '${pull}': must be one of "always", "missing" or "never"`)
}

function checkIdFile(path: string | undefined): void {
  if (path !== undefined && tryStat(path) !== undefined)
    throw new CairnError(
      'USAGE',
      `container ID file found, make sure the other container isn't running or delete ${path}`,
    )
}

/** Says what docker says before it pulls, which Cairn cannot do yet. */
function notHere(ctx: CommandContext, image: string, error: CairnError): CairnError {
  ctx.stderr.write(`Unable to find image '${shownName(image)}' locally\n`)
  const hint = error.hint === undefined ? '' : `${error.hint} `
  return new CairnError(error.code, error.message, {
    cause: error,
    hint: `${hint}Pulling is not supported yet: images come from \`cairn build\`, \`cairn load\` and \`cairn import\`.`,
  })
}

function shownName(image: string): string {
  try {
    return familiarString(withDefaultTag(parseReference(image)))
  } catch {
    return image
  }
}

/** How often a container may be asked to end by a signal that it does not heed. */
const patience = 3

/** Ends a container that does not heed the signals which are passed on to it: the third SIGINT or SIGTERM kills it. */
function endAtThirdSignal(ctx: CommandContext, container: StartedContainer): void {
  let count = 0
  const onSignal = (): void => {
    if (++count !== patience) return
    ctx.stderr.write(`\ngot ${patience} SIGTERM/SIGINTs, forcefully exiting\n`)
    void container.kill('SIGKILL')
  }
  const names = ['SIGINT', 'SIGTERM'] as const
  for (const name of names) process.on(name, onSignal)
  const stop = (): void => {
    for (const name of names) process.off(name, onSignal)
  }
  container.exited.then(stop, stop)
}

/** Whatever keeps a container from running ends the command with 125, unless it says otherwise. */
function asRunFailure(error: unknown): unknown {
  if (!(error instanceof CairnError) || error.exitCode !== undefined || error.kind === 'canceled') return error
  const { code, message, hint, cause } = error
  return new CairnError(code, message, { cause, exitCode: 125, ...(hint === undefined ? {} : { hint }) })
}
