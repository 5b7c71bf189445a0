import { CairnError } from '../errors/error.ts'
import { readTextFile } from '../linux/text-file.ts'
import type { ContainerConfig } from '../oci/config.ts'
import type { Digest } from '../oci/digest.ts'
import { containerCapabilities } from '../runtime/capabilities.ts'
import type { ContainerSettings } from './container.ts'
import { type MountRequest, planMounts } from './mounts.ts'

/** What is asked for in words of `docker run`, beside the image. Everything left out is as the image has it. */
export interface ContainerRequest extends Omit<
  ContainerSettings,
  'image' | 'manifest' | 'args' | 'env' | 'workingDirectory' | 'user' | 'hostname' | 'stopSignal' | 'mounts'
> {
  /** Unique; one is made up where it is absent. */
  readonly name?: string
  /** Replaces the image's CMD. */
  readonly command: readonly string[]
  /** Replaces the image's ENTRYPOINT and drops its CMD; an empty list is no entrypoint. */
  readonly entrypoint?: readonly string[]
  /** `KEY=value`; a key alone takes the image's variable away. */
  readonly env: readonly string[]
  readonly workingDirectory?: string
  readonly user?: string
  readonly hostname?: string
  readonly stopSignal?: string
  readonly mounts: readonly MountRequest[]
  readonly autoRemove: boolean
}

/** What a container is made from. */
export interface ContainerImage {
  /** In the user's words. */
  readonly name: string
  readonly imageId: Digest
  /** The manifest or index that is recorded. */
  readonly record: Digest
  /** The manifest of one platform. */
  readonly manifest: Digest
  readonly config: ContainerConfig
  /** Base first. */
  readonly diffIds: readonly Digest[]
}

const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/**
 * What a container of `image` is made with. As docker has it: the command line wins over the image, variables are
 * merged, a given entrypoint drops the image's CMD. Throws CONFIG_INVALID, USAGE for an unknown capability.
 */
export function containerSettings(id: string, image: ContainerImage, request: ContainerRequest): ContainerSettings {
  const { config } = image
  const args = commandLine(config, request)
  if (args.length === 0)
    throw new CairnError('CONFIG_INVALID', 'no command specified', {
      hint: 'The image has neither CMD nor ENTRYPOINT: give a command.',
    })
  const workingDirectory = request.workingDirectory ?? absolute(config.WorkingDir ?? '')
  if (!workingDirectory.startsWith('/'))
    throw new CairnError(
      'CONFIG_INVALID',
      `the working directory '${workingDirectory}' is invalid, it needs to be an absolute path`,
    )
  checkCapabilities(request)
  const hostname = request.hostname ?? (request.network === 'host' ? hostName() : id.slice(0, 12))
  return {
    image: image.name,
    manifest: image.manifest,
    args,
    env: environment(config.Env ?? [], request, hostname),
    workingDirectory,
    user: request.user ?? config.User ?? '',
    groups: request.groups,
    hostname,
    labels: { ...config.Labels, ...request.labels },
    stopSignal: request.stopSignal ?? (config.StopSignal || 'SIGTERM'),
    tty: request.tty,
    openStdin: request.openStdin,
    mounts: planMounts(request.mounts, Object.keys(config.Volumes ?? {}), newVolumeName),
    network: request.network,
    extraHosts: request.extraHosts,
    dns: request.dns,
    readonlyRootfs: request.readonlyRootfs,
    privileged: request.privileged,
    capAdd: request.capAdd,
    capDrop: request.capDrop,
    seccomp: request.seccomp,
    noNewPrivileges: request.noNewPrivileges,
    ...(request.shmSize === undefined ? {} : { shmSize: request.shmSize }),
    ulimits: request.ulimits,
  }
}

/** 64 hex digits that nothing else has: what containers and volumes without a name are called. */
export function newId(): string {
  return crypto.getRandomValues(new Uint8Array(32)).toHex()
}

const newVolumeName = newId

function commandLine(config: ContainerConfig, { command, entrypoint }: ContainerRequest): readonly string[] {
  if (entrypoint !== undefined) return [...entrypoint, ...command]
  return [...(config.Entrypoint ?? []), ...(command.length > 0 ? command : (config.Cmd ?? []))]
}

function absolute(path: string): string {
  return path.startsWith('/') ? path : `/${path}`
}

function hostName(): string {
  return readTextFile('/proc/sys/kernel/hostname')?.trim() || 'localhost'
}

/**
 * Docker's own variables first, then those given, then those of the image that were not given. HOME comes later, from
 * the account.
 */
function environment(image: readonly string[], { env, tty }: ContainerRequest, hostname: string): string[] {
  const variables = new Map<string, string>([
    ['PATH', defaultPath],
    ['HOSTNAME', hostname],
  ])
  if (tty) variables.set('TERM', 'xterm')
  const given = new Map(env.map(splitVariable))
  for (const [key, value] of image.map(splitVariable)) if (!given.has(key)) given.set(key, value)
  for (const [key, value] of given) {
    if (value === undefined) variables.delete(key)
    else variables.set(key, value)
  }
  return [...variables].map(([key, value]) => `${key}=${value}`)
}

function splitVariable(text: string): [key: string, value: string | undefined] {
  const equals = text.indexOf('=')
  return equals < 0 ? [text, undefined] : [text.slice(0, equals), text.slice(equals + 1)]
}

function checkCapabilities({ capAdd, capDrop }: ContainerRequest): void {
  for (const [field, names] of [
    ['CapAdd', capAdd],
    ['CapDrop', capDrop],
  ] as const)
    try {
      containerCapabilities({ add: names })
    } catch (error) {
      if (!(error instanceof CairnError)) throw error
      const details = error.hint === undefined ? {} : { hint: error.hint }
      throw new CairnError('CONFIG_INVALID', `invalid ${field}: ${error.message}`, details)
    }
}
