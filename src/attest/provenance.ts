import type { Descriptor } from '../oci/descriptor.ts'
import { formatPlatform, type Platform } from '../oci/platform.ts'
import type { ProvenanceSettings } from './attestation-settings.ts'
import { type DigestSet, type Predicate, predicateTypes } from './statement.ts'

/** Something that went into an image. */
export interface ResolvedSource {
  readonly uri: string
  readonly digest: DigestSet
}

/** What is known of a step, for `mode=max`. */
export interface ProvenanceStep {
  readonly id: string
  /** `[builder 2/4] RUN npm ci`. */
  readonly name: string
  /** Ids of the steps it stands on or takes files from. */
  readonly inputs: readonly string[]
  /** Lines of the Dockerfile, from 1. */
  readonly lines: { readonly start: number; readonly end: number }
  /** The layers of the image it left. */
  readonly layers: readonly Descriptor[]
}

/** All that a statement of provenance is made from. Nothing here is secret in `mode=min`. */
export interface ProvenanceFacts {
  /** Where the Dockerfile is from, of contexts that are not local. */
  readonly source: ResolvedSource | undefined
  /** Name of the Dockerfile in it. */
  readonly path: string
  /** Names of the contexts that are directories or archives of this machine. */
  readonly locals: readonly string[]
  /** What the command line asked for, by BuildKit's names: `target`, `build-arg:NAME`, `label:NAME`. */
  readonly args: Readonly<Record<string, string>>
  /** Arguments whose values are not to be told. */
  readonly hasHiddenArgs: boolean
  readonly secrets: readonly MountedSecret[]
  readonly ssh: readonly MountedSecret[]
  readonly dependencies: readonly ResolvedSource[]
  readonly usesNetwork: boolean
  readonly buildPlatform: Platform
  readonly dockerfile: { readonly filename: string; readonly text: string }
  readonly steps: readonly ProvenanceStep[]
  /** When and by which name the build ran; undefined where the statement is to be the same each time. */
  readonly run: { readonly id: string; readonly startedOn: Date; readonly finishedOn: Date } | undefined
}

export interface MountedSecret {
  readonly id: string
  readonly optional: boolean
}

const buildTypes = {
  v1: 'https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md',
  'v0.2': 'https://mobyproject.org/buildkit@v1',
} as const

/** A statement of how an image was built: SLSA Provenance with the fields that BuildKit defines for builds of Dockerfiles. */
export function provenancePredicate(facts: ProvenanceFacts, settings: ProvenanceSettings): Predicate {
  const { version, filename, inlineOnly } = settings
  const content = version === 'v1' ? slsa1(facts, settings) : slsa02(facts, settings)
  return { type: predicateTypes.provenance[version], content, filename, inlineOnly }
}

function slsa1(facts: ProvenanceFacts, settings: ProvenanceSettings): object {
  const { source, path, dependencies, buildPlatform, run } = facts
  const isMax = settings.mode === 'max'
  const { isComplete, request } = requestOf(facts, isMax)
  const hasAllSources = facts.locals.length === 0
  return {
    buildDefinition: {
      buildType: buildTypes.v1,
      externalParameters: { configSource: { ...source, path }, request },
      internalParameters: {
        builderPlatform: formatPlatform(buildPlatform),
        ...(isMax ? { buildConfig: buildConfig(facts) } : {}),
      },
      resolvedDependencies: dependencies,
    },
    runDetails: {
      builder: { id: settings.builderId },
      metadata: {
        ...(run === undefined
          ? {}
          : { invocationId: run.id, startedOn: run.startedOn.toISOString(), finishedOn: run.finishedOn.toISOString() }),
        buildkit_metadata: isMax ? buildMetadata(facts) : {},
        ...(hasAllSources && !facts.usesNetwork ? { buildkit_hermetic: true } : {}),
        buildkit_completeness: { request: isComplete, resolvedDependencies: hasAllSources },
        ...(settings.reproducible ? { buildkit_reproducible: true } : {}),
      },
    },
  }
}

function slsa02(facts: ProvenanceFacts, settings: ProvenanceSettings): object {
  const { source, path, dependencies, buildPlatform, run } = facts
  const isMax = settings.mode === 'max'
  const { isComplete, request } = requestOf(facts, isMax)
  const hasAllSources = facts.locals.length === 0
  return {
    builder: { id: settings.builderId },
    buildType: buildTypes['v0.2'],
    materials: dependencies,
    invocation: {
      configSource: { ...source, entryPoint: path },
      parameters: request,
      environment: { platform: formatPlatform(buildPlatform) },
    },
    ...(isMax ? { buildConfig: buildConfig(facts) } : {}),
    metadata: {
      ...(run === undefined
        ? {}
        : {
            buildInvocationID: run.id,
            buildStartedOn: run.startedOn.toISOString(),
            buildFinishedOn: run.finishedOn.toISOString(),
          }),
      completeness: { parameters: isComplete, environment: true, materials: hasAllSources },
      reproducible: settings.reproducible,
      'https://mobyproject.org/buildkit@v1#metadata': isMax ? buildMetadata(facts) : {},
      ...(hasAllSources && !facts.usesNetwork ? { 'https://mobyproject.org/buildkit@v1#hermetic': true } : {}),
    },
  }
}

/** What was asked for; `min` leaves out what could be confidential, and says that it is not complete. */
function requestOf(facts: ProvenanceFacts, isMax: boolean): { readonly isComplete: boolean; readonly request: object } {
  const { args, secrets, ssh, locals, hasHiddenArgs } = facts
  const isConfidential = (name: string): boolean => name.startsWith('build-arg:') || name.startsWith('label:')
  const told = Object.entries(args)
    .filter(([name]) => isMax || !isConfidential(name))
    .sort(([left], [right]) => (left < right ? -1 : 1))
  const isComplete = told.length === Object.keys(args).length && !hasHiddenArgs
  const request = {
    frontend: 'dockerfile.v0',
    ...(told.length === 0 ? {} : { args: Object.fromEntries(told) }),
    ...(isMax && secrets.length > 0 ? { secrets: secrets.map(mounted) } : {}),
    ...(isMax && ssh.length > 0 ? { ssh: ssh.map(mounted) } : {}),
    ...(locals.length === 0 ? {} : { locals: locals.map((name) => ({ name })) }),
  }
  return { isComplete, request }
}

function mounted({ id, optional }: MountedSecret): object {
  return optional ? { id, optional } : { id }
}

function buildConfig({ steps }: ProvenanceFacts): object {
  return {
    llbDefinition: steps.map(({ id, name, inputs }) => ({
      id,
      name,
      ...(inputs.length === 0 ? {} : { inputs: inputs.map((input) => `${input}:0`) }),
    })),
  }
}

function buildMetadata({ dockerfile, steps }: ProvenanceFacts): object {
  const { filename, text } = dockerfile
  const locations = steps.map(({ id, lines }) => {
    const ranges = [{ start: { line: lines.start }, end: { line: lines.end } }]
    return [id, { locations: [{ ranges }] }]
  })
  const layers = steps.filter((step) => step.layers.length > 0).map((step) => [`${step.id}:0`, [step.layers]])
  return {
    source: {
      locations: Object.fromEntries(locations) as object,
      infos: [{ filename, language: 'Dockerfile', data: Buffer.from(text).toString('base64') }],
    },
    ...(layers.length === 0 ? {} : { layers: Object.fromEntries(layers) as object }),
  }
}
