import { docComment } from '../../dockerfile/doc-comment.ts'
import type { Dockerfile, SourceRange } from '../../dockerfile/instruction.ts'
import { expandWordDetailed, type WordOptions } from '../../dockerfile/words.ts'
import type { DeclaredArgument } from '../ops/metadata.ts'
import type { StageNode } from './stage-node.ts'

/** An ARG that a build of the target takes. */
export interface OutlineArgument {
  readonly name: string
  readonly value: string
  readonly description: string
  readonly range: SourceRange
}

/** A secret or SSH agent that a RUN of the target asks for. */
export interface OutlineGrant {
  readonly name: string
  readonly required: boolean
  readonly range: SourceRange
}

/** What a target can be given, BuildKit's `outline` request. Each list is in the order of the file. */
export interface Outline {
  /** The stage's name, empty where it has none. */
  readonly name: string
  readonly description: string
  readonly args: readonly OutlineArgument[]
  readonly secrets: readonly OutlineGrant[]
  readonly ssh: readonly OutlineGrant[]
}

/** What planning finds out about one stage that its outline shows. */
export class StageOutline {
  /** Names that the stage uses: variables of its FROM, and its ARGs. */
  readonly used = new Set<string>()
  /** ARGs of the stage that do not only pass a global one on. */
  readonly args = new Map<string, OutlineArgument>()
  readonly secrets = new Map<string, OutlineGrant>()
  readonly ssh = new Map<string, OutlineGrant>()

  /** Adds an ARG of the stage. */
  addArgument({ name, value = '', isInherited, comments }: DeclaredArgument, range: SourceRange): void {
    this.used.add(name)
    if (!isInherited) this.args.set(name, { name, value, description: docComment(name, comments), range })
  }

  /** Adds what a RUN asks for; the first of a name counts. */
  addGrant(type: 'secret' | 'ssh', grant: OutlineGrant): void {
    const grants = type === 'secret' ? this.secrets : this.ssh
    if (!grants.has(grant.name)) grants.set(grant.name, grant)
  }
}

/** A global ARG, and the names that its default is made of. */
interface GlobalArgument extends OutlineArgument {
  readonly dependencies: ReadonlySet<string>
}

/** The outline of a planned stage: what it, and all that it is made from, can be given. */
export function outlineOf(
  dockerfile: Dockerfile,
  target: StageNode,
  scope: {
    readonly buildArgs: ReadonlyMap<string, string>
    readonly platformArgs: ReadonlyMap<string, string>
    readonly words: WordOptions
  },
): Outline {
  const from = dockerfile.stages.find(({ from: { range } }) => range === target.range)?.from
  const name = from?.name ?? ''
  const globals = globalArguments(dockerfile, scope)
  const args = new Map<string, OutlineArgument>()
  const secrets = new Map<string, OutlineGrant>()
  const ssh = new Map<string, OutlineGrant>()
  for (const node of madeFrom(target)) {
    for (const used of usedBy(node, globals)) {
      const argument = node.outline.args.get(used) ?? globals.get(used)
      if (argument !== undefined && !args.has(used)) args.set(used, argument)
    }
    for (const [id, grant] of node.outline.secrets) if (!secrets.has(id)) secrets.set(id, grant)
    for (const [id, grant] of node.outline.ssh) if (!ssh.has(id)) ssh.set(id, grant)
  }
  return {
    name,
    description: name === '' ? '' : docComment(name, from?.comments),
    args: inOrder(args),
    secrets: inOrder(secrets),
    ssh: inOrder(ssh),
  }
}

function inOrder<Entry extends { readonly range: SourceRange }>(entries: ReadonlyMap<string, Entry>): Entry[] {
  return [...entries.values()].toSorted((a, b) => a.range.start - b.range.start)
}

/** The stage, then what it is built from, then what it reads, each once. */
function madeFrom(target: StageNode): Set<StageNode> {
  const seen = new Set<StageNode>()
  const pending = [target]
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    if (seen.has(node)) continue
    seen.add(node)
    pending.push(...[...node.sources.values()].toReversed())
    if (node.base !== undefined) pending.push(node.base)
  }
  return seen
}

/** The names a stage uses, with those that the defaults of global ARGs among them use in turn. */
function usedBy(node: StageNode, globals: ReadonlyMap<string, GlobalArgument>): Set<string> {
  const used = new Set<string>()
  const pending = [...node.outline.used]
  for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
    if (used.has(name)) continue
    used.add(name)
    if (!node.outline.args.has(name)) pending.push(...(globals.get(name)?.dependencies ?? []))
  }
  return used
}

function globalArguments(
  { metaArgs }: Dockerfile,
  {
    buildArgs,
    platformArgs,
    words,
  }: {
    readonly buildArgs: ReadonlyMap<string, string>
    readonly platformArgs: ReadonlyMap<string, string>
    readonly words: WordOptions
  },
): Map<string, GlobalArgument> {
  const values = new Map(platformArgs)
  const args = new Map<string, GlobalArgument>()
  for (const { args: declared, comments, range } of metaArgs) {
    for (const { key, value: fallback } of declared) {
      const expanded =
        fallback === undefined || buildArgs.has(key)
          ? undefined
          : expandWordDetailed(fallback, (name) => values.get(name), words)
      const dependencies = new Set(expanded?.matched)
      // One that adds to its own value also depends on what the earlier one was made of.
      if (dependencies.delete(key)) for (const name of args.get(key)?.dependencies ?? []) dependencies.add(name)
      const value = buildArgs.get(key) ?? expanded?.result
      if (value !== undefined) values.set(key, value)
      args.set(key, { name: key, value: value ?? '', description: docComment(key, comments), range, dependencies })
    }
  }
  return args
}
