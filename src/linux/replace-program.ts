import { SystemCallError } from './errno.ts'
import { lastErrno, openLibc, ptr, stableBytes, types } from './libc.ts'

const { i32, ptr: pointer } = types

const libc = openLibc({
  execve: { args: [pointer, pointer, pointer], returns: i32 },
  fcntl: { args: [i32, i32, i32], returns: i32 },
})

const F_SETFD = 2
const FD_CLOEXEC = 1

/**
 * execve(2): this process goes on as another program, with its number, terminal, streams and working directory. Nothing
 * of what runs here is ended first. Throws SystemCallError; else it does not return.
 *
 * @param path - absolute
 * @param words - the program's name, then its arguments
 */
export function replaceProgram(
  path: string,
  words: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): never {
  const variables = Object.entries(env).flatMap(([key, value]) => (value === undefined ? [] : [`${key}=${value}`]))
  // Held here until the call: the garbage collector must not take what only the kernel is told of.
  const held = [terminated(path), listOf(words), listOf(variables)] as const
  const [program, argv, envp] = held
  libc.execve(ptr(program), ptr(argv.addresses), ptr(envp.addresses))
  throw new SystemCallError('execve', lastErrno(), path)
}

/** Whether an open file stays open in the program that this process goes on as; by default it does not. */
export function keepAcrossExec(fd: number, isKept: boolean): void {
  if (libc.fcntl(fd, F_SETFD, isKept ? 0 : FD_CLOEXEC) !== 0)
    throw new SystemCallError('fcntl', lastErrno(), `descriptor ${fd}`)
}

interface StringList {
  readonly addresses: Uint8Array<ArrayBuffer>
  readonly texts: readonly Uint8Array[]
}

function listOf(texts: readonly string[]): StringList {
  const held = texts.map(terminated)
  const addresses = stableBytes(8 * (held.length + 1))
  const words = new BigUint64Array(addresses.buffer)
  for (const [index, bytes] of held.entries()) words[index] = BigInt(ptr(bytes))
  return { addresses, texts: held }
}

function terminated(text: string): Uint8Array<ArrayBuffer> {
  const encoded = new TextEncoder().encode(text)
  const bytes = stableBytes(encoded.length + 1)
  bytes.set(encoded)
  return bytes
}
