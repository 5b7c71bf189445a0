import type { AttestationSettings } from '../../attest/attestation-settings.ts'
import { dockerPurl } from '../../attest/image-subjects.ts'
import {
  type MountedSecret,
  type ProvenanceFacts,
  provenancePredicate,
  type ProvenanceStep,
  type ResolvedSource,
} from '../../attest/provenance.ts'
import { digestSet, type Predicate, predicateTypes } from '../../attest/statement.ts'
import type { Op, OpMount } from '../../build/graph.ts'
import type { PlannedBuild } from '../../build/plan/plan.ts'
import { neededOps } from '../../build/needed-ops.ts'
import { baseName } from '../../build/paths.ts'
import type { Dockerfile } from '../../dockerfile/instruction.ts'
import { namesSecret } from '../../dockerfile/lint/secrets-used-in-arg-or-env.ts'
import { redactUrl, redactUrls } from '../../errors/redact.ts'
import { stackTree } from '../../layers/trees/layer-tree.ts'
import { platformOf, serializeConfig } from '../../oci/config.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import { type Digest, digestOf } from '../../oci/digest.ts'
import { hostPlatform } from '../../oci/platform.ts'
import { parseReference } from '../../oci/reference.ts'
import type { FormedImage, UnformedImage } from '../../outputs/form-image.ts'
import { formatGitReference } from '../../remote/git-reference.ts'
import type { SeenSource, SourceLock } from '../../remote/source-lock.ts'
import { scanPackages } from '../../sbom/scan-packages.ts'
import type { Snapshots } from '../../snapshots/snapshots.ts'
import type { BuildOptions } from './build.ts'
import { parseContextArgument } from './context-argument.ts'

/** What a build attests, and what the command line says for it. */
export interface BuildAttestations {
  /** What is written with the image; nothing where undefined. */
  readonly settings: AttestationSettings | undefined
  /** How much provenance {@link BuildResult} tells besides; none where undefined. */
  readonly told: 'min' | 'max' | undefined
  /** The context argument. */
  readonly context: string
  readonly cwd: string
  /** Takes note of what the build takes. */
  readonly sources: SourceLock
  /** Of Cairn, which bills of materials name. */
  readonly toolVersion: string
}

/** A build that has run: what its attestations are made from. */
export interface AttestedBuild {
  readonly attestations: BuildAttestations
  readonly options: BuildOptions
  /** One for each platform. */
  readonly plans: readonly PlannedBuild[]
  readonly images: readonly UnformedImage[]
  readonly snapshots: Snapshots
  /** The layer that a step left; undefined for base images. */
  readonly layerOf: (op: Op) => Promise<Digest | undefined>
  readonly startedAt: Date
}

/** Makes the predicates of one platform's image, in the form it is written in; undefined where its files are written. */
export type MakePredicates = (platform: number, formed: FormedImage | undefined) => Promise<readonly Predicate[]>

/** What `settings` ask for. Packages are looked for once for each platform. */
export function predicateMaker(build: AttestedBuild, { provenance, sbom }: AttestationSettings): MakePredicates {
  const scans = new Map<number, ReturnType<typeof scanPackages>>()
  const finishedAt = new Date()
  return async (platform, formed) => {
    const predicates: Predicate[] = []
    if (sbom !== undefined) {
      const scan = scans.get(platform) ?? scanBuilt(build, platform)
      scans.set(platform, scan)
      predicates.push(await sbomPredicate(build, sbom.format, { platform, formed, contents: await scan }))
    }
    if (provenance !== undefined) {
      const facts = await provenanceFacts(build, platform, formed, finishedAt)
      predicates.push(provenancePredicate(facts, provenance))
    }
    return predicates
  }
}

/**
 * The provenance of each platform as `buildx.build.provenance` of a metadata file has it: SLSA 0.2 with all that was asked
 * for; `min` leaves out the steps and what the run says of itself. `images` are those that were written, where any were.
 */
export async function metadataProvenance(
  build: AttestedBuild,
  images: readonly FormedImage[] | undefined,
  mode: 'min' | 'max',
): Promise<readonly object[]> {
  const finishedAt = new Date()
  const { builderId = '', reproducible = false } = build.attestations.settings?.provenance ?? {}
  const settings = { mode: 'max', version: 'v0.2', builderId, reproducible, filename: '', inlineOnly: false } as const
  const told: object[] = []
  for (const platform of build.plans.keys()) {
    const facts = await provenanceFacts(build, platform, images?.[platform], finishedAt)
    const { content } = provenancePredicate(facts, settings)
    const { buildConfig: _steps, metadata: _run, ...min } = content as Readonly<Record<string, unknown>>
    told.push(mode === 'max' ? content : min)
  }
  return told
}

async function scanBuilt({ images, snapshots, options }: AttestedBuild, platform: number) {
  const diffIds = images[platform]?.diffIds ?? []
  const layers = await snapshots.layerTrees(diffIds.map((diffId) => ({ diffId })))
  return await scanPackages(stackTree(layers), options.signal)
}

async function sbomPredicate(
  { images, attestations }: AttestedBuild,
  format: 'spdx' | 'cyclonedx',
  {
    platform,
    formed,
    contents,
  }: {
    readonly platform: number
    readonly formed: FormedImage | undefined
    readonly contents: Awaited<ReturnType<typeof scanPackages>>
  },
): Promise<Predicate> {
  const { config } = images[platform] as UnformedImage
  const subject = {
    name: 'image',
    digest: formed?.target.digest ?? digestOf(serializeConfig(config)),
    platform: platformOf(config),
    created: config.created,
    contents,
    toolVersion: attestations.toolVersion,
  }
  const content =
    format === 'spdx'
      ? (await import('../../sbom/spdx.ts')).toSpdx(subject)
      : (await import('../../sbom/cyclonedx.ts')).toCycloneDx(subject)
  const filename = format === 'spdx' ? 'sbom.spdx.json' : 'sbom.cdx.json'
  return { type: predicateTypes.sbom[format], content, filename, inlineOnly: false }
}

async function provenanceFacts(
  build: AttestedBuild,
  platform: number,
  formed: FormedImage | undefined,
  finishedAt: Date,
): Promise<ProvenanceFacts> {
  const { attestations, options, startedAt } = build
  const plan = build.plans[platform] as PlannedBuild
  const { dockerfile } = options
  const seen = attestations.sources.seen
  const { locals, source } = contextOf(build, seen)
  const { args, hasHiddenArgs } = argumentsOf(options)
  const isRepeatable = plan.fixedTime !== undefined
  const ops = opsBelow(plan.target)
  return {
    source,
    path: baseName(dockerfile.filename),
    locals,
    args,
    hasHiddenArgs,
    secrets: mountsOf(ops, 'secret'),
    ssh: mountsOf(ops, 'ssh'),
    dependencies: [...imagesOf(ops), ...seen.map(resolvedSource)],
    usesNetwork: ops.some((op) => op.kind === 'run' && op.network !== 'none'),
    buildPlatform: hostPlatform(),
    dockerfile: { filename: baseName(dockerfile.filename), text: textOf(dockerfile) },
    steps: await stepsOf(build, { platform, ops }, formed),
    run: isRepeatable ? undefined : { id: crypto.randomUUID(), startedOn: startedAt, finishedOn: finishedAt },
  }
}

/** Where the Dockerfile is from, and which contexts are of this machine. */
function contextOf(
  { attestations, options }: AttestedBuild,
  seen: readonly SeenSource[],
): { readonly locals: readonly string[]; readonly source: ResolvedSource | undefined } {
  const argument = parseContextArgument(attestations.context, attestations.cwd)
  const named = [...(options.namedContexts ?? [])].flatMap(([name, { kind }]) =>
    kind === 'directory' || kind === 'archive' ? [name] : [],
  )
  if (argument.kind !== 'git' && argument.kind !== 'http')
    return { locals: ['context', 'dockerfile', ...named.sort()], source: undefined }
  const url =
    argument.kind === 'git'
      ? redactUrl(formatGitReference(argument.reference, { subdir: false }))
      : redactUrl(argument.url)
  const found = seen.find((one) => one.url === url)
  return { locals: named.sort(), source: found === undefined ? undefined : resolvedSource(found) }
}

function resolvedSource(source: SeenSource): ResolvedSource {
  if ('digest' in source) return { uri: source.url, digest: digestSet(source.digest) }
  return { uri: source.url, digest: { [source.commit.length === 64 ? 'sha256' : 'sha1']: source.commit } }
}

/** The ops that a result is made of, in the order of the plan: plans for several platforms share some. */
function opsBelow(target: Op | undefined): readonly Op[] {
  const found = new Set<Op>()
  const pending = target === undefined ? [] : [target]
  for (let op = pending.pop(); op !== undefined; op = pending.pop()) {
    if (found.has(op)) continue
    found.add(op)
    pending.push(...neededOps(op))
  }
  return [...found].sort((left, right) => left.id - right.id)
}

/** The base images, each once. */
function imagesOf(ops: readonly Op[]): readonly ResolvedSource[] {
  const found = new Map<string, ResolvedSource>()
  for (const op of ops) {
    if (op.kind !== 'base') continue
    const { name, digest, platform } = op.image
    const uri = dockerPurl(parseReference(name), platform)
    found.set(`${uri} ${digest}`, { uri, digest: digestSet(digest) })
  }
  return [...found].sort(([left], [right]) => (left < right ? -1 : 1)).map(([, source]) => source)
}

/** What the command line asked for. Values of arguments whose names say that they are secret are never told. */
function argumentsOf(options: BuildOptions): Pick<ProvenanceFacts, 'args' | 'hasHiddenArgs'> {
  const args: Record<string, string> = {}
  let hasHiddenArgs = false
  for (const [name, value] of options.buildArgs)
    if (namesSecret(name)) hasHiddenArgs = true
    else args[`build-arg:${name}`] = redactUrls(value)
  for (const [name, value] of options.labels) args[`label:${name}`] = redactUrls(value)
  if (options.target !== undefined) args['target'] = options.target
  if (options.noCache) args['no-cache'] = ''
  if (options.noCacheFilter.size > 0) args['no-cache'] = [...options.noCacheFilter].sort().join(',')
  if (options.network !== 'default') args['force-network-mode'] = options.network
  if (options.extraHosts.length > 0)
    args['add-hosts'] = options.extraHosts.map(({ name, address }) => `${name}=${address}`).join(',')
  return { args, hasHiddenArgs }
}

function mountsOf(ops: readonly Op[], type: 'secret' | 'ssh'): readonly MountedSecret[] {
  const found = new Map<string, MountedSecret>()
  for (const op of ops)
    for (const mount of op.kind === 'run' ? op.mounts : ([] as readonly OpMount[]))
      if (mount.type === type) {
        const optional = !mount.required && (found.get(mount.id)?.optional ?? true)
        found.set(mount.id, { id: mount.id, optional })
      }
  return [...found.values()].sort((left, right) => (left.id < right.id ? -1 : 1))
}

/** The steps in the order of the plan, numbered from 0, with the layers that the image in this form has of them. */
async function stepsOf(
  { images, options, layerOf }: AttestedBuild,
  { platform, ops }: { readonly platform: number; readonly ops: readonly Op[] },
  formed: FormedImage | undefined,
): Promise<readonly ProvenanceStep[]> {
  const { diffIds = [] } = images[platform] ?? {}
  const layers = new Map<Digest, Descriptor>()
  for (const [index, descriptor] of (formed?.manifest.layers ?? []).entries()) {
    const diffId = diffIds[index]
    if (diffId !== undefined) layers.set(diffId, descriptor)
  }
  const hidden = [...options.buildArgs].flatMap(([name, value]) => (namesSecret(name) && value !== '' ? [value] : []))
  const nameOf = ({ title }: Op): string =>
    hidden.reduce((text, value) => text.replaceAll(value, '***'), redactUrls(title))
  const ids = new Map(ops.map((op, index) => [op, `step${index}`]))
  const steps: ProvenanceStep[] = []
  for (const op of ops) {
    const left = op.kind === 'base' ? op.image.config.rootfs.diff_ids : [await layerOf(op)]
    steps.push({
      id: ids.get(op) ?? '',
      name: nameOf(op),
      inputs: neededOps(op).flatMap((input) => ids.get(input) ?? []),
      lines: op.range,
      layers: left.flatMap((diffId) => (diffId === undefined ? undefined : layers.get(diffId)) ?? []),
    })
  }
  return steps
}

function textOf({ source }: Dockerfile): string {
  return redactUrls(typeof source === 'string' ? source : new TextDecoder().decode(source))
}
