import { CairnError } from '../../errors/error.ts'
import type { FlagDefinitions } from '../flags.ts'
import { deviceFlags } from './device-flags.ts'
import { healthFlags } from './health-flags.ts'
import { creationLimitFlags } from './limit-flags.ts'

type FlagType = 'bool' | 'string' | 'stringArray'

/** A flag of docker that cannot be had: what it takes, the value that says what is so anyhow, and why there is no other. */
interface MissingFlag {
  readonly type: FlagType
  readonly harmless?: string
  readonly refusal: (value: string) => string
  readonly hint?: string
}

const missing: Readonly<Record<string, MissingFlag>> = {
  gpus: {
    type: 'string',
    refusal: () => 'could not select device driver "" with capabilities: [[gpu]]',
    hint: 'Give the device files: `--device /dev/dri`.',
  },
  isolation: {
    type: 'string',
    harmless: 'default',
    refusal: (value) => `invalid isolation (${value}): linux only supports 'default'`,
  },
  'kernel-memory': {
    type: 'string',
    refusal: () => '--kernel-memory is not supported: Linux has no such limit any more',
  },
  'link-local-ip': { type: 'stringArray', refusal: () => '--link-local-ip is not supported' },
  'storage-opt': {
    type: 'stringArray',
    refusal: () => '--storage-opt is not supported: what a container writes is limited by the disk alone',
  },
  'use-api-socket': {
    type: 'bool',
    refusal: () => '--use-api-socket is not supported: there is no daemon with a socket',
  },
  'volume-driver': {
    type: 'string',
    harmless: 'local',
    refusal: (value) => `error looking up volume plugin ${value}: plugin ${JSON.stringify(value)} not found`,
  },
}

/** Definitions that make the missing flags known, so that what is said about one is why it is missing. */
export const missingFlags: FlagDefinitions = Object.fromEntries(
  Object.entries(missing).map(([name, { type }]) => [name, { type, hidden: true, summary: 'Not supported' }]),
)

/** Throws NOT_SUPPORTED for a missing flag that was given. */
export function refuseMissingFlags(values: Readonly<Record<string, unknown>>, given: (flag: string) => boolean): void {
  if (given('disable-content-trust') && values['disable-content-trust'] === false)
    throw new CairnError('NOT_SUPPORTED', '--disable-content-trust=false is not supported', {
      hint: 'Signatures are checked by `cairn image verify`.',
    })
  for (const [name, { harmless, refusal, hint }] of Object.entries(missing)) {
    const value = values[name]
    if (!given(name) || value === false || value === '' || value === harmless) continue
    throw new CairnError('NOT_SUPPORTED', refusal(String(value)), hint === undefined ? {} : { hint })
  }
}

/** What `docker run` and `docker create` take and Cairn has. */
export const containerFlags = {
  ...creationLimitFlags,
  ...deviceFlags,
  ...healthFlags,
  'add-host': { type: 'stringArray', value: 'list', summary: 'Add a custom host-to-IP mapping (host:ip)' },
  annotation: {
    type: 'stringArray',
    value: 'map',
    summary: 'Add an annotation to the container (passed through to the OCI runtime)',
  },
  attach: { type: 'stringArray', short: 'a', value: 'list', summary: 'Attach to STDIN, STDOUT or STDERR' },
  'cap-add': { type: 'stringArray', value: 'list', summary: 'Add Linux capabilities' },
  'cap-drop': { type: 'stringArray', value: 'list', summary: 'Drop Linux capabilities' },
  'cgroup-parent': { type: 'string', summary: 'Optional parent cgroup for the container' },
  cgroupns: {
    type: 'string',
    complete: ['private', 'host'],
    summary: 'Cgroup namespace to use ("host", "private")',
  },
  cidfile: { type: 'string', complete: 'file', summary: 'Write the container ID to the file' },
  'disable-content-trust': { type: 'bool', default: true, hidden: true, summary: 'Skip image verification' },
  dns: { type: 'stringArray', value: 'list', summary: 'Set custom DNS servers' },
  'dns-option': { type: 'stringArray', value: 'list', summary: 'Set DNS options' },
  'dns-search': { type: 'stringArray', value: 'list', summary: 'Set custom DNS search domains' },
  domainname: { type: 'string', summary: 'Container NIS domain name' },
  entrypoint: { type: 'string', summary: 'Overwrite the default ENTRYPOINT of the image' },
  env: { type: 'stringArray', short: 'e', value: 'list', summary: 'Set environment variables' },
  'env-file': {
    type: 'stringArray',
    value: 'list',
    complete: 'file',
    summary: 'Read in a file of environment variables',
  },
  expose: { type: 'stringArray', value: 'list', summary: 'Expose a port or a range of ports' },
  'group-add': { type: 'stringArray', value: 'list', summary: 'Add additional groups to join' },
  hostname: { type: 'string', short: 'h', summary: 'Container host name' },
  ip: { type: 'string', summary: 'IPv4 address (e.g., 172.30.100.104)' },
  ip6: { type: 'string', summary: 'IPv6 address (e.g., 2001:db8::33)' },
  init: { type: 'bool', summary: 'Run an init inside the container that forwards signals and reaps processes' },
  interactive: { type: 'bool', short: 'i', summary: 'Keep STDIN open even if not attached' },
  ipc: { type: 'string', summary: 'IPC mode to use', complete: ['private', 'host', 'shareable', 'none'] },
  label: { type: 'stringArray', short: 'l', value: 'list', summary: 'Set meta data on a container' },
  'label-file': {
    type: 'stringArray',
    value: 'list',
    complete: 'file',
    summary: 'Read in a line delimited file of labels',
  },
  link: { type: 'stringArray', value: 'list', summary: 'Add link to another container' },
  'log-driver': {
    type: 'string',
    complete: ['json-file', 'local', 'none'],
    summary: 'Logging driver for the container ("json-file", "local", "none")',
  },
  'log-opt': { type: 'stringArray', value: 'list', summary: 'Log driver options ("max-size", "max-file", …)' },
  'mac-address': { type: 'string', summary: 'Container MAC address (e.g., 92:d0:c6:0a:29:33)' },
  mount: { type: 'stringArray', value: 'mount', summary: 'Attach a filesystem mount to the container' },
  name: { type: 'string', summary: 'Assign a name to the container' },
  net: { type: 'stringArray', hidden: true, summary: 'Connect a container to a network' },
  network: {
    type: 'stringArray',
    value: 'network',
    complete: ['bridge', 'host', 'none'],
    summary: 'Connect a container to a network',
  },
  'network-alias': { type: 'stringArray', value: 'list', summary: 'Add network-scoped alias for the container' },
  'oom-score-adj': { type: 'int', default: 0, summary: "Tune host's OOM preferences (-1000 to 1000)" },
  pid: { type: 'string', summary: 'PID namespace to use', complete: ['host'] },
  platform: { type: 'string', summary: 'Set platform if the image has several' },
  privileged: { type: 'bool', summary: 'Give extended privileges to this container' },
  publish: { type: 'stringArray', short: 'p', value: 'list', summary: "Publish a container's port(s) to the host" },
  'publish-all': { type: 'bool', short: 'P', summary: 'Publish all exposed ports to random ports' },
  pull: {
    type: 'string',
    default: 'missing',
    complete: ['always', 'missing', 'never'],
    summary: 'Pull image before running ("always", "missing", "never")',
  },
  quiet: { type: 'bool', short: 'q', summary: 'Suppress the pull output' },
  'read-only': { type: 'bool', summary: "Mount the container's root filesystem as read only" },
  restart: {
    type: 'string',
    default: 'no',
    complete: ['no', 'always', 'on-failure', 'unless-stopped'],
    summary: 'Restart policy to apply when a container exits',
  },
  rm: {
    type: 'bool',
    summary: 'Automatically remove the container and its associated anonymous volumes when it exits',
  },
  runtime: {
    type: 'string',
    complete: ['crun', 'runc'],
    summary: 'Runtime to use for this container ("crun", "runc")',
  },
  'security-opt': {
    type: 'stringArray',
    value: 'list',
    complete: ['no-new-privileges', 'seccomp=unconfined', 'seccomp='],
    summary: 'Security Options',
  },
  'shm-size': { type: 'bytes', summary: 'Size of /dev/shm' },
  'stop-signal': { type: 'string', summary: 'Signal to stop the container' },
  'stop-timeout': { type: 'int', summary: 'Timeout (in seconds) to stop a container' },
  sysctl: { type: 'stringArray', value: 'map', summary: 'Sysctl options' },
  tmpfs: { type: 'stringArray', value: 'list', summary: 'Mount a tmpfs directory' },
  tty: { type: 'bool', short: 't', summary: 'Allocate a pseudo-TTY' },
  ulimit: { type: 'stringArray', value: 'ulimit', summary: 'Ulimit options' },
  user: { type: 'string', short: 'u', summary: 'Username or UID (format: <name|uid>[:<group|gid>])' },
  userns: { type: 'string', summary: 'User namespace to use', complete: ['host', 'remap'] },
  uts: { type: 'string', summary: 'UTS namespace to use', complete: ['host'] },
  volume: { type: 'stringArray', short: 'v', value: 'list', summary: 'Bind mount a volume' },
  'volumes-from': { type: 'stringArray', value: 'list', summary: 'Mount volumes from the specified container(s)' },
  workdir: { type: 'string', short: 'w', summary: 'Working directory inside the container' },
} as const satisfies FlagDefinitions

/** How a sequence of keys that leaves a container is given. */
export const detachKeysFlag = {
  'detach-keys': { type: 'string', summary: 'Override the key sequence for detaching a container' },
} as const satisfies FlagDefinitions

/** What `run` takes besides. */
export const runFlags = {
  detach: { type: 'bool', short: 'd', summary: 'Run container in background and print container ID' },
  ...detachKeysFlag,
  'sig-proxy': { type: 'bool', default: true, summary: 'Proxy received signals to the process' },
} as const satisfies FlagDefinitions
