import type { Store } from '../content/store.ts'
import { CairnError } from '../errors/error.ts'
import { owningFilesAs } from '../linux/file-credentials.ts'
import { AT_FDCWD, close, open, openFlags } from '../linux/files.ts'
import { bindMapped } from '../linux/mapped-mount.ts'
import { mountTmpfs, unmount } from '../linux/mounts.ts'
import { changeModeAt, makeDirectories } from '../linux/names.ts'
import { namespaceOf } from '../linux/namespaces.ts'
import { processStatus } from '../linux/processes.ts'
import { writeTextFile } from '../linux/text-file.ts'
import type { IdRange } from '../linux/user-namespace.ts'
import type { RuntimeIdMapping, RuntimeSpec } from '../oci/runtime-spec.ts'
import { requireProgram } from '../rootless/make-namespace.ts'
import type { Container } from './container.ts'
import { containerDirectory } from './places.ts'
import type { UserMapping } from './user-mapping.ts'

/** The user namespace of a container that is just being started, and a network namespace that belongs to it. */
export interface OpenUserNamespace extends Disposable {
  /** Descriptors. */
  readonly user: number
  readonly network: number
  readonly mapping: UserMapping
}

const pause = 1
const patience = 5_000

/**
 * Makes the user namespace of a container whose users are remapped; undefined for any other. Both namespaces are there as long
 * as what this gives, or the container. Throws TOOL_MISSING, NOT_SUPPORTED where this machine allows none, SystemCallError.
 */
export function openUserNamespace({ settings }: Container): OpenUserNamespace | undefined {
  const { userns } = settings
  if (userns === undefined || userns === 'host') return undefined
  const own = namespaceOf('self', 'net')
  const command = [
    requireProgram('unshare', 'util-linux'),
    '--user',
    '--net',
    requireProgram('sleep', 'coreutils'),
    '60',
  ]
  const holder = Bun.spawn(command, { stdio: ['ignore', 'ignore', 'ignore'], cwd: '/' })
  const opened: number[] = []
  try {
    const deadline = performance.now() + patience
    while ([own, undefined].includes(namespaceOf(holder.pid, 'net'))) {
      if (performance.now() > deadline || processStatus(holder.pid)?.isZombie !== false)
        throw new CairnError('NOT_SUPPORTED', 'this machine allows no user namespaces', {
          hint: 'sysctl user.max_user_namespaces must not be 0.',
        })
      Bun.sleepSync(pause)
    }
    for (const kind of ['uid', 'gid'] as const) writeTextFile(`/proc/${holder.pid}/${kind}_map`, linesOf(userns[kind]))
    for (const type of ['user', 'net']) opened.push(open(`/proc/${holder.pid}/ns/${type}`, openFlags.O_RDONLY))
  } catch (error) {
    opened.forEach(close)
    throw error
  } finally {
    holder.kill('SIGKILL')
  }
  const [user = -1, network = -1] = opened
  return { user, network, mapping: userns, [Symbol.dispose]: () => opened.forEach(close) }
}

function linesOf(ranges: readonly IdRange[]): string {
  return ranges.map(({ inside, outside, length }) => `${inside} ${outside} ${length}\n`).join('')
}

/**
 * Where a container in a user namespace finds its files, in mounts that it alone sees: what a store has is open to root of the
 * machine only, and its users are others.
 */
const place = '/run/cairn'

/** Where its root file system is mounted; the machine has an empty directory there, which runc starts `exec` from. */
const mountedRoot = `${place}/root`

/** How the files of a container are found in {@link place}. */
export interface MappedFiles {
  /** Where the root file system is to be mounted. */
  readonly root: string
  /** The place of a path of the store. */
  readonly pathOf: (path: string) => string
  /**
   * Mounts all of it, then calls `mountRoot` as root of the container, so that overlayfs makes its own files as that; in a mount
   * namespace that is the container's own.
   */
  readonly mount: (mountRoot: () => void) => void
  /** The spec with paths of the store in that place, and the user namespace. */
  readonly spec: (spec: RuntimeSpec) => RuntimeSpec
}

/** The id outside that is 0 inside. */
function rootOf([first]: readonly IdRange[]): number {
  return first?.outside ?? 0
}

function runtimeMapping({ inside, outside, length }: IdRange): RuntimeIdMapping {
  return { containerID: inside, hostID: outside, size: length }
}

/** To be called before the container's mounts are made. Throws SystemCallError. */
export function mapFiles(store: Store, { id }: Container, { user, mapping }: OpenUserNamespace): MappedFiles {
  const shown = [
    [store.path('snapshots'), `${place}/snapshots`],
    [store.path('volumes'), `${place}/volumes`],
    [containerDirectory(store, id), `${place}/bundle`],
  ] as const
  const pathOf = (path: string): string => {
    const found = shown.find(([directory]) => path === directory || path.startsWith(`${directory}/`))
    return found === undefined ? path : `${found[1]}${path.slice(found[0].length)}`
  }
  return {
    root: mountedRoot,
    pathOf,
    mount(mountRoot) {
      makeDirectories(mountedRoot, 0o711)
      changeModeAt(AT_FDCWD, place, 0o711)
      // A container that is started again by its monitor still sees those of its last run.
      unmount(place, { lazy: true })
      mountTmpfs(place, { mode: 0o711 })
      makeDirectories(mountedRoot, 0o711)
      for (const [source, target] of shown) {
        makeDirectories(source)
        makeDirectories(target)
        bindMapped(source, target, user)
      }
      owningFilesAs(rootOf(mapping.uid), rootOf(mapping.gid), mountRoot)
    },
    spec: (spec) => ({
      ...spec,
      root: { ...spec.root, path: mountedRoot },
      mounts: spec.mounts.map((mount) =>
        mount.type === 'bind' && mount.source !== undefined ? { ...mount, source: pathOf(mount.source) } : mount,
      ),
      linux: {
        ...spec.linux,
        namespaces: [...spec.linux.namespaces, { type: 'user', path: `/proc/${process.pid}/fd/${user}` }],
        // It is joined; runc wants to know all the same.
        uidMappings: mapping.uid.map(runtimeMapping),
        gidMappings: mapping.gid.map(runtimeMapping),
      },
    }),
  }
}
