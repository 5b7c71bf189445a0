import { listDirectory } from '../../linux/directories.ts'
import { tryLstat } from '../../linux/file-status.ts'
import { close, open, openFlags } from '../../linux/files.ts'
import { readTextFile, writeTextFile } from '../../linux/text-file.ts'

/**
 * What does not belong in an image: devices and state of the machine that made it, caches, lists, locks, secrets that
 * every container would share. `/*` at the end means all in the directory, which itself stays.
 */
const unwanted: readonly string[] = `
  dev/* proc/* sys/* tmp/* var/tmp/*
  etc/hostname etc/resolv.conf var/lib/dbus/machine-id
  var/lib/systemd/random-seed var/lib/systemd/credential.secret var/lib/urandom/random-seed
  var/lib/apt/lists/* var/cache/apt/archives/* var/cache/apt/pkgcache.bin var/cache/apt/srcpkgcache.bin
  var/cache/ldconfig/aux-cache var/cache/man/* var/cache/fontconfig/* var/backups/*
  var/cache/debconf/config.dat-old var/cache/debconf/templates.dat-old var/cache/debconf/passwords.dat
  etc/passwd- etc/group- etc/shadow- etc/gshadow- etc/subuid- etc/subgid- etc/.pwd.lock
  var/lib/dpkg/status-old var/lib/dpkg/available-old var/lib/dpkg/diversions-old var/lib/dpkg/statoverride-old
  var/lib/dpkg/lock var/lib/dpkg/lock-frontend var/lib/dpkg/triggers/Lock
`
  .trim()
  .split(/\s+/)

/** The unwanted files that are in `rootfs`, as relative paths, for packing to leave out. */
export function unwantedFiles(rootfs: string): Set<string> {
  const found = new Set<string>()
  for (const pattern of unwanted) {
    if (!pattern.endsWith('/*')) found.add(pattern)
    else for (const name of namesIn(rootfs, pattern.slice(0, -2))) found.add(`${pattern.slice(0, -2)}/${name}`)
  }
  for (const name of namesIn(rootfs, 'run')) if (name !== 'lock') found.add(`run/${name}`)
  for (const name of namesIn(rootfs, 'etc/ssh')) if (name.startsWith('ssh_host_')) found.add(`etc/ssh/${name}`)
  return found
}

/** Empties what has to be there but says when or where the image was made: logs, the machine ID. */
export function emptyTraces(rootfs: string): void {
  if (tryLstat(`${rootfs}/etc/machine-id`)?.type === 'file') truncate(`${rootfs}/etc/machine-id`)
  emptyLogs(rootfs, 'var/log')
}

function emptyLogs(rootfs: string, directory: string): void {
  for (const name of namesIn(rootfs, directory)) {
    const path = `${directory}/${name}`
    const status = tryLstat(`${rootfs}/${path}`)
    if (status?.type === 'directory') emptyLogs(rootfs, path)
    if (status?.type === 'file' && status.size > 0) truncate(`${rootfs}/${path}`)
  }
}

function truncate(path: string): void {
  close(open(path, openFlags.O_WRONLY | openFlags.O_TRUNC | openFlags.O_NOFOLLOW))
}

/**
 * Settings that container images of Debian and Ubuntu have everywhere, under the names that Dockerfiles know: packages
 * start no services, apt keeps no archives and fetches no translations, dpkg does not wait for the disk.
 */
const containerFiles: readonly {
  readonly path: string
  readonly mode: number
  readonly needs: string
  readonly text: string
}[] = [
  {
    path: 'usr/sbin/policy-rc.d',
    mode: 0o755,
    needs: 'usr/sbin',
    text: '#!/bin/sh\n\n# A container starts its own command and no services.\nexit 101\n',
  },
  {
    path: 'etc/apt/apt.conf.d/docker-clean',
    mode: 0o644,
    needs: 'etc/apt/apt.conf.d',
    text: '# Downloaded packages would only make layers larger. Remove this file to keep them in a cache mount.\nAPT::Keep-Downloaded-Packages "false";\n',
  },
  {
    path: 'etc/apt/apt.conf.d/docker-no-languages',
    mode: 0o644,
    needs: 'etc/apt/apt.conf.d',
    text: 'Acquire::Languages "none";\n',
  },
  {
    path: 'etc/dpkg/dpkg.cfg.d/docker-apt-speedup',
    mode: 0o644,
    needs: 'etc/dpkg/dpkg.cfg.d',
    text: '# A layer that is not finished is never used, so there is nothing to save by syncing each file.\nforce-unsafe-io\n',
  },
]

/** Writes the settings for containers into `rootfs`, those whose directory is there. */
export function writeContainerFiles(rootfs: string): void {
  for (const { path, mode, needs, text } of containerFiles) {
    if (tryLstat(`${rootfs}/${needs}`)?.type !== 'directory' || tryLstat(`${rootfs}/${path}`) !== undefined) continue
    writeTextFile(`${rootfs}/${path}`, text, mode)
  }
}

/** Patterns for dpkg (`path-exclude`, `path-include`) that leave documentation and translations out, licences apart. */
export const slimPaths: readonly string[] = [
  ...['man', 'info', 'doc', 'groff', 'linda', 'lintian', 'locale'].map((name) => `path-exclude=/usr/share/${name}/*`),
  'path-include=/usr/share/doc/*/copyright',
  'path-include=/usr/share/locale/locale.alias',
]

/** An installed package. */
export interface InstalledPackage {
  readonly name: string
  readonly version: string
  readonly architecture: string
}

const largestStatus = 256 * 1024 * 1024

/** The packages that dpkg's database in `rootfs` has as installed (dpkg(1)), sorted by name. */
export function installedPackages(rootfs: string): InstalledPackage[] {
  const text = readTextFile(`${rootfs}/var/lib/dpkg/status`, largestStatus) ?? ''
  return text
    .split(/\n\n+/)
    .flatMap((stanza) => {
      const field = (name: string): string => new RegExp(`^${name}: (.*)$`, 'm').exec(stanza)?.[1] ?? ''
      if (!field('Status').endsWith(' installed')) return []
      return [{ name: field('Package'), version: field('Version'), architecture: field('Architecture') }]
    })
    .toSorted((a, b) => (`${a.name} ${a.architecture}` < `${b.name} ${b.architecture}` ? -1 : 1))
}

/** The fields of os-release(5) in `rootfs`. */
export function osRelease(rootfs: string): ReadonlyMap<string, string> {
  const text = readTextFile(`${rootfs}/usr/lib/os-release`) ?? readTextFile(`${rootfs}/etc/os-release`) ?? ''
  return new Map(
    text.split('\n').flatMap((line) => {
      const match = /^([A-Z_]+)=(?:"(.*)"|(.*))$/.exec(line)
      return match === null ? [] : [[match[1] ?? '', match[2] ?? match[3] ?? '']]
    }),
  )
}

/** True when `rootfs` has the program `path`, as a file or through links. */
export function hasProgram(rootfs: string, name: string): boolean {
  return ['bin', 'usr/bin'].some((directory) => {
    const type = tryLstat(`${rootfs}/${directory}/${name}`)?.type
    return type === 'file' || type === 'symlink'
  })
}

function namesIn(rootfs: string, directory: string): string[] {
  const path = `${rootfs}/${directory}`
  return tryLstat(path)?.type === 'directory' ? listDirectory(path).map(({ name }) => name) : []
}
