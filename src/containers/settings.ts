import { CairnError } from '../errors/error.ts'
import { readTextFile } from '../linux/text-file.ts'
import { type ContainerConfig, defaultPath, type Healthcheck } from '../oci/config.ts'
import type { Digest } from '../oci/digest.ts'
import { containerCapabilities } from '../runtime/capabilities.ts'
import type { ContainerSettings, MountSetting } from './container.ts'
import { checkMappable } from './user-mapping.ts'
import { type MountRequest, planMounts } from './mounts.ts'

/** What is asked for in words of `docker run`, beside the image. Everything left out is as the image has it. */
export interface ContainerRequest extends Omit<
  ContainerSettings,
  'image' | 'manifest' | 'config' | 'hostname' | 'mounts'
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
  readonly labels: Readonly<Record<string, string>>
  readonly hostname?: string
  readonly stopSignal?: string
  /** Replaces those parts of the image's that are given; `Test: ['NONE']` turns it off. */
  readonly healthcheck?: Healthcheck
  /** `80/tcp` and the like, besides those of the image. */
  readonly exposedPorts?: readonly string[]
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
  /** Its architecture, where that is not this machine's. */
  readonly emulated?: string
  /** Base first. */
  readonly diffIds: readonly Digest[]
}

/**
 * What a container of `image` is made with. As docker has it: the command line wins over the image, variables are
 * merged, a given entrypoint drops the image's CMD. `inherited` are the mounts that it has from other containers. Throws CONFIG_INVALID, USAGE for an unknown capability.
 */
export function containerSettings(
  id: string,
  image: ContainerImage,
  request: ContainerRequest,
  inherited: readonly MountSetting[] = [],
): ContainerSettings {
  const config = containerConfig(image.config, request)
  if (commandLine(config).length === 0)
    throw new CairnError('CONFIG_INVALID', 'no command specified', {
      hint: 'The image has neither CMD nor ENTRYPOINT: give a command.',
    })
  const workingDirectory = config.WorkingDir ?? ''
  if (!workingDirectory.startsWith('/'))
    throw new CairnError(
      'CONFIG_INVALID',
      `the working directory '${workingDirectory}' is invalid, it needs to be an absolute path`,
    )
  checkCapabilities(request)
  checkMappable(request, image.emulated)
  return {
    image: image.name,
    manifest: image.manifest,
    config,
    groups: request.groups,
    hostname: request.hostname ?? (request.network === 'host' ? hostName() : id.slice(0, 12)),
    tty: request.tty,
    openStdin: request.openStdin,
    mounts: planMounts(request.mounts, Object.keys(image.config.Volumes ?? {}), newVolumeName, inherited),
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
    ...laterSettings(request),
    ...(image.emulated === undefined ? {} : { emulated: image.emulated }),
  }
}

/** The settings that are left out where nothing is asked for. */
function laterSettings(request: ContainerRequest): Partial<ContainerSettings> {
  return Object.fromEntries(
    laterFields.filter((field) => request[field] !== undefined).map((field) => [field, request[field]]),
  )
}

const laterFields = [
  'restart',
  'stopTimeout',
  'log',
  'seccompProfile',
  'apparmorProfile',
  'volumesFrom',
  'limits',
  'init',
  'ipc',
  'pid',
  'uts',
  'domainname',
  'sysctls',
  'devices',
  'throttles',
  'weightDevices',
  'cgroupns',
  'unmasked',
  'writableCgroups',
  'deviceRules',
  'oomScoreAdj',
  'cgroupParent',
  'annotations',
  'stdinOnce',
  'attached',
  'runtime',
  'networks',
  'ports',
  'links',
  'publishAll',
  'userns',
] as const satisfies readonly (keyof ContainerSettings)[]

/** 64 hex digits that nothing else has: what containers and volumes without a name are called. */
export function newId(): string {
  return crypto.getRandomValues(new Uint8Array(32)).toHex()
}

const newVolumeName = newId

/** As docker merges the two: what is given replaces, variables and labels are added, an entrypoint drops CMD. */
function containerConfig(image: ContainerConfig, request: ContainerRequest): ContainerConfig {
  const { command, entrypoint } = request
  const { OnBuild: _triggers, Cmd: _command, Entrypoint: _entrypoint, ...rest } = image
  const given = new Set(request.env.map(variableName))
  const cmd = command.length > 0 ? command : entrypoint === undefined ? image.Cmd : undefined
  const program = entrypoint ?? image.Entrypoint
  const labels = sortedByKey({ ...image.Labels, ...request.labels })
  return {
    ...rest,
    Env: [...request.env, ...(image.Env ?? []).filter((variable) => !given.has(variableName(variable)))],
    ...(cmd === undefined || cmd === null ? {} : { Cmd: cmd }),
    ...(program === undefined || program === null ? {} : { Entrypoint: program }),
    WorkingDir: request.workingDirectory ?? absolute(image.WorkingDir ?? ''),
    ...(request.user === undefined ? {} : { User: request.user }),
    ...(request.stopSignal === undefined ? {} : { StopSignal: request.stopSignal }),
    ...(request.exposedPorts === undefined
      ? {}
      : {
          ExposedPorts: {
            ...image.ExposedPorts,
            ...Object.fromEntries(request.exposedPorts.map((port) => [port, {}])),
          },
        }),
    ...(request.healthcheck === undefined ? {} : { Healthcheck: { ...image.Healthcheck, ...request.healthcheck } }),
    ...(Object.keys(labels).length === 0 ? {} : { Labels: labels }),
  }
}

/** Docker shows labels so everywhere. */
function sortedByKey(labels: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(labels).toSorted(([a], [b]) => (a < b ? -1 : 1)))
}

/** Program and arguments: entrypoint and command together. */
export function commandLine({ Entrypoint: entrypoint, Cmd: command }: ContainerConfig): readonly string[] {
  return [...(entrypoint ?? []), ...(command ?? [])]
}

function absolute(path: string): string {
  return path.startsWith('/') ? path : `/${path}`
}

function hostName(): string {
  return readTextFile('/proc/sys/kernel/hostname')?.trim() || 'localhost'
}

/**
 * The variables of the container's process: docker's own, unless the configuration has them or takes them away, then
 * the configuration's. HOME comes later, from the account.
 */
export function processEnvironment({ config, hostname, tty }: ContainerSettings): string[] {
  const variables = new Map([
    ['PATH', defaultPath],
    ['HOSTNAME', hostname],
  ])
  if (tty) variables.set('TERM', 'xterm')
  for (const variable of config.Env ?? []) {
    const name = variableName(variable)
    if (name === variable) variables.delete(name)
    else variables.set(name, variable.slice(name.length + 1))
  }
  return [...variables].map(([key, value]) => `${key}=${value}`)
}

/** The part before `=`; all of a variable that is to be taken away. */
function variableName(variable: string): string {
  const equals = variable.indexOf('=')
  return equals < 0 ? variable : variable.slice(0, equals)
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
      throw new CairnError('CONFIG_INVALID', `invalid ${field}: ${error.message}`, { hint: error.hint, cause: error })
    }
}
