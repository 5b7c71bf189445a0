import { dlopen, FFIType, ptr } from 'bun:ffi'
import { SystemCallError, errno } from '../linux/errno.ts'
import { tryStat } from '../linux/file-status.ts'
import { close, open, openFlags, read, write } from '../linux/files.ts'
import { stableBytes } from '../linux/libc.ts'
import { makeDirectories, removeFile, rename } from '../linux/names.ts'
import { openPipe } from '../linux/pipes.ts'
import { TextArgument } from '../linux/text-argument.ts'
import type { RuntimeSeccomp, RuntimeSeccompRule } from '../oci/runtime-spec.ts'

/**
 * A filter as the kernel runs it. The runtimes make it anew from the JSON at every start, which takes libseccomp 15 ms
 * for three architectures; with crun it can be handed over ready made. Kept on disk for a week: a newer libseccomp knows
 * more system calls.
 */
const lifetimeSeconds = 7 * 24 * 3600

const digestLength = 32

const inMemory = new Map<string, Uint8Array<ArrayBuffer> | undefined>()

/**
 * The instructions (struct sock_filter) of `profile`, from memory, from `directory` (made where it is not there) or
 * from libseccomp. Undefined where the machine has no libseccomp.
 */
export function compiledSeccomp(profile: RuntimeSeccomp, directory: string): Uint8Array<ArrayBuffer> | undefined {
  const key = new Bun.CryptoHasher('sha256').update(JSON.stringify(profile)).digest('hex')
  if (inMemory.has(key)) return inMemory.get(key)
  const path = `${directory}/${key}.bpf`
  let filter = readKept(path)
  if (filter === undefined) {
    filter = compile(profile)
    if (filter !== undefined) keep(path, directory, filter)
  }
  inMemory.set(key, filter)
  return filter
}

/** A kept file is the digest of the filter and the filter: half a file must never become half a filter. */
function readKept(path: string): Uint8Array<ArrayBuffer> | undefined {
  const status = tryStat(path)
  if (status === undefined || status.mtimeSeconds < Date.now() / 1000 - lifetimeSeconds) return undefined
  const bytes = new Uint8Array(status.size)
  const fd = open(path, openFlags.O_RDONLY)
  try {
    let length = 0
    for (let count = -1; count !== 0 && length < bytes.length; length += count)
      count = read(fd, bytes.subarray(length), path)
    if (length !== bytes.length) return undefined
  } finally {
    close(fd)
  }
  const filter = bytes.slice(digestLength)
  return filter.length > 0 && Buffer.compare(digestOf(filter), bytes.subarray(0, digestLength)) === 0
    ? filter
    : undefined
}

function keep(path: string, directory: string, filter: Uint8Array): void {
  makeDirectories(directory, 0o700)
  const temporary = `${path}.${process.pid}`
  const fd = open(temporary, openFlags.O_WRONLY | openFlags.O_CREAT | openFlags.O_TRUNC)
  try {
    write(fd, digestOf(filter), temporary)
    write(fd, filter, temporary)
  } catch (error) {
    removeFile(temporary)
    throw error
  } finally {
    close(fd)
  }
  rename(temporary, path)
}

function digestOf(filter: Uint8Array): Uint8Array {
  return new Bun.CryptoHasher('sha256').update(filter).digest()
}

function openLibseccomp() {
  const { ptr: pointer, i32, u32, void: nothing } = FFIType
  return dlopen('libseccomp.so.2', {
    seccomp_init: { args: [u32], returns: pointer },
    seccomp_release: { args: [pointer], returns: nothing },
    seccomp_arch_resolve_name: { args: [pointer], returns: u32 },
    seccomp_arch_native: { args: [], returns: u32 },
    seccomp_arch_add: { args: [pointer, u32], returns: i32 },
    seccomp_syscall_resolve_name: { args: [pointer], returns: i32 },
    seccomp_rule_add_array: { args: [pointer, u32, i32, u32, pointer], returns: i32 },
    seccomp_export_bpf: { args: [pointer, i32], returns: i32 },
  }).symbols
}

type Libseccomp = ReturnType<typeof openLibseccomp>

/** Values of seccomp.h. */
const unknownCall = -1
const comparisons = {
  SCMP_CMP_NE: 1,
  SCMP_CMP_LT: 2,
  SCMP_CMP_LE: 3,
  SCMP_CMP_EQ: 4,
  SCMP_CMP_GE: 5,
  SCMP_CMP_GT: 6,
  SCMP_CMP_MASKED_EQ: 7,
} as const

function compile(profile: RuntimeSeccomp): Uint8Array<ArrayBuffer> | undefined {
  let library: Libseccomp
  try {
    library = openLibseccomp()
  } catch {
    return undefined
  }
  const context = library.seccomp_init(actionNumber(profile.defaultAction, profile.defaultErrnoRet))
  if (context === null) return undefined
  try {
    for (const architecture of profile.architectures) {
      const token = library.seccomp_arch_resolve_name(
        nameArgument.of(architecture.replace('SCMP_ARCH_', '').toLowerCase(), 'seccomp'),
      )
      if (token === library.seccomp_arch_native()) continue
      check('seccomp_arch_add', library.seccomp_arch_add(context, token), architecture)
    }
    for (const rule of profile.syscalls)
      for (const name of rule.names) {
        const number = library.seccomp_syscall_resolve_name(nameArgument.of(name, 'seccomp'))
        // A call younger than this libseccomp stays closed, as it does when the runtime reads the JSON.
        if (number !== unknownCall) addRule(library, context, rule, number, name)
      }
    return exportFilter(library, context)
  } finally {
    library.seccomp_release(context)
  }
}

const nameArgument = new TextArgument(128)

type Context = NonNullable<ReturnType<Libseccomp['seccomp_init']>>

/** struct scmp_arg_cmp: index, comparison, two 64-bit values. */
const argumentBytes = stableBytes(24)
const argumentAddress = ptr(argumentBytes)
const argument = new DataView(argumentBytes.buffer)

function addRule(library: Libseccomp, context: Context, rule: RuntimeSeccompRule, number: number, name: string): void {
  const [condition, second] = rule.args ?? []
  if (second !== undefined) throw new TypeError('a seccomp rule of ours has one condition')
  if (condition !== undefined) {
    argument.setUint32(0, condition.index, true)
    argument.setUint32(4, comparisons[condition.op], true)
    argument.setBigUint64(8, BigInt(condition.value), true)
    argument.setBigUint64(16, BigInt(condition.valueTwo ?? 0), true)
  }
  const action = actionNumber(rule.action, rule.errnoRet)
  const count = condition === undefined ? 0 : 1
  check('seccomp_rule_add', library.seccomp_rule_add_array(context, action, number, count, argumentAddress), name)
}

function exportFilter(library: Libseccomp, context: Context): Uint8Array<ArrayBuffer> {
  const pipe = openPipe()
  try {
    // A filter has at most 4096 instructions of 8 bytes, which fit a pipe of 64 KiB without a reader.
    check('seccomp_export_bpf', library.seccomp_export_bpf(context, pipe.write), '')
    const bytes = new Uint8Array(65_536)
    return bytes.slice(0, read(pipe.read, bytes, 'seccomp filter'))
  } finally {
    close(pipe.read)
    close(pipe.write)
  }
}

function actionNumber(action: RuntimeSeccomp['defaultAction'], errnoValue = 1): number {
  switch (action) {
    case 'SCMP_ACT_ALLOW':
      return 0x7fff_0000
    case 'SCMP_ACT_LOG':
      return 0x7ffc_0000
    case 'SCMP_ACT_KILL':
    case 'SCMP_ACT_KILL_THREAD':
      return 0
    case 'SCMP_ACT_KILL_PROCESS':
      return 0x8000_0000
    case 'SCMP_ACT_TRAP':
      return 0x0003_0000
    case 'SCMP_ACT_ERRNO':
      return 0x0005_0000 | errnoValue
  }
}

/** libseccomp gives a negated errno. A rule that the filter has already is no mistake. */
function check(call: string, status: number, subject: string): void {
  if (status < 0 && -status !== errno.EEXIST) throw new SystemCallError(call, -status, subject)
}
