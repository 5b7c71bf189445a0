import { tryListDirectory } from '../linux/directories.ts'
import { fstat, tryStat } from '../linux/file-status.ts'
import { close, openFlags, tryOpen } from '../linux/files.ts'

/**
 * One of the files of a log: `log` is written to, `log.1` was before that, and so on. The files are renamed while the
 * container writes, so each is known by its inode, which is no other's as long as it is open.
 */
export interface OpenGeneration {
  readonly fd: number
  readonly inode: number | bigint
}

interface Generation {
  readonly path: string
  readonly inode: number | bigint
}

/** Opens all files of a log, the newest first; to be closed. */
export function openGenerations(path: string): OpenGeneration[] {
  for (;;) {
    const opened: OpenGeneration[] = []
    const wanted = listGenerations(path)
    for (const one of wanted) {
      const file = openIfStill(one)
      if (file !== undefined) opened.push(file)
    }
    if (opened.length === wanted.length) return opened
    for (const { fd } of opened) close(fd)
  }
}

/**
 * Opens the file of a log that follows the one with this inode, which nobody writes to any more then; undefined where that
 * is the newest. The oldest where it is not kept any more, and where no file was read yet.
 */
export function openNewer(path: string, inode: OpenGeneration['inode'] | undefined): OpenGeneration | undefined {
  if (inode !== undefined && tryStat(path)?.inode === inode) return undefined
  for (;;) {
    const files = listGenerations(path)
    const at = files.findIndex((file) => file.inode === inode)
    const next = at < 0 ? files.at(-1) : files[at - 1]
    // In the middle of a change the new one is not there yet.
    if (next === undefined) return undefined
    const file = openIfStill(next)
    if (file !== undefined) return file
  }
}

/** The files of a log as they were at one moment, the newest first. */
function listGenerations(path: string): Generation[] {
  let before = ''
  for (;;) {
    const files = lookAtGenerations(path)
    const now = files.map((file) => `${file.path} ${file.inode}`).join()
    if (now === before) return files
    before = now
  }
}

function lookAtGenerations(path: string): Generation[] {
  const slash = path.lastIndexOf('/')
  const name = path.slice(slash + 1)
  const numbers = tryListDirectory(path.slice(0, slash)).flatMap((entry): number[] => {
    if (entry.name === name) return [0]
    const [, number] = /^\.(\d{1,6})$/.exec(entry.name.slice(name.length)) ?? []
    return entry.name.startsWith(name) && number !== undefined ? [Number(number)] : []
  })
  return numbers
    .toSorted((a, b) => a - b)
    .flatMap((number): Generation[] => {
      const file = generationPath(path, number)
      const inode = tryStat(file)?.inode
      return inode === undefined ? [] : [{ path: file, inode }]
    })
}

function generationPath(path: string, number: number): string {
  return number === 0 ? path : `${path}.${number}`
}

/** Undefined where the path is another file's by now. */
function openIfStill({ path, inode }: Generation): OpenGeneration | undefined {
  const fd = tryOpen(path, openFlags.O_RDONLY)
  if (fd === undefined) return undefined
  if (fstat(fd).inode === inode) return { fd, inode }
  close(fd)
  return undefined
}
