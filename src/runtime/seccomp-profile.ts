import { CairnError } from '../errors/error.ts'
import { errno } from '../linux/errno.ts'
import { readTextFile } from '../linux/text-file.ts'
import { isJsonObject } from '../oci/descriptor.ts'
import type { RuntimeSeccomp, RuntimeSeccompArgument, RuntimeSeccompRule, SeccompAction } from '../oci/runtime-spec.ts'

/**
 * A system call filter of the user's own, in docker's format: runtime-spec's, with `archMap` in place of
 * `architectures`, and rules that hold only with some capabilities, architectures or kernels.
 * https://docs.docker.com/engine/security/seccomp/
 */
export interface SeccompProfile {
  readonly defaultAction: SeccompAction
  readonly defaultErrnoRet?: number
  readonly architectures?: readonly string[]
  readonly archMap?: readonly { readonly architecture: string; readonly subArchitectures?: readonly string[] }[]
  readonly syscalls?: readonly ProfileRule[]
}

interface ProfileRule {
  readonly names?: readonly string[]
  /** Of older profiles. */
  readonly name?: string
  readonly action: SeccompAction
  readonly errnoRet?: number
  readonly args?: readonly RuntimeSeccompArgument[] | null
  readonly includes?: RuleCondition
  readonly excludes?: RuleCondition
}

interface RuleCondition {
  readonly caps?: readonly string[]
  /** In Go's names. */
  readonly arches?: readonly string[]
  /** The oldest, as `4.8`. */
  readonly minKernel?: string
}

const actions: ReadonlySet<unknown> = new Set<SeccompAction>([
  'SCMP_ACT_ALLOW',
  'SCMP_ACT_ERRNO',
  'SCMP_ACT_KILL',
  'SCMP_ACT_KILL_PROCESS',
  'SCMP_ACT_KILL_THREAD',
  'SCMP_ACT_LOG',
  'SCMP_ACT_TRAP',
])
const operators: ReadonlySet<unknown> = new Set<RuntimeSeccompArgument['op']>([
  'SCMP_CMP_EQ',
  'SCMP_CMP_GE',
  'SCMP_CMP_GT',
  'SCMP_CMP_LE',
  'SCMP_CMP_LT',
  'SCMP_CMP_MASKED_EQ',
  'SCMP_CMP_NE',
])
const fields = new Set(['defaultAction', 'defaultErrnoRet', 'architectures', 'archMap', 'syscalls'])

/**
 * Reads a profile. Throws CONFIG_INVALID for one that cannot be understood, also one that asks for what no filter of
 * Cairn can do: what is left out of a filter would let a container do more than its user said.
 */
export function parseSeccompProfile(text: string): SeccompProfile {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw invalid(error instanceof Error ? error.message : String(error))
  }
  if (!isJsonObject(value)) throw invalid('not a JSON object')
  const unknown = Object.keys(value).find((field) => !fields.has(field) && !isEmpty(value[field]))
  if (unknown !== undefined) throw invalid(`${JSON.stringify(unknown)} is not supported`)
  if (!actions.has(value['defaultAction']))
    throw invalid(`defaultAction: ${JSON.stringify(value['defaultAction'])} is not supported`)
  if (!isEmpty(value['architectures']) && !isEmpty(value['archMap']))
    throw invalid("use either 'architectures' or 'archMap'")
  const rules = value['syscalls'] ?? []
  if (!Array.isArray(rules)) throw invalid('syscalls is not a list')
  for (const [index, rule] of rules.entries()) checkRule(rule, `syscalls[${index}]`)
  return value as unknown as SeccompProfile
}

function checkRule(rule: unknown, place: string): void {
  if (!isJsonObject(rule)) throw invalid(`${place} is not an object`)
  const names = rule['names']
  if (!isEmpty(names) && !isEmpty(rule['name'])) throw invalid(`${place}: use either 'name' or 'names'`)
  if (!isEmpty(names) && !(Array.isArray(names) && names.every((name) => typeof name === 'string')))
    throw invalid(`${place}.names is not a list of names`)
  if (!actions.has(rule['action'])) throw invalid(`${place}.action: ${JSON.stringify(rule['action'])} is not supported`)
  const given = rule['args'] ?? []
  if (!Array.isArray(given)) throw invalid(`${place}.args is not a list`)
  for (const argument of given) {
    if (!isJsonObject(argument) || !operators.has(argument['op'])) throw invalid(`${place}.args: no such comparison`)
    const { index, value, valueTwo = 0 } = argument
    // JSON's numbers are exact up to here only, and half a comparison is another one.
    if (![index, value, valueTwo].every((number) => Number.isSafeInteger(number) && Number(number) >= 0))
      throw invalid(`${place}.args: not a number that can be compared with`)
  }
}

/** The filter that a profile is for a container with `capabilities` on `architecture`, in Go's names. */
export function profileFilter(
  { defaultAction, defaultErrnoRet, architectures, archMap, syscalls = [] }: SeccompProfile,
  capabilities: readonly string[],
  architecture: string,
): RuntimeSeccomp {
  const held = new Set(capabilities)
  const native = nativeNames[architecture]
  const mapped = archMap?.find((entry) => entry.architecture === native)
  const rules = syscalls
    .filter(
      ({ includes = {}, excludes = {} }) => holds(includes, held, architecture) && !hits(excludes, held, architecture),
    )
    .map(({ names, name, action, errnoRet, args }): RuntimeSeccompRule => ({
      names: names ?? (name === undefined ? [] : [name]),
      action,
      ...(errnoRet === undefined ? {} : { errnoRet }),
      ...(args === undefined || args === null || args.length === 0 ? {} : { args }),
    }))
  return {
    defaultAction,
    ...(defaultErrnoRet === undefined ? {} : { defaultErrnoRet }),
    architectures:
      mapped === undefined ? (architectures ?? []) : [mapped.architecture, ...(mapped.subArchitectures ?? [])],
    // A rule that says what holds anyhow is a mistake to libseccomp.
    syscalls: rules.filter(
      ({ names, action, errnoRet }) =>
        names.length > 0 &&
        !(action === defaultAction && (errnoRet ?? errno.EPERM) === (defaultErrnoRet ?? errno.EPERM)),
    ),
  }
}

const nativeNames: Readonly<Record<string, string>> = { amd64: 'SCMP_ARCH_X86_64', arm64: 'SCMP_ARCH_AARCH64' }

/** All that a rule asks for is so. */
function holds(
  { caps = [], arches = [], minKernel }: RuleCondition,
  held: ReadonlySet<string>,
  architecture: string,
): boolean {
  return (
    caps.every((name) => held.has(name)) &&
    (arches.length === 0 || arches.includes(architecture)) &&
    (minKernel === undefined || isKernelSince(minKernel))
  )
}

/** Anything is so that a rule is not for. */
function hits(
  { caps = [], arches = [], minKernel }: RuleCondition,
  held: ReadonlySet<string>,
  architecture: string,
): boolean {
  return (
    caps.some((name) => held.has(name)) ||
    arches.includes(architecture) ||
    (minKernel !== undefined && isKernelSince(minKernel))
  )
}

function isKernelSince(version: string): boolean {
  const [major = 0, minor = 0] = (readTextFile('/proc/sys/kernel/osrelease') ?? '').split('.').map(Number.parseFloat)
  const [wantedMajor = 0, wantedMinor = 0] = version.split('.').map(Number)
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor)
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === null || value === '' || (Array.isArray(value) && value.length === 0)
}

function invalid(reason: string): CairnError {
  return new CairnError('CONFIG_INVALID', `Decoding seccomp profile failed: ${reason}`)
}
