import type { Choices } from './choices.ts'

/** Who the commands are for: one of several that work at once, each with containers of its own. */
export interface Owner {
  /** Text in the command lines of all its containers. */
  readonly marker: string
  /** What the names of its containers begin with. */
  readonly prefix: string
  /** Host ports of its own, one for each of its names. */
  readonly firstPort: number
  /** A network that all share. */
  readonly network: string
  /** Names of its containers, as they were last listed. */
  readonly names: readonly string[]
  /** A new number for each container. */
  nextSerial(): number
}

/** A command, and the name of the container that it takes away. */
export interface OwnedCommand {
  readonly argv: readonly string[]
  /** `all` for what takes away any that do not run. */
  readonly removes?: string
}

type Maker = (choices: Choices, owner: Owner) => OwnedCommand

const nameCount = 4

/** Mostly of a container that is there. */
function nameOf(choices: Choices, { prefix, names }: Owner): string {
  if (names.length > 0 && choices.chance(0.95)) return choices.of(names)
  return `${prefix}${choices.below(nameCount)}`
}

function newName(choices: Choices, { prefix }: Owner): string {
  return `${prefix}${choices.below(nameCount)}`
}

/** A command about one container, by its name. */
function about(...words: readonly string[]): Maker {
  return (choices, owner) => ({ argv: [...words, nameOf(choices, owner)] })
}

const makers: readonly (readonly [number, Maker])[] = [
  [34, (choices, owner) => ({ argv: ['run', '-d', ...creation(choices, owner)] })],
  [6, (choices, owner) => ({ argv: ['run', '--rm', 'base', 'sh', '-c', program(choices, owner, 'short')] })],
  [4, (choices, owner) => ({ argv: ['run', ...creation(choices, owner, 'short')] })],
  [8, (choices, owner) => ({ argv: ['create', ...creation(choices, owner)] })],
  [14, about('start')],
  [9, about('stop', '-t', '1')],
  [10, about('restart', '-t', '0')],
  [5, about('kill')],
  [8, (choices, owner) => ({ argv: ['exec', nameOf(choices, owner), 'sh', '-c', 'echo x >> /tmp/x; sleep 0.1'] })],
  [3, (choices, owner) => ({ argv: ['exec', '-d', nameOf(choices, owner), 'sleep', '0.5'] })],
  [5, removal('rm')],
  [10, removal('rm', '-fv')],
  [6, (choices, owner) => ({ argv: ['rename', nameOf(choices, owner), newName(choices, owner)] })],
  [6, about('pause')],
  [5, about('unpause')],
  [4, (choices, owner) => ({ argv: ['update', '--restart', policy(choices), nameOf(choices, owner)] })],
  [3, (choices, owner) => ({ argv: ['network', 'connect', owner.network, nameOf(choices, owner)] })],
  [2, (choices, owner) => ({ argv: ['network', 'disconnect', owner.network, nameOf(choices, owner)] })],
  [3, about('logs')],
  [2, about('inspect')],
  [2, about('diff')],
  [2, (choices, owner) => ({ argv: ['cp', `${nameOf(choices, owner)}:/bin/sh`, '-'] })],
  [
    2,
    (_, owner) => ({ argv: ['container', 'prune', '-f', '--filter', `label=owner=${owner.prefix}`], removes: 'all' }),
  ],
]

function removal(...words: readonly string[]): Maker {
  return (choices, owner) => {
    const name = nameOf(choices, owner)
    return { argv: [...words, name], removes: name }
  }
}

const total = makers.reduce((sum, [weight]) => sum + weight, 0)

/** The next command of an owner. */
export function nextOwnedCommand(choices: Choices, owner: Owner): OwnedCommand {
  let at = choices.below(total)
  for (const [weight, make] of makers) {
    if (at < weight) return make(choices, owner)
    at -= weight
  }
  throw new RangeError('weights do not add up')
}

function policy(choices: Choices): string {
  return choices.of(['no', 'on-failure:2', 'always', 'unless-stopped'])
}

type Length = 'short' | 'endless'

function creation(
  choices: Choices,
  owner: Owner,
  length: Length = choices.chance(0.8) ? 'endless' : 'short',
): string[] {
  const slot = choices.below(nameCount)
  const words = ['--name', `${owner.prefix}${slot}`, '--label', `owner=${owner.prefix}`]
  const when = (probability: number, ...more: readonly string[]): void => {
    if (choices.chance(probability)) words.push(...more)
  }
  const network = choices.below(10)
  if (network < 3) words.push('--network', owner.network, '--network-alias', `alias${slot}`)
  else if (network === 3) words.push('--network', 'none')
  else if (network === 4) words.push('--network', 'host')
  if (network !== 3 && network !== 4) when(0.5, '-p', `${owner.firstPort + slot}:80`)
  if (choices.chance(0.2)) words.push('--rm')
  else when(0.4, '--restart', policy(choices))
  when(0.4, '--health-cmd', 'true', '--health-interval', '1s')
  when(0.3, '-v', '/data')
  when(0.2, '-v', `${owner.prefix}data:/volume`)
  when(0.2, '--memory', '64m')
  when(0.2, '--init')
  when(0.2, '--log-opt', 'max-size=1k', '--log-opt', 'max-file=3')
  when(0.1, '-t')
  when(0.1, '-i')
  return [...words, 'base', 'sh', '-c', program(choices, owner, length)]
}

/** What a container runs. Its number is in the command line of its first process, or of the one below `--init`. */
function program(choices: Choices, owner: Owner, length: Length): string {
  const mark = `: ${owner.marker}${owner.nextSerial()}.`
  if (length === 'short') return `${mark}; echo out; sleep 0.${choices.below(4)}; exit ${choices.below(2)}`
  return `${mark}; trap "exit 0" TERM; echo out; while :; do sleep 0.5; done`
}
