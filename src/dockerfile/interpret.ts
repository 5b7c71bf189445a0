import { comparePaths } from '../linux/path-bytes.ts'
import { ArgumentError } from './arguments.ts'
import type { InstructionNode } from './ast.ts'
import { quoteGo, trimSpace } from './characters.ts'
import { parseDevice } from './device.ts'
import { parseCheckOptions, splitDirective } from './directives.ts'
import { FlagError, type FlagValues, parseFlags } from './flags.ts'
import { extensionsHint } from './frontend.ts'
import { interpretHealthcheck } from './healthcheck.ts'
import { parseHeredocOpening, splitKeepingHeredocs } from './heredoc.ts'
import type {
  AddInstruction,
  ArgInstruction,
  CheckOptions,
  CommandLine,
  CopyInstruction,
  FromInstruction,
  Heredoc,
  Instruction,
  InstructionKind,
  KeyValue,
  OnbuildInstruction,
  RunInstruction,
  ShellInstruction,
} from './instruction.ts'
import { checkMount } from './mount.ts'
import { withSuggestion } from './suggest.ts'

/** Every instruction, in upper case. */
export const instructionKinds: readonly InstructionKind[] = [
  ...(['ADD', 'ARG', 'CMD', 'COPY', 'ENTRYPOINT', 'ENV', 'EXPOSE', 'FROM', 'HEALTHCHECK', 'LABEL'] as const),
  ...(['MAINTAINER', 'ONBUILD', 'RUN', 'SHELL', 'STOPSIGNAL', 'USER', 'VOLUME', 'WORKDIR'] as const),
]

const kindOfName: ReadonlyMap<string, InstructionKind> = new Map(instructionKinds.map((kind) => [kind, kind]))

/** The kind of instruction that `keyword` names in any case; undefined where it names none. */
export function instructionKind(keyword: string): InstructionKind | undefined {
  return kindOfName.get(keyword.toUpperCase())
}

/** What all instructions carry. */
type Common = Pick<Instruction, 'keyword' | 'range' | 'original' | 'check' | 'comments'>

/** The language a file is written in. */
export interface Language {
  /** With Cairn's extensions. */
  readonly extensions: boolean
}

/** What BuildKit reads. */
export const plain: Language = { extensions: false }

/** True for INCLUDE in any case of letters. */
export function isInclude(keyword: string): boolean {
  return keyword.toUpperCase() === 'INCLUDE'
}

/**
 * The typed instruction of a node: flags and arguments checked against what the instruction takes. Throws
 * {@link ArgumentError}, {@link FlagError} or a `CairnError`, whose messages are BuildKit's.
 */
export function interpret(node: InstructionNode, language: Language = plain): Instruction | FromInstruction {
  const kind = instructionKind(node.keyword)
  if (kind === undefined) {
    const known = language.extensions ? [...instructionKinds, 'INCLUDE'] : instructionKinds
    const message = withSuggestion(`unknown instruction: ${node.keyword}`, node.keyword, known)
    throw new ArgumentError(message, isInclude(node.keyword) ? extensionsHint : undefined)
  }
  const common = commonOf(node)
  switch (kind) {
    case 'FROM':
      return interpretFrom(node, common)
    case 'RUN':
      return interpretRun(node, common, language)
    case 'COPY':
      return interpretCopy(node, common, language)
    case 'ADD':
      return interpretAdd(node, common)
    case 'ENV':
    case 'LABEL':
      parseFlags(node.flags, {})
      return { ...common, kind, pairs: pairsOf(node, kind), legacy: node.args[2] === '' }
    case 'ARG':
      return interpretArg(node, common)
    case 'CMD':
    case 'ENTRYPOINT':
      parseFlags(node.flags, {})
      return { ...common, kind, command: commandOf(node) }
    case 'EXPOSE': {
      requireSome(node.args, kind)
      parseFlags(node.flags, {})
      // As Go sorts strings.
      return { ...common, kind, ports: node.args.toSorted(comparePaths) }
    }
    case 'VOLUME':
      requireSome(node.args, kind)
      parseFlags(node.flags, {})
      return { ...common, kind, paths: node.args.map(volumePath) }
    case 'USER':
      return { ...common, kind, user: onlyArgument(node, kind) }
    case 'WORKDIR':
      return { ...common, kind, path: onlyArgument(node, kind) }
    case 'MAINTAINER':
      return { ...common, kind, name: onlyArgument(node, kind) }
    case 'STOPSIGNAL':
      return { ...common, kind, signal: onlyArgument({ ...node, flags: [] }, kind) }
    case 'HEALTHCHECK':
      requireSome(node.args, kind)
      return { ...common, kind, ...interpretHealthcheck(node) }
    case 'SHELL':
      return interpretShell(node, common)
    case 'ONBUILD':
      return interpretOnbuild(node, common)
  }
}

function commonOf(node: InstructionNode): Common {
  const check = checkAbove(node.comments)
  return {
    keyword: node.keyword,
    range: node.range,
    original: trimSpace(node.original),
    ...(check === undefined ? {} : { check }),
    ...(node.comments.length === 0 ? {} : { comments: node.comments }),
  }
}

/** `# check=…` above one instruction; as in BuildKit, one that cannot be read is an ordinary comment. */
function checkAbove(comments: readonly string[]): CheckOptions | undefined {
  for (const comment of comments) {
    const found = splitDirective(comment)
    if (found?.name !== 'check') continue
    try {
      return parseCheckOptions(found.value)
    } catch {
      return undefined
    }
  }
  return undefined
}

function requireSome(args: readonly string[], kind: InstructionKind): void {
  if (args.length === 0) throw new ArgumentError(`${kind} requires at least one argument`)
}

function onlyArgument(node: InstructionNode, kind: InstructionKind): string {
  const argument = node.args[0]
  if (argument === undefined || node.args.length !== 1) {
    throw new ArgumentError(`${kind} requires exactly one argument`)
  }
  parseFlags(node.flags, {})
  return argument
}

/** The JSON list, else the text as one line. */
function commandOf(node: InstructionNode): CommandLine {
  return node.json ? { form: 'exec', args: node.args } : { form: 'shell', line: node.args.join(' ') }
}

const stageName = /^[a-z][a-z0-9-_.]*$/

function interpretFrom(node: InstructionNode, common: Common): FromInstruction {
  const [image, asKeyword, nameAsWritten] = node.args
  const named = node.args.length === 3 && asKeyword?.toLowerCase() === 'as'
  if (image === undefined || !(named || node.args.length === 1)) {
    throw new ArgumentError('FROM requires either one or three arguments')
  }
  const name = named ? nameAsWritten?.toLowerCase() : undefined
  if (name !== undefined && !stageName.test(name)) {
    throw new ArgumentError(
      `invalid name for build stage: ${quoteGo(nameAsWritten ?? '')}, name can't start with a number or contain symbols`,
    )
  }
  const { platform } = parseFlags(node.flags, { platform: 'text' })
  return {
    ...common,
    kind: 'FROM',
    image,
    ...(platform === undefined || platform === '' ? {} : { platform }),
    ...(name === undefined || nameAsWritten === undefined || asKeyword === undefined
      ? {}
      : { name, nameAsWritten, asKeyword }),
  }
}

function interpretRun(node: InstructionNode, common: Common, language: Language): RunInstruction {
  const flags = parseFlags(node.flags, { mount: 'list', network: 'text', security: 'text', device: 'list' })
  for (const mount of flags.mount ?? []) checkMount(mount, language)
  for (const device of flags.device ?? []) parseDevice(device)
  const { network, security } = flags
  if (network !== undefined && !['default', 'none', 'host'].includes(network)) {
    throw new ArgumentError(`invalid network mode ${quoteGo(network)}`)
  }
  if (security !== undefined && !['insecure', 'sandbox'].includes(security)) {
    throw new ArgumentError(`security ${quoteGo(security)} is not valid`)
  }
  return {
    ...common,
    kind: 'RUN',
    command: commandOf(node),
    heredocs: node.heredocs,
    mounts: flags.mount ?? [],
    ...(network === undefined ? {} : { network }),
    ...(security === undefined ? {} : { security }),
    devices: flags.device ?? [],
  }
}

const copyFlags = {
  ...({ chown: 'text', from: 'text', chmod: 'text', link: 'boolean', exclude: 'list' } as const),
  ...({ parents: 'boolean' } as const),
}

function interpretCopy(node: InstructionNode, common: Common, { extensions }: Language): CopyInstruction {
  requireDestination(node, 'COPY')
  if (!extensions && node.flags.some((flag) => /^--optional(=|$)/.test(flag))) {
    throw new FlagError('unknown flag: --optional', extensionsHint)
  }
  const flags: FlagValues<typeof copyFlags & { optional: 'boolean' }> = extensions
    ? parseFlags(node.flags, { ...copyFlags, optional: 'boolean' })
    : parseFlags(node.flags, copyFlags)
  return {
    ...common,
    kind: 'COPY',
    ...placesOf(node, 'COPY'),
    ...textFlags(flags, ['chown', 'chmod', 'from']),
    link: flags.link ?? false,
    parents: flags.parents ?? false,
    optional: flags.optional ?? false,
    excludes: flags.exclude ?? [],
  }
}

function interpretAdd(node: InstructionNode, common: Common): AddInstruction {
  requireDestination(node, 'ADD')
  const flags = parseFlags(node.flags, {
    ...({ chown: 'text', chmod: 'text', link: 'boolean', checksum: 'text', exclude: 'list' } as const),
    ...({ 'keep-git-dir': 'boolean', unpack: 'boolean' } as const),
  })
  const keepGitDir = flags['keep-git-dir']
  return {
    ...common,
    kind: 'ADD',
    ...placesOf(node, 'ADD'),
    ...textFlags(flags, ['chown', 'chmod', 'checksum']),
    link: flags.link ?? false,
    excludes: flags.exclude ?? [],
    ...(keepGitDir === undefined ? {} : { keepGitDir }),
    ...(flags.unpack === undefined ? {} : { unpack: flags.unpack }),
  }
}

function requireDestination(node: InstructionNode, kind: 'COPY' | 'ADD'): void {
  if (node.args.length >= 2) return
  throw new ArgumentError(
    `${kind} requires at least two arguments, but only one was provided. Destination could not be determined`,
  )
}

/** The named flags that were given a text; an empty one counts as not given. */
function textFlags<K extends string>(
  flags: { readonly [name in K]?: string },
  names: readonly K[],
): { readonly [name in K]?: string } {
  const given: { [name in K]?: string } = {}
  for (const name of names) {
    const value = flags[name]
    if (value !== undefined && value !== '') given[name] = value
  }
  return given
}

/** Sources and destination; here-documents among the sources are matched with their bodies by order. */
function placesOf(
  node: InstructionNode,
  kind: 'COPY' | 'ADD',
): Pick<CopyInstruction, 'sources' | 'heredocs' | 'destination'> {
  // With here-documents, `<< EOF` and `<<"a b"` are one word each.
  const words = node.heredocs.length === 0 ? node.args : splitKeepingHeredocs(node.rest)
  const destination = words.at(-1)
  if (destination === undefined || opensHeredoc(destination, node.json)) {
    throw new ArgumentError(`${kind} cannot accept a heredoc as a destination`)
  }
  const sources: string[] = []
  const heredocs: Heredoc[] = []
  for (const word of words.slice(0, -1)) {
    const heredoc = opensHeredoc(word, node.json) ? node.heredocs[heredocs.length] : undefined
    if (heredoc === undefined) sources.push(word)
    else heredocs.push(heredoc)
  }
  return { sources, heredocs, destination }
}

function opensHeredoc(word: string, json: boolean): boolean {
  if (json || !word.includes('<<')) return false
  try {
    return parseHeredocOpening(word) !== undefined
  } catch {
    return false
  }
}

function pairsOf(node: InstructionNode, kind: 'ENV' | 'LABEL'): KeyValue[] {
  requireSome(node.args, kind)
  const pairs: KeyValue[] = []
  for (let index = 0; index < node.args.length; index += 3) {
    const key = node.args[index] ?? ''
    if (key === '') throw new ArgumentError(`${kind} names can not be blank`)
    pairs.push({ key, value: node.args[index + 1] ?? '' })
  }
  return pairs
}

function interpretArg(node: InstructionNode, common: Common): ArgInstruction {
  requireSome(node.args, 'ARG')
  const args = node.args.map((arg) => {
    const equals = arg.indexOf('=')
    if (equals < 0) return { key: arg }
    if (equals === 0) throw new ArgumentError('ARG names can not be blank')
    return { key: arg.slice(0, equals), value: arg.slice(equals + 1) }
  })
  return { ...common, kind: 'ARG', args }
}

function volumePath(written: string): string {
  const path = trimSpace(written)
  if (path === '') throw new ArgumentError('VOLUME specified can not be an empty string')
  return path
}

function interpretShell(node: InstructionNode, common: Common): ShellInstruction {
  parseFlags(node.flags, {})
  requireSome(node.args, 'SHELL')
  if (!node.json) throw new ArgumentError('SHELL requires the arguments to be in JSON form')
  return { ...common, kind: 'SHELL', shell: node.args }
}

function interpretOnbuild(node: InstructionNode, common: Common): OnbuildInstruction {
  requireSome(node.args, 'ONBUILD')
  parseFlags(node.flags, {})
  checkTrigger(node.args[0] ?? '')
  const text = node.original.replace(/^\s*ONBUILD\s*/i, '')
  const expression = text + node.heredocs.map((heredoc) => `\n${heredoc.raw}${heredoc.name}`).join('')
  return { ...common, kind: 'ONBUILD', expression }
}

/** The path that an INCLUDE names, as written. Throws {@link ArgumentError}, {@link FlagError}. */
export function includedPath(node: InstructionNode): string {
  const path = node.args[0]
  if (path === undefined) throw new ArgumentError('INCLUDE requires exactly one argument')
  parseFlags(node.flags, {})
  return path
}

/** Throws {@link ArgumentError} where the instruction that `keyword` names may not stand in ONBUILD. */
export function checkTrigger(keyword: string): void {
  const name = trimSpace(keyword).toUpperCase()
  if (name === 'ONBUILD') throw new ArgumentError("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
  if (name === 'MAINTAINER' || name === 'FROM' || name === 'INCLUDE') {
    throw new ArgumentError(`${name} isn't allowed as an ONBUILD trigger`)
  }
}
