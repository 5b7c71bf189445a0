import { CairnError, isCairnError } from '../errors/error.ts'
import { tryListDirectory } from '../linux/directories.ts'
import { userProgram } from '../linux/system-program.ts'
import { readTextFile } from '../linux/text-file.ts'
import { readIdMap } from '../linux/user-namespace.ts'
import type { RuntimeIdMapping, RuntimeSpec } from '../oci/runtime-spec.ts'

/** How programs of an architecture begin (elf.h), and what qemu's emulator of it is called. */
interface Architecture {
  readonly machine: number
  readonly bits: 32 | 64
  readonly order: 'little' | 'big'
  readonly qemu: string
}

const architectures: Readonly<Record<string, Architecture>> = {
  '386': { machine: 3, bits: 32, order: 'little', qemu: 'i386' },
  amd64: { machine: 62, bits: 64, order: 'little', qemu: 'x86_64' },
  arm: { machine: 40, bits: 32, order: 'little', qemu: 'arm' },
  arm64: { machine: 183, bits: 64, order: 'little', qemu: 'aarch64' },
  loong64: { machine: 258, bits: 64, order: 'little', qemu: 'loongarch64' },
  mips64le: { machine: 8, bits: 64, order: 'little', qemu: 'mips64el' },
  ppc64le: { machine: 21, bits: 64, order: 'little', qemu: 'ppc64le' },
  riscv64: { machine: 243, bits: 64, order: 'little', qemu: 'riscv64' },
  s390x: { machine: 22, bits: 64, order: 'big', qemu: 's390x' },
}

/** What the processor of a machine runs besides its own. */
const alsoNative: Readonly<Record<string, string>> = { amd64: '386', arm64: 'arm' }

/** An emulator that the kernel has to be told of. */
export interface Emulator {
  readonly path: string
  /** The line for binfmt_misc's `register`. */
  readonly rule: string
}

/** Where the kernel tells which programs it starts by an emulator. */
const handlers = '/proc/sys/fs/binfmt_misc'

/**
 * What it takes to run programs for `architecture` here, in Go's names: nothing where the processor or a handler of the
 * kernel runs them, else an emulator. Throws EMULATOR_MISSING with what to install.
 *
 * @param env - PATH is where emulators are looked for
 */
export function findEmulator(
  architecture: string,
  host: string,
  env: Readonly<Record<string, string | undefined>>,
): Emulator | undefined {
  if (architecture === host || alsoNative[host] === architecture) return undefined
  const target = architectures[architecture]
  if (target === undefined)
    throw new CairnError('EMULATOR_MISSING', `programs for ${architecture} cannot be run on ${host}`)
  if (isHandled(target)) return undefined
  const name = `qemu-${target.qemu}-static`
  const path = userProgram(name, env)
  if (path === undefined)
    throw new CairnError(
      'EMULATOR_MISSING',
      `programs for ${architecture} cannot be run on ${host} without an emulator`,
      {
        hint: `Install ${name}: apt-get install qemu-user-static.`,
      },
    )
  if (!hasPrivateHandlers())
    throw new CairnError('EMULATOR_MISSING', `this kernel does not run programs for ${architecture} by ${name}`, {
      hint: 'Linux before 6.7 has to be told for the whole machine: apt-get install binfmt-support, or systemctl restart systemd-binfmt.',
    })
  return { path, rule: ruleOf(`qemu-${target.qemu}`, target, path) }
}

/** Architectures, in Go's names, that steps and containers can be run for on this machine: its own first. */
export function runnableArchitectures(
  host: string,
  env: Readonly<Record<string, string | undefined>>,
): readonly string[] {
  const others = Object.keys(architectures).filter((one) => one !== host && canRun(one, host, env))
  return [host, ...others]
}

function canRun(architecture: string, host: string, env: Readonly<Record<string, string | undefined>>): boolean {
  try {
    findEmulator(architecture, host, env)
    return true
  } catch (error) {
    if (isCairnError(error, 'EMULATOR_MISSING')) return false
    throw error
  }
}

/**
 * The container with an emulator of its own: in a user namespace that is like that of the machine, whose binfmt_misc
 * is told of the emulator before the container's first program starts. The machine itself is told nothing. (binfmt_misc
 * belongs to user namespaces since Linux 6.7.)
 */
export function withEmulator(spec: RuntimeSpec, { rule }: Emulator): RuntimeSpec {
  const script = 'mount -t binfmt_misc binfmt_misc "$1" && printf %s "$2" > "$1/register"'
  const register = {
    path: '/bin/sh',
    args: ['sh', '-c', script, 'sh', `${spec.root.path}${handlers}`, rule],
    env: ['PATH=/usr/sbin:/usr/bin:/sbin:/bin'],
  }
  // Sysfs shows the network, and may be mounted only by who owns that.
  const ownsNetwork = spec.linux.namespaces.some(({ type, path }) => type === 'network' && path === undefined)
  const options = ['rbind', 'ro', 'nosuid', 'noexec', 'nodev']
  const mounts = spec.mounts.map((mount) =>
    mount.type === 'sysfs' && !ownsNetwork ? { ...mount, type: 'bind', source: '/sys', options } : mount,
  )
  return {
    ...spec,
    mounts,
    linux: {
      ...spec.linux,
      namespaces: [...spec.linux.namespaces, { type: 'user' }],
      uidMappings: sameIds('uid'),
      gidMappings: sameIds('gid'),
    },
    hooks: { ...spec.hooks, createContainer: [...(spec.hooks?.createContainer ?? []), register] },
  }
}

/** All ids that there are here, each as itself. */
function sameIds(kind: 'uid' | 'gid'): readonly RuntimeIdMapping[] {
  return readIdMap(kind).map(({ inside, length }) => ({ containerID: inside, hostID: inside, size: length }))
}

/** The first 20 bytes of a program, and which bits of them count (any ABI, executable or shared object). */
function headerOf({ machine, bits, order }: Architecture): { readonly magic: Uint8Array; readonly mask: Uint8Array } {
  const magic = new Uint8Array(20)
  magic.set([0x7f, 0x45, 0x4c, 0x46, bits === 64 ? 2 : 1, order === 'little' ? 1 : 2, 1])
  const view = new DataView(magic.buffer)
  view.setUint16(16, 2, order === 'little')
  view.setUint16(18, machine, order === 'little')
  const mask = new Uint8Array(20).fill(0xff)
  mask[7] = 0
  mask[order === 'little' ? 16 : 17] = 0xfe
  return { magic, mask }
}

/** Documentation/admin-guide/binfmt-misc.rst: P keeps the name a program was called by, F opens the emulator now, where it can be found. */
function ruleOf(name: string, architecture: Architecture, path: string): string {
  const { magic, mask } = headerOf(architecture)
  const text = (bytes: Uint8Array): string =>
    [...bytes].map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')
  return `:${name}:M::${text(magic)}:${text(mask)}:${path}:POCF`
}

/** True where a handler of the machine takes such programs, with its emulator open (flag F). */
function isHandled(architecture: Architecture): boolean {
  const { magic: header } = headerOf(architecture)
  return tryListDirectory(handlers).some(({ name }) => {
    if (name === 'status' || name === 'register') return false
    const text = readTextFile(`${handlers}/${name}`) ?? ''
    const field = (key: string): string => new RegExp(`^${key}:? (.*)$`, 'm').exec(text)?.[1] ?? ''
    if (!text.startsWith('enabled') || !field('flags').includes('F') || field('offset') !== '0') return false
    const magic = Buffer.from(field('magic'), 'hex')
    const mask = field('mask') === '' ? Buffer.alloc(magic.length, 0xff) : Buffer.from(field('mask'), 'hex')
    return (
      magic.length > 0 &&
      magic.every((byte, index) => ((header[index] ?? 0) & (mask[index] ?? 0xff)) === (byte & (mask[index] ?? 0xff)))
    )
  })
}

/** True for Linux 6.7 and later. */
function hasPrivateHandlers(): boolean {
  const release = readTextFile('/proc/sys/kernel/osrelease') ?? ''
  const [major = 0, minor = 0] = release.split('.').map(Number)
  return major > 6 || (major === 6 && minor >= 7)
}
