import type { ImageConfig } from '../oci/config.ts'
import type { SecretFinding } from './analysis.ts'
import type { StoredFile } from './file-tree.ts'
import { isPublicSample } from './secrets/catalog.ts'
import { type ConfigSecret, secretsInConfig } from './secrets/config-scanner.ts'
import { FileScanner, type FileSecret } from './secrets/file-scanner.ts'
import { redactSecret, SecretMask } from './secrets/redaction.ts'

/** One secret at one path, in one layer or several. */
interface LoggedSecret {
  readonly secret: FileSecret
  readonly path: string
  /** As each layer brings it. */
  readonly files: StoredFile[]
}

/** An image with more secrets than this is told of as incomplete. */
const mostFindings = 10_000
const mostUnsearched = 1000

/** Gathers the secrets of an image: of its files as they go by, and of its config. */
export class SecretLog {
  readonly #scanner = new FileScanner()
  readonly #found = new Map<string, LoggedSecret>()
  readonly #unsearched: string[] = []
  readonly #config: readonly ConfigSecret[]
  /** Takes the secrets out of what is shown. */
  readonly mask = new SecretMask()

  constructor(config: ImageConfig) {
    this.#config = secretsInConfig(config)
    for (const { value } of this.#config) this.mask.add(value)
  }

  /** Paths of files that were not searched to their end. */
  get unsearched(): readonly string[] {
    return this.#unsearched
  }

  begin(path: string, size: number): void {
    this.#scanner.begin(path, size)
  }

  push(bytes: Uint8Array): void {
    this.#scanner.push(bytes)
  }

  /** The file that began has ended, and stands in the tree as `file`. */
  end(path: string, file: StoredFile): void {
    const { secrets, isIncomplete } = this.#scanner.end()
    const isFull = this.#found.size + secrets.length > mostFindings
    if ((isIncomplete || isFull) && this.#unsearched.length < mostUnsearched) this.#unsearched.push(`/${path}`)
    if (isFull) return
    for (const secret of secrets) {
      this.mask.add(secret.value)
      const key = `${secret.rule.id}\0${path}\0${secret.value}`
      const known = this.#found.get(key)
      if (known === undefined) this.#found.set(key, { secret, path, files: [file] })
      else known.files.push(file)
    }
  }

  /** All secrets once the layers are stacked: those of the config first, then by layer and path; samples apart. */
  findings(): { readonly secrets: readonly SecretFinding[]; readonly samples: readonly SecretFinding[] } {
    const logged = [...this.#found.values()]
    const [samples, secrets] = [true, false].map((isSample) =>
      logged
        .filter(({ path }) => isPublicSample(path) === isSample)
        .map(fileFinding)
        .sort(byPlace),
    ) as [SecretFinding[], SecretFinding[]]
    return { secrets: [...this.#config.map(configFinding), ...secrets], samples }
  }
}

function fileFinding({ secret, path, files }: LoggedSecret): SecretFinding {
  const { rule, line, offset, value } = secret
  const layers = [...new Set(files.map((file) => file.layer + 1))]
  return {
    rule: rule.id,
    title: rule.title,
    level: rule.level,
    path: `/${path}`,
    layer: layers[0],
    layers,
    line,
    offset,
    field: undefined,
    name: undefined,
    redacted: redactSecret(value),
    isVisible: files.some((file) => file.names > 0),
  }
}

function configFinding({ rule, field, name, value }: ConfigSecret): SecretFinding {
  return {
    rule: rule.id,
    title: rule.title,
    level: rule.level,
    path: undefined,
    layer: undefined,
    layers: [],
    line: undefined,
    offset: undefined,
    field,
    name,
    redacted: redactSecret(value),
    isVisible: true,
  }
}

function byPlace(a: SecretFinding, b: SecretFinding): number {
  if (a.layer !== b.layer) return (a.layer ?? 0) - (b.layer ?? 0)
  if (a.path !== b.path) return (a.path ?? '') < (b.path ?? '') ? -1 : 1
  return (a.offset ?? 0) - (b.offset ?? 0)
}
