import { CairnError } from '../errors/error.ts'
import type { FlagDefinitions } from './flags.ts'

/** Flags of docker for containers that Cairn does not have yet, by what they take. */
const missing = {
  bool: ['detach', 'init', 'no-healthcheck', 'oom-kill-disable', 'publish-all', 'use-api-socket'],
  string: `blkio-weight cgroup-parent cgroupns cpu-period cpu-quota cpu-rt-period cpu-rt-runtime cpu-shares cpus
    cpuset-cpus cpuset-mems detach-keys domainname gpus health-cmd health-interval health-retries health-start-interval
    health-start-period health-timeout ip ip6 ipc isolation kernel-memory log-driver mac-address memory
    memory-reservation memory-swap memory-swappiness oom-score-adj pid pids-limit restart stop-timeout userns
    uts volume-driver`.split(/\s+/),
  stringArray: `annotation blkio-weight-device device device-cgroup-rule device-read-bps device-read-iops
    device-write-bps device-write-iops expose label-file link link-local-ip log-opt network-alias publish storage-opt
    sysctl volumes-from`.split(/\s+/),
} as const

const shorts: Readonly<Record<string, string>> = {
  detach: 'd',
  'cpu-shares': 'c',
  memory: 'm',
  publish: 'p',
  'publish-all': 'P',
}

/** Definitions that make the missing flags known, so that what is said about one is that it is missing. */
export const missingFlags: FlagDefinitions = Object.fromEntries(
  Object.entries(missing).flatMap(([type, names]) =>
    names.map((name) => {
      const short = shorts[name] === undefined ? {} : { short: shorts[name] }
      return [name, { type, ...short, hidden: true, summary: 'Not supported yet' }]
    }),
  ),
) as FlagDefinitions

/** What a missing flag may say because that is how it is anyhow. */
const harmless: Readonly<Record<string, string>> = { restart: 'no', cgroupns: 'host', domainname: '' }

/** Throws NOT_SUPPORTED for a missing flag that was given. */
export function refuseMissingFlags(values: Readonly<Record<string, unknown>>, given: (flag: string) => boolean): void {
  for (const name of Object.keys(missingFlags)) {
    const value = values[name]
    if (!given(name) || value === false || value === harmless[name]) continue
    if (name === 'detach')
      throw new CairnError(
        'NOT_SUPPORTED',
        'running a container in the background (-d, --detach) is not supported yet',
        {
          hint: 'Run it in the foreground, or let the shell put it in the background: `cairn run … &`.',
        },
      )
    throw new CairnError('NOT_SUPPORTED', `--${name} is not supported yet`)
  }
}

/** What `docker run` takes and Cairn has. */
export const containerFlags = {
  'add-host': { type: 'stringArray', value: 'list', summary: 'Add a custom host-to-IP mapping (host:ip)' },
  attach: { type: 'stringArray', short: 'a', value: 'list', summary: 'Attach to STDIN, STDOUT or STDERR' },
  'cap-add': { type: 'stringArray', value: 'list', summary: 'Add Linux capabilities' },
  'cap-drop': { type: 'stringArray', value: 'list', summary: 'Drop Linux capabilities' },
  cidfile: { type: 'string', complete: 'file', summary: 'Write the container ID to the file' },
  'disable-content-trust': { type: 'bool', default: true, hidden: true, summary: 'Skip image verification' },
  dns: { type: 'stringArray', value: 'list', summary: 'Set custom DNS servers' },
  'dns-option': { type: 'stringArray', value: 'list', summary: 'Set DNS options' },
  'dns-search': { type: 'stringArray', value: 'list', summary: 'Set custom DNS search domains' },
  entrypoint: { type: 'string', summary: 'Overwrite the default ENTRYPOINT of the image' },
  env: { type: 'stringArray', short: 'e', value: 'list', summary: 'Set environment variables' },
  'env-file': {
    type: 'stringArray',
    value: 'list',
    complete: 'file',
    summary: 'Read in a file of environment variables',
  },
  'group-add': { type: 'stringArray', value: 'list', summary: 'Add additional groups to join' },
  hostname: { type: 'string', short: 'h', summary: 'Container host name' },
  interactive: { type: 'bool', short: 'i', summary: 'Keep STDIN open even if not attached' },
  label: { type: 'stringArray', short: 'l', value: 'list', summary: 'Set meta data on a container' },
  mount: { type: 'stringArray', value: 'mount', summary: 'Attach a filesystem mount to the container' },
  name: { type: 'string', summary: 'Assign a name to the container' },
  net: { type: 'string', hidden: true, summary: 'Connect a container to a network' },
  network: {
    type: 'string',
    value: 'network',
    default: 'default',
    complete: ['host', 'none'],
    summary: 'Network of the container: "host", or "none" for none at all.\nThe default is "host" for now',
  },
  platform: { type: 'string', summary: 'Set platform if the image has several' },
  privileged: { type: 'bool', summary: 'Give extended privileges to this container' },
  pull: {
    type: 'string',
    default: 'missing',
    complete: ['missing', 'never'],
    summary: 'Pull image before running ("missing", "never")',
  },
  quiet: { type: 'bool', short: 'q', summary: 'Suppress the pull output' },
  'read-only': { type: 'bool', summary: "Mount the container's root filesystem as read only" },
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
    complete: ['no-new-privileges', 'seccomp=unconfined'],
    summary: 'Security Options',
  },
  'shm-size': { type: 'bytes', summary: 'Size of /dev/shm' },
  'sig-proxy': { type: 'bool', default: true, summary: 'Proxy received signals to the process' },
  'stop-signal': { type: 'string', summary: 'Signal to stop the container' },
  tmpfs: { type: 'stringArray', value: 'list', summary: 'Mount a tmpfs directory' },
  tty: { type: 'bool', short: 't', summary: 'Allocate a pseudo-TTY' },
  ulimit: { type: 'stringArray', value: 'ulimit', summary: 'Ulimit options' },
  user: { type: 'string', short: 'u', summary: 'Username or UID (format: <name|uid>[:<group|gid>])' },
  volume: { type: 'stringArray', short: 'v', value: 'list', summary: 'Bind mount a volume' },
  workdir: { type: 'string', short: 'w', summary: 'Working directory inside the container' },
} as const satisfies FlagDefinitions
