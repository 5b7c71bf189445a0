import type { ContainerRequest } from '../../containers/settings.ts'
import type { Store } from '../../content/store.ts'
import type { ContainerImageRequest } from '../../engine/containers/container-image.ts'
import { CairnError, isCairnError, reworded } from '../../errors/error.ts'
import { tryStat } from '../../linux/file-status.ts'
import { canWeighBlockTraffic } from '../../runtime/cgroups.ts'
import type { Platform } from '../../oci/platform.ts'
import { familiarString, parseReference, type Reference, withDefaultTag } from '../../oci/reference.ts'
import { refuseMissingFlags } from './container-flags.ts'
import { type ContainerFlagValues, parseContainerRequest } from './container-request.ts'
import type { CommandContext } from '../context.ts'
import { platformOfFlag, withDefaultPlatform } from '../platform-flag.ts'
import { registryAccessOf } from '../registry-access.ts'
import { writeFile } from '../write-file.ts'

/** A container that the command line asks for. */
export interface ContainerPlan extends ContainerImageRequest {
  readonly request: ContainerRequest
}

/** Reads the command line of `run` and `create`. Throws USAGE, CONFIG_INVALID, NOT_SUPPORTED. */
export function planContainer(
  ctx: CommandContext,
  values: Readonly<Record<string, unknown>>,
  image: string,
  command: readonly string[],
): ContainerPlan {
  const flags = values as unknown as ContainerFlagValues
  refuseMissingFlags(values, (flag) => ctx.given(flag))
  const warn = (text: string): void => ctx.stderr.write(`${text}\n`)
  const request = withinKernel(parseContainerRequest(ctx, flags, command), warn)
  checkPull(flags.pull)
  checkIdFile(flags.cidfile)
  return { image, platform: platformOf(withDefaultPlatform(ctx.env, flags.platform)), request, warn }
}

/** Without what the kernel cannot do and docker leaves out, too; that is told. */
function withinKernel(request: ContainerRequest, warn: (text: string) => void): ContainerRequest {
  const { limits = {}, weightDevices, ...rest } = request
  const { blkioWeight, ...otherLimits } = limits
  if (limits.disableOomKiller === true && limits.memory === undefined)
    warn(
      'WARNING: OOM killer is disabled for the container, but no memory limit is set, ' +
        'this can result in the system running out of resources.',
    )
  if ((blkioWeight === undefined && weightDevices === undefined) || canWeighBlockTraffic()) return request
  const without = (what: string): void =>
    warn(
      `WARNING: Your kernel does not support Block I/O ${what.toLowerCase().replace('-', '_')} ` +
        `or the cgroup is not mounted. ${what} discarded.`,
    )
  if (blkioWeight !== undefined) without('Weight')
  if (weightDevices !== undefined) without('Weight-device')
  return { ...rest, ...(Object.keys(otherLimits).length === 0 ? {} : { limits: otherLimits }) }
}

function platformOf(text: string | undefined): Platform | undefined {
  try {
    return platformOfFlag(text)
  } catch (error) {
    if (!isCairnError(error)) throw error
    throw reworded(error, `error parsing specified platform: ${error.message}`)
  }
}

function checkPull(pull: string): void {
  if (pull !== 'always' && pull !== 'missing' && pull !== 'never')
    throw new CairnError('USAGE', `invalid pull option: '${pull}': must be one of "always", "missing" or "never"`)
}

function checkIdFile(path: string | undefined): void {
  if (path === undefined) return
  if (tryStat(path.replace(/[^/]*$/, '') || '.')?.type !== 'directory')
    throw new CairnError(
      'CONFIG_INVALID',
      `failed to create the container ID file: open ${path}: no such file or directory`,
    )
  if (tryStat(path) !== undefined)
    throw new CairnError(
      'CONFIG_INVALID',
      `container ID file found, make sure the other container isn't running or delete ${path}`,
    )
}

/** Writes the ID of a new container where `--cidfile` says. */
export function writeIdFile(path: string | undefined, id: string): void {
  if (path !== undefined) writeFile(path, id)
}

/** What `--pull` and `--quiet` say. */
interface PullFlags {
  readonly pull: string
  readonly quiet: boolean
}

/**
 * Calls `work`, which makes a container; its image is pulled first, or when it turns out not to be here, as `--pull` says.
 * Throws as `work` and pullImage().
 */
export async function withImage<Result>(
  ctx: CommandContext,
  store: Store,
  { pull, quiet }: PullFlags,
  plan: ContainerImageRequest,
  work: () => Promise<Result>,
): Promise<Result> {
  if (pull === 'always') await pullFor(ctx, store, parseReference(plan.image), plan, quiet)
  try {
    return await work()
  } catch (error) {
    const isMissing = isCairnError(error, 'IMAGE_UNKNOWN') || isCairnError(error, 'IMAGE_PLATFORM')
    const reference = isMissing && pull === 'missing' ? nameOf(plan.image) : undefined
    if (reference === undefined) throw error
    ctx.stderr.write(`Unable to find image '${familiarString(withDefaultTag(reference))}' locally\n`)
    await pullFor(ctx, store, reference, plan, quiet)
    return await work()
  }
}

/** Pulls with its progress on stderr, as what the container writes has stdout. */
async function pullFor(
  ctx: CommandContext,
  store: Store,
  reference: Reference,
  { platform }: ContainerImageRequest,
  isQuiet: boolean,
): Promise<void> {
  const { pullImage } = await import('../../engine/images/pull-image.ts')
  const { createTransferDisplay } = await import('../../progress/transfer-display.ts')
  const display = createTransferDisplay(ctx.stderr, { isQuiet, env: ctx.env })
  try {
    const access = registryAccessOf(ctx)
    const listener = display.handle.bind(display)
    await pullImage(store, reference, { access, platform, startWorker: ctx.startWorker, listener })
  } finally {
    display.finish()
  }
}

/** The name in `text`, undefined where it can only be an ID. */
function nameOf(text: string): Reference | undefined {
  try {
    return parseReference(text)
  } catch {
    return undefined
  }
}

/** Whatever keeps a container from running ends the command with `status`, unless it says otherwise itself. */
export function asContainerFailure(error: unknown, status: number): unknown {
  if (!(error instanceof CairnError) || error.exitCode !== undefined || error.kind === 'canceled') return error
  // Told as those that the reader of flags finds, which has this status for them already.
  if (error.code === 'USAGE' && /^invalid argument .* for ".*" flag: /.test(error.message)) return error
  return reworded(error, error.message, { exitCode: status, cause: error.cause ?? error })
}
