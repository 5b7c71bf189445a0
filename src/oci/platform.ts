import { CairnError } from '../errors/error.ts'

/** image-spec image-index.md §platform. */
export interface Platform {
  readonly os: string
  readonly architecture: string
  readonly variant?: string
  readonly 'os.version'?: string
  readonly 'os.features'?: readonly string[]
}

const architectures: ReadonlyMap<string, readonly [architecture: string, variant?: string]> = new Map([
  ['x86_64', ['amd64']],
  ['x86-64', ['amd64']],
  ['i386', ['386']],
  ['aarch64', ['arm64']],
  ['armhf', ['arm', 'v7']],
  ['armel', ['arm', 'v6']],
])

/**
 * A platform with the names that Go and containerd use: `x86_64` → `amd64`, `aarch64` → `arm64`, and the variant
 * dropped where it says nothing (`amd64/v1`, `arm64/v8`).
 */
export function normalizePlatform(platform: Platform): Platform {
  const os = platform.os.toLowerCase() === 'macos' ? 'darwin' : platform.os.toLowerCase()
  const given = platform.architecture.toLowerCase()
  const [architecture, implied] = architectures.get(given) ?? [given, undefined]
  let variant = platform.variant?.toLowerCase() ?? implied
  if (architecture === 'amd64' && variant === 'v1') variant = undefined
  if (architecture === 'arm64' && (variant === 'v8' || variant === '8')) variant = undefined
  if (architecture === 'arm' && variant === undefined) variant = 'v7'
  if (variant !== undefined && /^\d+$/.test(variant)) variant = `v${variant}`
  const { 'os.version': osVersion, 'os.features': osFeatures } = platform
  return {
    os,
    architecture,
    ...(variant === undefined || variant === '' ? {} : { variant }),
    ...(osVersion === undefined ? {} : { 'os.version': osVersion }),
    ...(osFeatures === undefined ? {} : { 'os.features': osFeatures }),
  }
}

/** What Go knows, as containerd's platforms/database.go has it. */
const knownSystems = new Set(
  'aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 solaris wasip1 windows zos'.split(
    ' ',
  ),
)
const knownArchitectures = new Set(
  '386 amd64 amd64p32 arm armbe arm64 arm64be ppc64 ppc64le loong64 mips mipsle mips64 mips64le mips64p32 mips64p32le ppc riscv riscv64 s390 s390x sparc sparc64 wasm'.split(
    ' ',
  ),
)

const component = /^[A-Za-z0-9_.-]+$/

/** In containerd's words. */
function invalid(message: string): CairnError {
  return new CairnError('PLATFORM_INVALID', `${message}: invalid argument`, {
    hint: 'Write it as OS/ARCH or OS/ARCH/VARIANT, for example linux/arm64.',
  })
}

/**
 * `os[/arch[/variant]]`, `arch` or `local` as a normalised platform. Throws PLATFORM_INVALID.
 * Follows containerd's platforms.Parse: one component alone is an OS or an architecture that Go knows.
 */
export function parsePlatform(text: string): Platform {
  if (text === 'local') return hostPlatform()
  const components = text.split('/')
  // What stands behind the third slash is one component.
  const parts = components.length > 3 ? [...components.slice(0, 3), components.slice(3).join('/')] : components
  const wrong = parts.find((part) => !component.test(part))
  if (wrong !== undefined)
    throw invalid(
      `${JSON.stringify(wrong)} is an invalid component of ${JSON.stringify(text)}: platform specifier component must match "${component.source}"`,
    )
  if (parts.length > 3) throw invalid(`${JSON.stringify(text)}: cannot parse platform specifier`)
  const [first = '', second, third] = parts
  if (second === undefined) {
    if (knownSystems.has(first.toLowerCase()))
      return normalizePlatform({ os: first, architecture: hostPlatform().architecture })
    const platform = normalizePlatform({ os: hostPlatform().os, architecture: first })
    if (knownArchitectures.has(platform.architecture)) return platform
    throw invalid(`${JSON.stringify(text)}: unknown operating system or architecture`)
  }
  return normalizePlatform({ os: first, architecture: second, ...(third === undefined ? {} : { variant: third }) })
}

/** `linux/amd64`, `linux/arm/v7`: how Docker prints a platform. */
export function formatPlatform(platform: Platform): string {
  const base = `${platform.os}/${platform.architecture}`
  return platform.variant === undefined ? base : `${base}/${platform.variant}`
}

const hostArchitectures: Record<string, string> = { x64: 'amd64', ia32: '386', arm64: 'arm64', arm: 'arm' }

/** The platform this process runs on. */
export function hostPlatform(): Platform {
  return normalizePlatform({ os: process.platform, architecture: hostArchitectures[process.arch] ?? process.arch })
}

/** The variants of one architecture that a machine can run, best first. */
const armFallback: Record<string, readonly string[]> = {
  v8: ['v8', 'v7', 'v6', 'v5'],
  v7: ['v7', 'v6', 'v5'],
  v6: ['v6', 'v5'],
  v5: ['v5'],
}

/**
 * The index of the candidate that suits `wanted` best, or -1: same OS and architecture, the same variant first,
 * then for arm the older variants in order (containerd's platforms.Only).
 */
export function selectPlatform(wanted: Platform, candidates: readonly (Platform | undefined)[]): number {
  const want = normalizePlatform(wanted)
  const variants: readonly (string | undefined)[] =
    want.architecture === 'arm' ? (armFallback[want.variant ?? 'v7'] ?? [want.variant]) : [want.variant, undefined]
  for (const variant of variants) {
    const found = candidates.findIndex((candidate) => {
      if (candidate === undefined) return false
      const have = normalizePlatform(candidate)
      return have.os === want.os && have.architecture === want.architecture && have.variant === variant
    })
    if (found >= 0) return found
  }
  return -1
}
