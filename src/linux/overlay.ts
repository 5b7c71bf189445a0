import { CairnError } from '../errors/error.ts'
import { SystemCallError, errno, errnoName, isErrno } from './errno.ts'
import { close, open, openFlags, read } from './files.ts'
import { lastErrno, openLibc, stableBytes, types } from './libc.ts'
import { enterPrivateMounts } from './mount-namespace.ts'
import { bindMount, mount, mountError, mountFlags, notRoot, unmount } from './mounts.ts'
import { makeDirectories } from './names.ts'
import { pathArgument } from './path-arguments.ts'
import { removeTree } from './remove-tree.ts'
import { TextArgument } from './text-argument.ts'
import { inInitialUserNamespace } from './user-namespace.ts'

const { i32, i64, ptr: pointer } = types

const libc = openLibc({
  chdir: { args: [pointer], returns: i32 },
  fchdir: { args: [i32], returns: i32 },
  syscall: { args: [i64, i64, i64, i64, i64, i64], returns: i64 },
})

/** System calls without a wrapper in older C libraries. Their numbers are the same on every architecture. */
const callNumbers = { move_mount: 429, fsopen: 430, fsconfig: 431, fsmount: 432 } as const

const FSOPEN_CLOEXEC = 1
const FSMOUNT_CLOEXEC = 1
const FSCONFIG_SET_FLAG = 0
const FSCONFIG_SET_STRING = 1
const FSCONFIG_SET_FD = 5
const FSCONFIG_CMD_CREATE = 6
const MOVE_MOUNT_F_EMPTY_PATH = 4
const MOUNT_ATTR_RDONLY = 1
const MOUNT_ATTR_NODEV = 4
const AT_FDCWD = -100

const keyArgument = new TextArgument(32)
const valueArgument = new TextArgument(32)

/** The kernel's OVL_MAX_STACK. */
const maxLowers = 500

/** An overlay to mount. Paths are absolute and may hold any character, also commas, colons and backslashes. */
export interface OverlayMount {
  /** Directories to see through, the topmost first; at most 500. May be empty where there is an upper. */
  readonly lowers: readonly string[]
  /** Directory that takes the changes. Without it the overlay is read-only. */
  readonly upper?: string
  /** Empty directory on the upper's file system, needed with an upper and a lower. */
  readonly work?: string
  /** Existing directory to mount on. */
  readonly target: string
  /** The kernel skips fsync(2) and sync(2) on the upper, whose content is lost if the machine goes down meanwhile. */
  readonly volatile?: boolean
  /** Device files inside cannot be opened. */
  readonly nodev?: boolean
}

/** Said on every machine, whatever its kernel's defaults, so that an upper is whole without the lowers' help. */
function settingsHere(): readonly string[] {
  // `off` follows redirects that are there, and is refused with userxattr.
  return [inInitialUserNamespace() ? 'redirect_dir=off' : 'redirect_dir=nofollow', 'metacopy=off', 'index=off']
}

/**
 * In a user namespace overlayfs keeps what it notes of files in attributes of users: those that it else uses are for root
 * alone, and it would go without.
 */
function overlayFlags({ upper, volatile }: OverlayMount): readonly string[] {
  return [
    ...(upper !== undefined && volatile === true ? ['volatile'] : []),
    ...(inInitialUserNamespace() ? [] : ['userxattr']),
  ]
}

/**
 * Mounts an overlay. A single lower without an upper becomes a read-only bind mount, and an upper without lowers a bind
 * mount: overlayfs takes neither. Throws OVERLAY_UNSUPPORTED with the kernel's own words, NOT_ROOT, LIMIT_EXCEEDED past
 * 500 lowers, FILE_UNKNOWN naming the directory.
 *
 * @param way - `mount` uses mount(2) also where the kernel has fsopen(2) for overlays, so that both can be tested
 */
export function mountOverlay(overlay: OverlayMount, way: 'newest' | 'mount' = 'newest'): void {
  const { lowers, upper, work, target } = overlay
  const [only] = lowers
  if (only === undefined || (lowers.length === 1 && upper === undefined)) {
    const source = only ?? upper
    if (source === undefined) throw new TypeError('an overlay needs a lower or an upper directory')
    return bindMount(source, target, { readonly: upper === undefined, nodev: overlay.nodev === true })
  }
  if (upper !== undefined && work === undefined) throw new TypeError('an overlay with an upper needs a work directory')
  if (lowers.length > maxLowers)
    throw new CairnError('LIMIT_EXCEEDED', `${lowers.length} layers, and overlays take ${maxLowers}: ${target}`, {
      hint: 'Flatten the image, for example by copying its whole root into a stage FROM scratch.',
    })

  const opened: number[] = []
  try {
    const openLayer = (path: string): number => {
      const fd = open(path, openFlags.O_RDONLY | openFlags.O_DIRECTORY)
      opened.push(fd)
      return fd
    }
    const layers: OpenLayers = {
      lowers: lowers.map(openLayer),
      ...(upper === undefined || work === undefined ? {} : { upper: openLayer(upper), work: openLayer(work) }),
    }
    if (way === 'mount' || !mountByContext(overlay, layers)) mountByOptions(overlay, layers)
  } finally {
    for (const fd of opened) close(fd)
  }
}

/** File descriptors of the directories. */
interface OpenLayers {
  readonly lowers: readonly number[]
  readonly upper?: number
  readonly work?: number
}

/** False once the kernel has said no: overlays take layers as descriptors since Linux 6.13. */
let isContextSupported = true

/**
 * fsopen(2) and its family, with the layers as descriptors: no limit on the names or on the length of all together.
 * False where the kernel has no such thing.
 */
function mountByContext(overlay: OverlayMount, layers: OpenLayers): boolean {
  if (!isContextSupported) return false
  const context = systemCall(callNumbers.fsopen, keyArgument.of('overlay', 'fsopen'), FSOPEN_CLOEXEC)
  if (context < 0) {
    const failure = lastErrno()
    if (failure !== errno.ENOSYS) throw overlayError('fsopen', failure, overlay)
    isContextSupported = false
    return false
  }
  try {
    const configure = (command: number, key?: string, value?: string | number): void => {
      if (fsconfig(context, command, key, value) === 0) return
      const failure = lastErrno()
      throw overlayError(key === undefined ? 'mount' : `fsconfig ${key}`, failure, overlay, readMessages(context))
    }
    for (const [index, fd] of layers.lowers.entries()) {
      if (index > 0) configure(FSCONFIG_SET_FD, 'lowerdir+', fd)
      else if (fsconfig(context, FSCONFIG_SET_FD, 'lowerdir+', fd) !== 0) {
        isContextSupported = false
        return false
      }
    }
    if (layers.upper !== undefined) configure(FSCONFIG_SET_FD, 'upperdir', layers.upper)
    if (layers.work !== undefined) configure(FSCONFIG_SET_FD, 'workdir', layers.work)
    for (const setting of ['source=overlay', ...settingsHere()]) {
      const [key, value] = setting.split('=')
      configure(FSCONFIG_SET_STRING, key, value)
    }
    for (const flag of overlayFlags(overlay)) configure(FSCONFIG_SET_FLAG, flag)
    configure(FSCONFIG_CMD_CREATE)
    attach(context, overlay)
    return true
  } finally {
    close(context)
  }
}

function fsconfig(context: number, command: number, key?: string, value?: string | number): number {
  return systemCall(
    callNumbers.fsconfig,
    context,
    command,
    key === undefined ? 0 : keyArgument.of(key, 'fsconfig'),
    typeof value === 'string' ? valueArgument.of(value, 'fsconfig') : 0,
    typeof value === 'number' ? value : 0,
  )
}

function attach(context: number, overlay: OverlayMount): void {
  const readonly = overlay.upper === undefined ? MOUNT_ATTR_RDONLY : 0
  const nodev = overlay.nodev === true ? MOUNT_ATTR_NODEV : 0
  const mounted = systemCall(callNumbers.fsmount, context, FSMOUNT_CLOEXEC, readonly | nodev)
  if (mounted < 0) throw overlayError('fsmount', lastErrno(), overlay, readMessages(context))
  try {
    const nothing = keyArgument.of('', 'move_mount')
    const target = pathArgument(overlay.target, 'move_mount')
    if (systemCall(callNumbers.move_mount, mounted, nothing, AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) !== 0)
      throw mountError('move_mount', lastErrno(), overlay.target)
  } finally {
    close(mounted)
  }
}

/** What the kernel wrote about a failed configuration: lines like `e overlay: …`, one per read(2). */
function readMessages(context: number): string {
  const buffer = stableBytes(1024)
  const lines: string[] = []
  try {
    for (let length = read(context, buffer); length > 0; length = read(context, buffer))
      lines.push(new TextDecoder().decode(buffer.subarray(0, length)).trim().slice(2))
  } catch (error) {
    if (!isErrno(error, errno.ENODATA)) throw error
  }
  return lines.join('; ')
}

/**
 * mount(2), whose options must fit a page and are split at commas and colons. With /proc/self/fd as the thread's
 * working directory the name of a layer is the number of its descriptor: 500 of them fit, whatever they are called.
 */
function mountByOptions(overlay: OverlayMount, layers: OpenLayers): void {
  enterPrivateMounts()
  const options = [`lowerdir=${layers.lowers.join(':')}`]
  if (layers.upper !== undefined) options.push(`upperdir=${layers.upper}`, `workdir=${layers.work}`)
  options.push(...settingsHere(), ...overlayFlags(overlay))
  const flags =
    (overlay.upper === undefined ? mountFlags.MS_RDONLY : 0) | (overlay.nodev === true ? mountFlags.MS_NODEV : 0)

  const directory = open('.', openFlags.O_PATH | openFlags.O_DIRECTORY)
  try {
    if (libc.chdir(pathArgument('/proc/self/fd', 'chdir')) !== 0)
      throw new SystemCallError('chdir', lastErrno(), '/proc/self/fd')
    mount('overlay', overlay.target, 'overlay', flags, options.join(','), `an overlay on ${overlay.target}`)
  } catch (error) {
    throw error instanceof SystemCallError ? overlayError('mount', error.errno, overlay) : error
  } finally {
    libc.fchdir(directory)
    close(directory)
  }
}

const obstacles = new Map<string, CairnError | undefined>()

/**
 * Why an overlay with its upper below `directory` cannot be mounted: NOT_ROOT or OVERLAY_UNSUPPORTED, each with a hint;
 * undefined when it can. Finds out by mounting one in the private mounts of this process, once per directory (0.5 ms).
 * Throws where `directory` cannot be written.
 */
export function overlayObstacle(directory: string): CairnError | undefined {
  if (!obstacles.has(directory)) obstacles.set(directory, probe(directory))
  return obstacles.get(directory)
}

/** True when an overlay with its upper below `directory` can be mounted; {@link overlayObstacle} says why not. */
export function overlaySupported(directory: string): boolean {
  return overlayObstacle(directory) === undefined
}

function probe(directory: string): CairnError | undefined {
  const base = `${directory}/.overlay-probe-${process.pid}-${Bun.nanoseconds()}`
  const target = `${base}/root`
  const paths = { lower: `${base}/lower`, upper: `${base}/upper`, work: `${base}/work` }
  try {
    for (const path of [paths.lower, paths.upper, paths.work, target]) makeDirectories(path, 0o700)
    enterPrivateMounts()
    mountOverlay({ lowers: [paths.lower], upper: paths.upper, work: paths.work, target })
    unmount(target, { lazy: true })
    return undefined
  } catch (error) {
    if (error instanceof CairnError && (error.code === 'OVERLAY_UNSUPPORTED' || error.code === 'NOT_ROOT')) return error
    throw error
  } finally {
    removeTree(base)
  }
}

function overlayError(call: string, failure: number, overlay: OverlayMount, said = ''): CairnError {
  const subject = `overlay on ${overlay.target}`
  switch (failure) {
    case errno.EPERM:
      if (inInitialUserNamespace()) return notRoot(`${call} ${subject}`)
      return new CairnError('OVERLAY_UNSUPPORTED', `this machine mounts no overlays without root: ${call} ${subject}`, {
        hint: 'Linux 5.11 and newer do, unless AppArmor or SELinux is in the way. Or run cairn as root.',
      })
    case errno.ENODEV:
      return new CairnError('OVERLAY_UNSUPPORTED', 'this kernel has no overlay file system', {
        hint: 'Load it with `modprobe overlay`.',
      })
    case errno.EINVAL:
    case errno.EOPNOTSUPP:
      return new CairnError('OVERLAY_UNSUPPORTED', `${call} ${subject}: ${said === '' ? errnoName(failure) : said}`, {
        hint: 'The upper directory must be on ext4, xfs, btrfs or a tmpfs, not on an overlay or a network file system: set CAIRN_ROOT to one.',
      })
    default:
      return new SystemCallError(call, failure, said === '' ? subject : `${subject} (${said})`)
  }
}

function systemCall(number: number, ...given: number[]): number {
  const [first = 0, second = 0, third = 0, fourth = 0, fifth = 0] = given
  return Number(libc.syscall(number, first, second, third, fourth, fifth))
}
