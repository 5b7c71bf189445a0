import { type Container, isActive, type MountSetting } from '../../containers/container.ts'
import { resolveContainer } from '../../containers/container-records.ts'
import { healthOf } from '../../containers/health.ts'
import { findInit } from '../../containers/init-process.ts'
import { containerDirectory, logPath } from '../../containers/places.ts'
import { recoverContainers } from '../../containers/recovery.ts'
import { commandLine } from '../../containers/settings.ts'
import { writtenSize } from '../../containers/written-size.ts'
import type { Store } from '../../content/store.ts'
import { listImages } from '../../images/records/list-images.ts'
import { ImageSizes } from '../../images/size.ts'
import { cgroupLayout, withHostCgroups } from '../../runtime/cgroups.ts'
import { maskedPaths, readonlyPaths, type ThrottleKind } from '../../runtime/spec.ts'
import { networkMode, networkSettings, portBindings } from './container-networks.ts'
import { goSet, goStruct, nilList, nilMap, nilPointer, withDefaults } from '../go-values.ts'

/** Go's zero time. */
const never = '0001-01-01T00:00:00Z'

export interface InspectContainerOptions {
  /** Also the sizes of its files. */
  readonly size?: boolean
}

/** All about a container under docker's names. Throws CONTAINER_UNKNOWN, CONTAINER_AMBIGUOUS. */
export function inspectContainer(
  store: Store,
  name: string,
  { size = false }: InspectContainerOptions = {},
): Readonly<Record<string, unknown>> {
  recoverContainers(store)
  const container = resolveContainer(store, name)
  const { id, settings } = container
  const bundle = containerDirectory(store, id)
  const [path = '', ...args] = commandLine(settings.config)
  return {
    Id: id,
    Created: timeOf(container.createdAt),
    Path: path,
    Args: args,
    State: stateOf(store, container),
    Image: container.imageId,
    ResolvConfPath: container.startedAt === null ? '' : `${bundle}/resolv.conf`,
    HostnamePath: container.startedAt === null ? '' : `${bundle}/hostname`,
    HostsPath: container.startedAt === null ? '' : `${bundle}/hosts`,
    LogPath: settings.log?.driver === 'none' || container.startedAt === null ? '' : logPath(store, container.id),
    Name: `/${container.name}`,
    RestartCount: container.restart?.count ?? 0,
    Driver: 'overlayfs',
    Platform: 'linux',
    MountLabel: '',
    ProcessLabel: '',
    AppArmorProfile: '',
    ExecIDs: null,
    HostConfig: hostConfigOf(container),
    GraphDriver: { Data: graphOf(store, container), Name: 'overlayfs' },
    ...(size ? sizesOf(store, container) : {}),
    Mounts: settings.mounts.flatMap((mount) => mountPoint(store, mount)),
    Config: configOf(container),
    NetworkSettings: networkSettings(store, container),
  }
}

function timeOf(milliseconds: number | null): string {
  return milliseconds === null ? never : new Date(milliseconds).toISOString()
}

function stateOf(store: Store, container: Container): Readonly<Record<string, unknown>> {
  const { state } = container
  const health = healthOf(store, container)
  const fields = {
    Status: state,
    Running: isActive(container),
    Paused: state === 'paused',
    Restarting: state === 'restarting',
    OOMKilled: container.oomKilled,
    Dead: false,
    Pid: state === 'running' || state === 'paused' ? (findInit(store, container.id)?.pid ?? 0) : 0,
    ExitCode: container.exitCode ?? 0,
    Error: container.error ?? '',
    StartedAt: state === 'created' ? never : timeOf(container.startedAt),
    FinishedAt: state === 'created' ? never : timeOf(container.finishedAt),
    ...(health === undefined
      ? {}
      : {
          Health: {
            Status: health.status,
            FailingStreak: health.failingStreak,
            Log: health.log.map(({ start, end, exitCode, output }) => ({
              Start: timeOf(start * 1000),
              End: timeOf(end * 1000),
              ExitCode: exitCode,
              Output: output,
            })),
          },
        }),
  }
  return withDefaults<Readonly<Record<string, unknown>>>({ Health: nilPointer }, fields)
}

function graphOf(store: Store, { id, snapshot }: Container): Readonly<Record<string, string>> {
  const path = (name: string): string => store.path('snapshots', snapshot, name)
  return { ID: id, MergedDir: path('merged'), UpperDir: path('fs'), WorkDir: path('work') }
}

function sizesOf(store: Store, container: Container): { readonly SizeRw: number; readonly SizeRootFs: number } {
  const written = writtenSize(store, container)
  const image = listImages(store).find(({ imageId }) => imageId === container.imageId)
  const below = image === undefined ? 0 : new ImageSizes(store).unpacked(image)
  return { SizeRw: written, SizeRootFs: written + below }
}

function mountPoint(store: Store, mount: MountSetting): object[] {
  return mountFields(store, mount).map(goStruct)
}

function mountFields(store: Store, mount: MountSetting): Readonly<Record<string, string | boolean>>[] {
  const { target, readonly } = mount
  const rights = { RW: !readonly }
  switch (mount.type) {
    case 'bind':
      return [
        {
          Type: 'bind',
          Source: mount.source,
          Destination: target,
          Mode: bindModes(mount),
          ...rights,
          Propagation: mount.propagation ?? 'rprivate',
        },
      ]
    case 'volume':
      return [
        {
          Type: 'volume',
          Name: mount.name,
          Source: store.path('volumes', mount.name, '_data'),
          Destination: target,
          Driver: 'local',
          Mode: mount.anonymous ? '' : 'z',
          ...rights,
          Propagation: '',
        },
      ]
    case 'tmpfs':
      return [{ Type: 'tmpfs', Source: '', Destination: target, Mode: '', ...rights, Propagation: '' }]
  }
}

function sortedOptions(options: Readonly<Record<string, string>> = {}): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(options).toSorted(([a], [b]) => (a < b ? -1 : 1)))
}

const nanosecondsPerCpu = 1e9

function hostConfigOf(container: Container): Readonly<Record<string, unknown>> {
  const { settings, autoRemove } = container
  const { limits = {}, log, restart, dns, privileged, userns } = settings
  const layout = withHostCgroups(() => cgroupLayout())
  const security = [
    ...(settings.noNewPrivileges ? ['no-new-privileges'] : []),
    ...(settings.seccomp === 'unconfined' ? ['seccomp=unconfined'] : []),
    ...(settings.seccompProfile === undefined ? [] : [`seccomp=${settings.seccompProfile}`]),
    ...(settings.writableCgroups === true ? ['writable-cgroups=true'] : []),
    ...(settings.apparmorProfile === undefined ? [] : [`apparmor=${settings.apparmorProfile}`]),
    ...(privileged || settings.pid === 'host' || settings.ipc === 'host' ? ['label=disable'] : []),
  ]
  const fields = {
    Binds: nullIfEmpty(settings.mounts.flatMap(bindText)),
    ContainerIDFile: '',
    LogConfig: { Type: log?.driver ?? 'json-file', Config: sortedOptions(log?.options) },
    NetworkMode: networkMode(container),
    PortBindings: portBindings(container),
    RestartPolicy: goStruct({ Name: restart?.name ?? 'no', MaximumRetryCount: restart?.maximumRetries ?? 0 }),
    AutoRemove: autoRemove,
    VolumeDriver: '',
    VolumesFrom: nullIfEmpty(settings.volumesFrom ?? []),
    ConsoleSize: [0, 0],
    ...(settings.annotations === undefined ? {} : { Annotations: settings.annotations }),
    CapAdd: nullIfEmpty(settings.capAdd.map(capabilityName)),
    CapDrop: nullIfEmpty(settings.capDrop.map(capabilityName)),
    CgroupnsMode: settings.cgroupns ?? 'private',
    Dns: dns.servers ?? [],
    DnsOptions: dns.options ?? [],
    DnsSearch: dns.search ?? [],
    ExtraHosts: nullIfEmpty(settings.extraHosts.map(({ name, address }) => `${name}:${address}`)),
    GroupAdd: nullIfEmpty(settings.groups),
    IpcMode: settings.ipc ?? 'private',
    Cgroup: '',
    Links: nullIfEmpty(linksOf(container)),
    OomScoreAdj: settings.oomScoreAdj ?? 0,
    PidMode: settings.pid === 'private' ? '' : (settings.pid ?? ''),
    Privileged: privileged,
    PublishAllPorts: settings.publishAll === true,
    ReadonlyRootfs: settings.readonlyRootfs,
    SecurityOpt: nullIfEmpty(security),
    ...tmpfsOf(settings.mounts),
    UTSMode: settings.uts === 'host' ? 'host' : '',
    UsernsMode: userns === 'host' ? userns : userns?.isOwn === true ? 'remap' : '',
    ShmSize: settings.shmSize ?? 64 << 20,
    ...(settings.sysctls === undefined ? {} : { Sysctls: settings.sysctls }),
    Runtime: settings.runtime ?? 'runc',
    Isolation: '',
    CpuShares: limits.cpuShares ?? 0,
    Memory: limits.memory ?? 0,
    NanoCpus: Math.round((limits.cpus ?? 0) * nanosecondsPerCpu),
    CgroupParent: settings.cgroupParent ?? '',
    BlkioWeight: limits.blkioWeight ?? 0,
    BlkioWeightDevice: (settings.weightDevices ?? []).map(({ path, weight }) => ({ Path: path, Weight: weight })),
    BlkioDeviceReadBps: throttlesOf(settings, 'ReadBps'),
    BlkioDeviceWriteBps: throttlesOf(settings, 'WriteBps'),
    BlkioDeviceReadIOps: throttlesOf(settings, 'ReadIOPS'),
    BlkioDeviceWriteIOps: throttlesOf(settings, 'WriteIOPS'),
    CpuPeriod: limits.cpuPeriod ?? 0,
    CpuQuota: limits.cpuQuota ?? 0,
    CpuRealtimePeriod: limits.cpuRealtimePeriod ?? 0,
    CpuRealtimeRuntime: limits.cpuRealtimeRuntime ?? 0,
    CpusetCpus: limits.cpusetCpus ?? '',
    CpusetMems: limits.cpusetMems ?? '',
    Devices: (settings.devices ?? []).map(({ source, target, access }) => ({
      PathOnHost: source,
      PathInContainer: target,
      CgroupPermissions: access,
    })),
    DeviceCgroupRules: settings.deviceRules ?? null,
    DeviceRequests: null,
    MemoryReservation: limits.memoryReservation ?? 0,
    MemorySwap: limits.memorySwap ?? 0,
    MemorySwappiness: limits.memorySwappiness ?? nilPointer,
    OomKillDisable: limits.disableOomKiller === true ? true : layout === 'v2' ? nilPointer : false,
    PidsLimit: limits.pidsLimit ?? nilPointer,
    Ulimits: settings.ulimits.map(({ type, soft, hard }) => ({ Name: type, Hard: hard, Soft: soft })),
    CpuCount: 0,
    CpuPercent: 0,
    IOMaximumIOps: 0,
    IOMaximumBandwidth: 0,
    MaskedPaths: privileged ? null : settings.unmasked === true ? [] : maskedPaths,
    ReadonlyPaths: privileged ? null : settings.unmasked === true ? [] : readonlyPaths,
    ...(settings.init === true ? { Init: true } : {}),
  }
  return withDefaults<Readonly<Record<string, unknown>>>({ Init: nilPointer }, fields)
}

function nullIfEmpty<Item>(items: readonly Item[]): readonly Item[] {
  return items.length === 0 ? nilList : items
}

function capabilityName(name: string): string {
  const upper = name.toUpperCase()
  return upper === 'ALL' || upper.startsWith('CAP_') ? upper : `CAP_${upper}`
}

function bindModes({ readonly, propagation }: Extract<MountSetting, { type: 'bind' }>): string {
  return [...(readonly ? ['ro'] : []), ...(propagation === undefined ? [] : [propagation])].join(',')
}

/** A mount as `-v` gives it. */
function bindText(mount: MountSetting): string[] {
  const mode = mount.readonly ? ':ro' : ''
  if (mount.type === 'bind') {
    const modes = bindModes(mount)
    return [`${mount.source}:${mount.target}${modes === '' ? '' : `:${modes}`}`]
  }
  return mount.type === 'volume' && !mount.anonymous ? [`${mount.name}:${mount.target}${mode}`] : []
}

function tmpfsOf(mounts: readonly MountSetting[]): { readonly Tmpfs?: Readonly<Record<string, string>> } {
  const entries = mounts.flatMap((mount) => {
    if (mount.type !== 'tmpfs') return []
    const { target, size, mode, readonly } = mount
    const options = [
      ...(readonly ? ['ro'] : []),
      ...(size === undefined ? [] : [`size=${size}`]),
      ...(mode === undefined ? [] : [`mode=${mode.toString(8)}`]),
    ]
    return [[target, options.join(',')] as const]
  })
  return entries.length === 0 ? {} : { Tmpfs: Object.fromEntries(entries) }
}

function configOf({ settings }: Container): Readonly<Record<string, unknown>> {
  const { config, attached = [], mounts } = settings
  const anonymous = mounts.flatMap((mount) => (mount.type === 'volume' && mount.anonymous ? [mount.target] : []))
  const volumes = { ...config.Volumes, ...Object.fromEntries(anonymous.map((target) => [target, {}])) }
  const fields = {
    Hostname: settings.hostname,
    Domainname: settings.domainname ?? '',
    User: config.User ?? '',
    AttachStdin: attached.includes('stdin'),
    AttachStdout: attached.includes('stdout'),
    AttachStderr: attached.includes('stderr'),
    ...(config.ExposedPorts ? { ExposedPorts: goSet(config.ExposedPorts) } : {}),
    Tty: settings.tty,
    OpenStdin: settings.openStdin,
    StdinOnce: settings.stdinOnce === true,
    Env: config.Env ?? nilList,
    Cmd: config.Cmd ?? nilList,
    ...(config.Healthcheck ? { Healthcheck: config.Healthcheck } : {}),
    Image: settings.image,
    Volumes: Object.keys(volumes).length > 0 ? goSet(volumes) : nilMap,
    WorkingDir: config.WorkingDir === '/' ? '' : (config.WorkingDir ?? ''),
    Entrypoint: config.Entrypoint ?? nilList,
    OnBuild: nilList,
    Labels: config.Labels ?? {},
    ...(config.StopSignal ? { StopSignal: config.StopSignal } : {}),
    ...(settings.stopTimeout === undefined ? {} : { StopTimeout: settings.stopTimeout }),
    ...(config.Shell ? { Shell: config.Shell } : {}),
  }
  return withDefaults<Readonly<Record<string, unknown>>>(
    { Healthcheck: nilPointer, ExposedPorts: nilMap, StopTimeout: nilPointer, StopSignal: '', Shell: nilList },
    fields,
  )
}

/** Links in the default network, as the container sees them; those in other networks are with these. */
function linksOf({ name: own, settings: { network, networks = [], links = [] } }: Container): string[] {
  if (network !== 'bridge' || networks[0]?.network !== 'bridge') return []
  return links.map(({ name, alias }) => `/${name}:/${own}/${alias}`)
}

function throttlesOf({ throttles = [] }: Container['settings'], wanted: ThrottleKind): readonly object[] {
  return throttles.flatMap(({ kind, path, rate }) => (kind === wanted ? [{ Path: path, Rate: rate }] : []))
}
