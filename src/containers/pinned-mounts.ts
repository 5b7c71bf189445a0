import { CairnError } from '../errors/error.ts'
import { stat } from '../linux/file-status.ts'
import { close, open, openAt2, openFlags, resolveFlags } from '../linux/files.ts'
import { cloneMount, moveMount } from '../linux/mapped-mount.ts'
import { unmount } from '../linux/mounts.ts'
import { inOuterMounts } from '../linux/mount-namespace.ts'
import { makeDirectories } from '../linux/names.ts'
import { readTextFile, writeTextFile } from '../linux/text-file.ts'
import { inInitialUserNamespace } from '../linux/user-namespace.ts'
import type { MountPropagation } from '../runtime/spec.ts'

/**
 * Sources of mounts that a path cannot stand for: what the container is to share mounts with, since those of this process are
 * private, and what is found inside a volume, where a symlink could lead elsewhere a moment later. Each is cloned here and
 * attached in the container's own mount namespace.
 */
export class PinnedMounts {
  readonly #directory: string
  readonly #trees: { readonly tree: number; readonly place: string }[] = []

  /** @param directory - where they are attached, made when it is needed */
  constructor(directory: string) {
    this.#directory = directory
  }

  /**
   * Pins a path of the host with the propagation of the mount that it is on. Gives the path to bind from. Throws CONFIG_INVALID, in
   * docker's words, where that mount is not shared with others; NOT_SUPPORTED without the users of the host.
   */
  pinHost(source: string, propagation: MountPropagation, recursive: boolean): string {
    if (!inInitialUserNamespace())
      throw new CairnError('NOT_SUPPORTED', `mount propagation ${propagation} needs root of the host: ${source}`)
    const tree = inOuterMounts(() => {
      checkPropagation(source, propagation)
      return cloneOf(open(source, openFlags.O_PATH), source, recursive)
    })
    return this.#add(tree, stat(source).type === 'directory')
  }

  /** Pins what is at `subpath` inside a directory, which no symlink leads out of. Throws CONFIG_INVALID, in docker's words. */
  pinInside(directory: string, subpath: string): string {
    const root = open(directory, openFlags.O_PATH | openFlags.O_DIRECTORY)
    try {
      const found = openAt2(root, subpath, openFlags.O_PATH, resolveFlags.IN_ROOT | resolveFlags.NO_MAGICLINKS)
      if (found < 0)
        throw new CairnError(
          'CONFIG_INVALID',
          `cannot access path ${directory}/${subpath}: lstat ${directory}/${subpath}: no such file or directory`,
        )
      const isDirectory = stat(`/proc/self/fd/${found}`).type === 'directory'
      return this.#add(cloneOf(found, subpath, true), isDirectory)
    } finally {
      close(root)
    }
  }

  /** Attaches all of them, in the mount namespace of this thread. To be called once. */
  attach(): void {
    for (const { tree, place } of this.#trees) {
      moveMount(tree, place)
      close(tree)
    }
  }

  /** Takes them away again, in the mount namespace of this thread. */
  detach(): void {
    for (const { place } of this.#trees) unmount(place, { lazy: true })
  }

  #add(tree: number, isDirectory: boolean): string {
    const place = `${this.#directory}/${this.#trees.length}-${isDirectory ? 'directory' : 'file'}`
    if (isDirectory) makeDirectories(place, 0o700)
    else {
      makeDirectories(this.#directory, 0o700)
      writeTextFile(place, '')
    }
    this.#trees.push({ tree, place })
    return place
  }
}

function cloneOf(from: number, name: string, recursive: boolean): number {
  try {
    return cloneMount(from, name, { recursive })
  } finally {
    close(from)
  }
}

/** proc_pid_mountinfo(5): the mount that a path is on, and the fields about its propagation. */
function checkPropagation(source: string, propagation: MountPropagation): void {
  const lines = (readTextFile('/proc/thread-self/mountinfo') ?? '').split('\n').filter(Boolean)
  const mounts = lines.map((line) => {
    const [before = ''] = line.split(' - ')
    const [, , , , point = '', , ...tags] = before.split(' ')
    return { point: unescaped(point), tags }
  })
  const isOn = (point: string): boolean => point === '/' || source === point || source.startsWith(`${point}/`)
  // Of several at one place the last hides the others.
  const mount = mounts
    .filter(({ point }) => isOn(point))
    .reduce((best, one) => (one.point.length >= best.point.length ? one : best), { point: '', tags: [] as string[] })
  const isShared = mount.tags.some((tag) => tag.startsWith('shared:'))
  const isSlave = mount.tags.some((tag) => tag.startsWith('master:'))
  const wantsShared = propagation === 'shared' || propagation === 'rshared'
  if (isShared || (isSlave && !wantsShared)) return
  const what = wantsShared ? 'a shared' : 'a shared or slave'
  throw new CairnError('CONFIG_INVALID', `path ${source} is mounted on ${mount.point} but it is not ${what} mount`)
}

function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))
}
