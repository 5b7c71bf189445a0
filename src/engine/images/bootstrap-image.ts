import { formatEpoch } from '../../build/epoch.ts'
import { layerNode } from '../../content/graph.ts'
import { putLayerRecord } from '../../content/layer-records.ts'
import { acquireLease, type Lease } from '../../content/leases.ts'
import { recover } from '../../content/recovery.ts'
import type { Store } from '../../content/store.ts'
import { CairnError, usageError } from '../../errors/error.ts'
import { redactUrl } from '../../errors/redact.ts'
import { type PutImage, putImage } from '../../images/records/put-image.ts'
import { packDirectory } from '../../layers/pack/pack.ts'
import { makeDirectories } from '../../linux/names.ts'
import { overlaySupported } from '../../linux/overlay.ts'
import { removeTree } from '../../linux/remove-tree.ts'
import { readTextFile } from '../../linux/text-file.ts'
import { isRootless } from '../../rootless/namespace.ts'
import { defaultPath, type ImageConfig } from '../../oci/config.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import { mediaTypes } from '../../oci/media-types.ts'
import { hostPlatform, type Platform } from '../../oci/platform.ts'
import type { Reference } from '../../oci/reference.ts'
import type { ProgressListener } from '../../progress/events.ts'
import {
  emptyTraces,
  hasProgram,
  installedPackages,
  osRelease,
  slimPaths,
  unwantedFiles,
  writeContainerFiles,
} from './bootstrap-rootfs.ts'
import { newestRelease, parseSources, type Release, verifiedReleases } from './bootstrap-sources.ts'
import { type MmdebstrapResult, mmdebstrapFailure, runMmdebstrap } from './mmdebstrap.ts'

export interface BootstrapOptions {
  readonly reference: Reference
  /** `bookworm`, `noble`, `sid`. */
  readonly suite: string
  /** Which packages: a variant of mmdebstrap. */
  readonly variant: string
  /** More packages. */
  readonly include: readonly string[]
  readonly components: readonly string[]
  /** URLs or lines of sources.list; the distribution's own when there is none. */
  readonly mirrors: readonly string[]
  /** Architecture in Debian's words; this machine's if absent. */
  readonly architecture?: string | undefined
  /** A keyring that the archives' signatures must be by, instead of those of this machine. */
  readonly keyring?: string | undefined
  /** Leave documentation and translations out. */
  readonly slim: boolean
  /** Seconds since 1970; the date of the newest Release file if absent. */
  readonly epoch?: number | undefined
  readonly env: Readonly<Record<string, string | undefined>>
  readonly progress: ProgressListener
  readonly signal: AbortSignal
}

export interface BootstrappedImage extends PutImage {
  readonly packages: number
  /** Bytes of the layer. */
  readonly size: number
}

/**
 * Makes a base image from the signed packages of a distribution, by mmdebstrap. The same packages give the same image on
 * every machine: nothing in it is newer than the epoch, and nothing of this machine is in it. Needs root. Throws
 * NOT_ROOT, TOOL_MISSING, TOOL_FAILED, NETWORK, CANCELED; nothing is left then.
 */
export async function bootstrapImage(store: Store, options: BootstrapOptions): Promise<BootstrappedImage> {
  const architecture = options.architecture ?? debianArchitecture(hostPlatform())
  const platform = debianPlatform(architecture)
  if (process.getuid?.() !== 0 || isRootless())
    throw new CairnError('NOT_ROOT', 'bootstrap installs packages as their own users, which only root may', {
      hint: 'Run it with sudo.',
    })
  recover(store)
  using lease = acquireLease(store)
  const work = new Workplace(store.session.temporaryPath('bootstrap'), { ...options, architecture })
  try {
    const epoch = options.epoch ?? (await work.archiveDate())
    await work.install(epoch)
    return await exportImage(store, lease, work.rootfs, epoch, platform, options)
  } finally {
    removeTree(work.directory)
  }
}

/**
 * The directory where mmdebstrap works, and the two ways it is run. dpkg brings its database to the disk with every
 * package, which takes longer than all the rest; on an overlay mounted as volatile that costs nothing, and a layer that
 * is half made when the machine fails is thrown away in any case.
 */
class Workplace {
  readonly directory: string
  /** Where the files are in the end. */
  readonly rootfs: string
  readonly #target: string
  readonly #isVolatile: boolean
  readonly #options: BootstrapOptions

  constructor(directory: string, options: BootstrapOptions) {
    this.directory = directory
    this.#options = options
    for (const name of ['lower', 'upper', 'work', 'target', 'tmp']) makeDirectories(`${directory}/${name}`, 0o755)
    this.#isVolatile = overlaySupported(directory)
    this.#target = `${directory}/target`
    this.rootfs = this.#isVolatile ? `${directory}/upper` : this.#target
  }

  /** When the newest of the suites was released. mmdebstrap itself is asked which those are. */
  async archiveDate(): Promise<number> {
    const { signal, progress } = this.#options
    // Its setup hook runs once the sources are written and before anything is fetched; failing ends the run there.
    const list = `${this.directory}/sources.list`
    const files = '"$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/*'
    const hook = `for file in ${files}; do cat "$file"; echo; done > ${shellWord(list)}; exit 1`
    const asked = await this.#run(
      ['--variant=custom', '--format=null', `--setup-hook=${hook}`],
      '/dev/null',
      undefined,
      () => {},
    )
    const suites = parseSources(readTextFile(list) ?? '')
    if (suites.length === 0) throw mmdebstrapFailure(asked)
    const started = Date.now()
    const vertex = { type: 'vertex', id: 'release', name: 'resolve the date of the archive', started } as const
    progress(vertex)
    try {
      const date = await newestRelease(suites, signal)
      progress({ ...vertex, completed: Date.now() })
      return date
    } catch (error) {
      progress({ ...vertex, completed: Date.now(), error: error instanceof Error ? error.message : String(error) })
      throw error
    }
  }

  async install(epoch: number): Promise<void> {
    const { variant, include, slim, progress } = this.#options
    const args = [
      `--variant=${variant}`,
      '--format=directory',
      // apt checked their signatures; they are read and left out of the image.
      '--skip=cleanup/apt/lists',
      ...(include.length === 0 ? [] : [`--include=${include.join(',')}`]),
      ...(slim ? slimPaths.map((option) => `--dpkgopt=${option}`) : []),
    ]
    const result = await this.#run(args, this.#target, epoch, progress)
    if (result.status !== 0) throw mmdebstrapFailure(result)
    if (this.#options.epoch === undefined) this.#checkDate(epoch)
  }

  /** The date was read before apt verified the archive; both must be of the same state of it. */
  #checkDate(epoch: number): void {
    const verified = Math.max(...verifiedReleases(this.rootfs).map(({ date }) => date))
    if (verified === epoch) return
    const found = Number.isFinite(verified) ? `of ${formatEpoch(verified)}` : 'without a verified Release file'
    throw new CairnError('FILE_CHANGED', `the archive was of ${formatEpoch(epoch)} and is now ${found}`, {
      hint: 'It was updated meanwhile: run the command again.',
    })
  }

  async #run(
    args: readonly string[],
    target: string,
    epoch: number | undefined,
    progress: ProgressListener,
  ): Promise<MmdebstrapResult> {
    const { suite, mirrors, components, architecture, keyring, signal } = this.#options
    return await runMmdebstrap({
      args: [
        '--mode=root',
        `--architectures=${architecture}`,
        `--components=${components.join(',')}`,
        ...(keyring === undefined ? [] : [`--keyring=${keyring}`]),
        ...args,
        '--',
        suite,
        target,
        ...mirrors,
      ],
      env: this.#environment(epoch),
      prepare:
        this.#isVolatile && target === this.#target ? { command: mountVolatile, cwd: this.directory } : undefined,
      progress,
      signal,
    })
  }

  #environment(epoch: number | undefined): Record<string, string> {
    const kept = ['PATH', 'http_proxy', 'https_proxy', 'no_proxy', 'HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY']
    const environment: Record<string, string> = {
      LC_ALL: 'C.UTF-8',
      DEBIAN_FRONTEND: 'noninteractive',
      TMPDIR: `${this.directory}/tmp`,
    }
    for (const name of kept) {
      const value = this.#options.env[name]
      if (value !== undefined) environment[name] = value
    }
    if (epoch !== undefined) environment['SOURCE_DATE_EPOCH'] = String(epoch)
    return environment
  }
}

/** Paths are relative as a path of the store may have the characters that separate mount options. */
const layers = 'lowerdir=lower,upperdir=upper,workdir=work'
/** Kernels before 5.10 have no volatile overlays. */
const mountVolatile = [
  `mount -t overlay overlay -o volatile,${layers} target 2>/dev/null`,
  `mount -t overlay overlay -o ${layers} target`,
  'exit 1',
].join(' || ')

/** `text` as one word of a shell command. */
function shellWord(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`
}

async function exportImage(
  store: Store,
  lease: Lease,
  rootfs: string,
  epoch: number,
  platform: Platform,
  options: BootstrapOptions,
): Promise<BootstrappedImage> {
  const { progress, signal, reference } = options
  const started = Date.now()
  const vertex = { type: 'vertex', id: 'export', name: 'exporting to image', started } as const
  progress(vertex)
  const packages = installedPackages(rootfs)
  const labels = describe(rootfs, epoch, options)
  emptyTraces(rootfs)
  writeContainerFiles(rootfs)
  const layer = await storeLayer(store, lease, rootfs, epoch)
  signal.throwIfAborted()
  const config = imageConfig(rootfs, epoch, platform, layer, labels, options)
  const image = await putImage(store, { config, layers: [layer], tags: [reference], lease })
  progress({ ...vertex, completed: Date.now() })
  return { ...image, packages: packages.length, size: layer.size }
}

async function storeLayer(store: Store, lease: Lease, rootfs: string, epoch: number): Promise<Descriptor> {
  const path = store.session.temporaryPath('layer')
  const { diffId, size } = packDirectory(rootfs, path, { exclude: unwantedFiles(rootfs), epoch })
  lease.protect(layerNode(diffId))
  await lease.adopt(path, { digest: diffId, size })
  putLayerRecord(store, { diffId, digest: diffId, compression: 'none', size, unpackedSize: size })
  return { mediaType: mediaTypes.ociLayerTar, digest: diffId, size }
}

function imageConfig(
  rootfs: string,
  epoch: number,
  platform: Platform,
  layer: Descriptor,
  labels: Readonly<Record<string, string>>,
  { suite, variant, include, slim }: BootstrapOptions,
): ImageConfig {
  const created = formatEpoch(epoch)
  const words = [
    `cairn bootstrap --suite ${suite} --variant ${variant}`,
    ...(include.length === 0 ? [] : [`--include ${include.join(',')}`]),
    ...(slim ? ['--slim'] : []),
  ]
  return {
    ...platform,
    created,
    config: {
      Env: [`PATH=${defaultPath}`],
      Cmd: [hasProgram(rootfs, 'bash') ? 'bash' : 'sh'],
      Labels: labels,
    },
    rootfs: { type: 'layers', diff_ids: [layer.digest] },
    history: [{ created, created_by: words.join(' ') }],
  }
}

/** What the image says of itself: the annotations of image-spec annotations.md as labels, and what it was made of. */
function describe(
  rootfs: string,
  epoch: number,
  { suite, variant, mirrors, components }: BootstrapOptions,
): Record<string, string> {
  const release: Release | undefined = verifiedReleases(rootfs).toSorted((a, b) => b.date - a.date)[0]
  const about = osRelease(rootfs)
  const sources = mirrors.length === 0 ? 'default' : mirrors.map(redactUrl).join(' ')
  const packages = installedPackages(rootfs).map(({ name, version }) => `${name}=${version}`)
  const labels: Readonly<Record<string, string | undefined>> = {
    'org.opencontainers.image.created': formatEpoch(epoch),
    'org.opencontainers.image.title': about.get('PRETTY_NAME'),
    'org.opencontainers.image.vendor': release?.origin ?? about.get('NAME'),
    'org.opencontainers.image.version': about.get('VERSION_ID'),
    'org.opencontainers.image.url': about.get('HOME_URL'),
    'cairn.bootstrap.suite': suite,
    'cairn.bootstrap.variant': variant,
    'cairn.bootstrap.components': components.join(' '),
    'cairn.bootstrap.mirror': sources,
    'cairn.bootstrap.packages': packages.join(' '),
  }
  return Object.fromEntries(
    Object.entries(labels).filter((entry): entry is [string, string] => entry[1] !== undefined && entry[1] !== ''),
  )
}

/** Debian's names of architectures, where they are not Go's. */
const architectures: readonly (readonly [debian: string, architecture: string, variant?: string])[] = [
  ['i386', '386'],
  ['armhf', 'arm', 'v7'],
  ['armel', 'arm', 'v5'],
  ['ppc64el', 'ppc64le'],
  ['mips64el', 'mips64le'],
  ['mipsel', 'mipsle'],
]

/** The platform of Debian's architecture `name` (`armhf`). Throws USAGE (status 1) for what can be none. */
export function debianPlatform(name: string): Platform {
  if (!/^[a-z0-9][a-z0-9-]*$/.test(name)) throw usageError(`invalid architecture ${JSON.stringify(name)}`)
  const [, architecture = name, variant] = architectures.find(([debian]) => debian === name) ?? []
  return { os: 'linux', architecture, ...(variant === undefined ? {} : { variant }) }
}

function debianArchitecture({ architecture, variant }: Platform): string {
  const found = architectures.find(([, other, otherVariant]) => other === architecture && otherVariant === variant)
  return found?.[0] ?? architecture
}
