import type { ContainerRequest } from '../containers/settings.ts'
import type { ContainerImageRequest } from '../engine/container-image.ts'
import { CairnError, isCairnError } from '../errors/error.ts'
import { tryStat } from '../linux/file-status.ts'
import { parsePlatform } from '../oci/platform.ts'
import { familiarString, parseReference, withDefaultTag } from '../oci/reference.ts'
import { refuseMissingFlags } from './container-flags.ts'
import { type ContainerFlagValues, parseContainerRequest } from './container-request.ts'
import type { CommandContext } from './context.ts'
import { writeFileAtomic } from './write-file.ts'

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
  const request = parseContainerRequest(ctx, flags, command)
  checkPull(flags.pull)
  checkIdFile(flags.cidfile)
  const platform = flags.platform === undefined || flags.platform === '' ? undefined : parsePlatform(flags.platform)
  return { image, platform, request, warn: (text) => ctx.stderr.write(`${text}\n`) }
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

/** Writes the ID of a new container where `--cidfile` says. */
export async function writeIdFile(path: string | undefined, id: string): Promise<void> {
  if (path !== undefined) await writeFileAtomic(path, id)
}

/** Calls `work`, which makes a container; says what docker says where its image is not here. Throws as `work`. */
export async function withImage<Result>(
  ctx: CommandContext,
  pull: string,
  image: string,
  work: () => Promise<Result>,
): Promise<Result> {
  try {
    return await work()
  } catch (error) {
    if (pull !== 'never' && (isCairnError(error, 'IMAGE_UNKNOWN') || isCairnError(error, 'IMAGE_PLATFORM')))
      throw notHere(ctx, image, error)
    throw error
  }
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

/** Whatever keeps a container from running ends the command with `status`, unless it says otherwise itself. */
export function asContainerFailure(error: unknown, status: number): unknown {
  if (!(error instanceof CairnError) || error.exitCode !== undefined || error.kind === 'canceled') return error
  const { code, message, hint, cause } = error
  return new CairnError(code, message, { cause, exitCode: status, ...(hint === undefined ? {} : { hint }) })
}
