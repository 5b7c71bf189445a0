import { CairnError } from '../errors/error.ts'
import { listDirectory } from '../linux/directories.ts'
import { tryStat } from '../linux/file-status.ts'
import { readTextFile } from '../linux/text-file.ts'
import { type ContainerEdits, type CdiSpec, parseCdiSpec } from './cdi-spec.ts'

/** A device that a container may ask for. */
export interface CdiDevice {
  /** `vendor.example/class=name`. */
  readonly name: string
  readonly annotations: Readonly<Record<string, string>>
  /** What its whole file asks for, and the device itself. */
  readonly edits: readonly ContainerEdits[]
}

/** Where specifications are by default; the later directory decides. */
const defaultDirectories = ['/etc/cdi', '/var/run/cdi']

/** Annotation with a name that several devices answer to. */
const classAnnotation = 'org.mobyproject.buildkit.device.class'
/** Annotation of devices that need no `--allow`. */
const autoAllowAnnotation = 'org.mobyproject.buildkit.device.autoallow'

/** The CDI devices of this machine. */
export class DeviceRegistry {
  readonly #directories: readonly string[]
  #devices: ReadonlyMap<string, CdiDevice> | undefined
  readonly #problems: string[] = []

  /** The files are read when the first device is asked for. */
  constructor(directories: readonly string[] = defaultDirectories) {
    this.#directories = directories
  }

  /** The device of this full name. */
  get(name: string): CdiDevice | undefined {
    return this.#all().get(name)
  }

  /** True for a device whose specification says that every build may have it. */
  isFree(name: string): boolean {
    return /^(?:1|t|T|TRUE|true|True)$/.test(this.get(name)?.annotations[autoAllowAnnotation] ?? '')
  }

  /**
   * The full names of the devices that `wanted` stands for: a full name, a kind (its first device), `KIND=*` (all of
   * them), or a class that devices are annotated with. Throws STEP_INVALID where there is none of a required one.
   */
  find(wanted: readonly { readonly name: string; readonly required: boolean }[]): string[] {
    return [...new Set(wanted.flatMap((device) => this.#find(device)))]
  }

  #find({ name, required }: { readonly name: string; readonly required: boolean }): readonly string[] {
    const names = [...this.#all().keys()].sort()
    const equals = name.indexOf('=')
    const kind = equals < 0 ? name : name.slice(0, equals)
    const own = equals < 0 ? '' : name.slice(equals + 1)
    let found: readonly string[] = []
    if (kind.includes('/')) {
      const ofKind = names.filter((known) => known.startsWith(`${kind}=`))
      if (own === '') found = ofKind.slice(0, 1)
      else found = own === '*' ? ofKind : ofKind.filter((known) => known === name)
    }
    if (found.length === 0) found = names.filter((known) => this.get(known)?.annotations[classAnnotation] === name)
    if (found.length === 0 && required)
      throw new CairnError('STEP_INVALID', `required device ${JSON.stringify(name)} is not registered`, {
        hint: [`Devices are described by files in ${this.#directories.join(' and ')}.`, ...this.#problems].join(' '),
      })
    return found
  }

  #all(): ReadonlyMap<string, CdiDevice> {
    return (this.#devices ??= this.#read())
  }

  #read(): ReadonlyMap<string, CdiDevice> {
    const devices = new Map<string, CdiDevice>()
    for (const directory of this.#directories) {
      const ofDirectory = new Map<string, CdiDevice | undefined>()
      for (const path of specFiles(directory)) {
        const spec = this.#readSpec(path)
        for (const device of spec === undefined ? [] : devicesOf(spec)) {
          const isTwice = ofDirectory.has(device.name)
          if (isTwice) this.#problems.push(`${path} has ${device.name}, which another file there has too.`)
          ofDirectory.set(device.name, isTwice ? undefined : device)
        }
      }
      for (const [name, device] of ofDirectory) {
        if (device === undefined) devices.delete(name)
        else devices.set(name, device)
      }
    }
    return devices
  }

  /** A file that is wrong takes away its own devices only. */
  #readSpec(path: string): CdiSpec | undefined {
    try {
      const text = readTextFile(path) ?? ''
      return parseCdiSpec(path.endsWith('.json') ? JSON.parse(text) : Bun.YAML.parse(text))
    } catch (error) {
      this.#problems.push(`${path} cannot be used: ${error instanceof Error ? error.message : String(error)}.`)
      return undefined
    }
  }
}

function specFiles(directory: string): string[] {
  if (tryStat(directory)?.type !== 'directory') return []
  return listDirectory(directory)
    .map(({ name }) => name)
    .filter((name) => /\.(?:json|yaml|yml)$/.test(name))
    .sort()
    .map((name) => `${directory}/${name}`)
}

function devicesOf(spec: CdiSpec): CdiDevice[] {
  return spec.devices.map(({ name, annotations, edits }) => ({
    name: `${spec.kind}=${name}`,
    annotations: { ...spec.annotations, ...annotations },
    edits: [spec.edits, edits],
  }))
}
