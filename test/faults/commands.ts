import { writeFileSync } from 'node:fs'
import type { Choices } from './choices.ts'

/** A name that no server answers for, so that nothing is ever fetched. */
export const baseName = 'localhost:1/base'

/** Where the commands of one worker find their files. */
export interface Place {
  /** Number of the worker. */
  readonly worker: number
  /** Of its own. */
  readonly directory: string
  /** Archive of the base image, and of images made of it. */
  readonly archives: readonly string[]
  /** Text in the command lines of all that runs in containers. */
  readonly marker: string
}

type Maker = (choices: Choices, place: Place) => readonly string[]

const names = (choices: Choices): string => `localhost:1/i${choices.below(6)}`
/** No beginning of an ID, so that no removal by name means another container. */
const containers = (choices: Choices): string => `named${choices.below(5)}`

/** Commands with how often each comes. */
const makers: readonly (readonly [number, Maker])[] = [
  [26, build],
  [8, (choices, { archives }) => ['load', '-q', '-i', choices.of(archives)]],
  [7, (choices) => ['tag', names(choices), names(choices)]],
  [9, (choices) => ['rmi', ...(choices.chance(0.4) ? ['-f'] : []), names(choices)]],
  [3, () => ['image', 'prune', '-f']],
  [2, () => ['image', 'prune', '-af']],
  [3, (choices) => ['builder', 'prune', choices.chance(0.5) ? '-f' : '-af']],
  [10, (choices, place) => ['run', '--rm', ...command(choices, place)]],
  [8, (choices, place) => ['run', '--name', containers(choices), ...command(choices, place)]],
  [7, (choices) => ['commit', containers(choices), names(choices)]],
  [5, (choices) => ['rm', '-fv', containers(choices)]],
  [2, () => ['container', 'prune', '-f']],
  [3, (choices, { directory }) => ['save', '-o', `${directory}/saved.tar`, names(choices)]],
  [2, () => ['images']],
  [2, () => ['system', 'df']],
]

const total = makers.reduce((sum, [weight]) => sum + weight, 0)

/** The next command of a worker. */
export function nextCommand(choices: Choices, place: Place): readonly string[] {
  let at = choices.below(total)
  for (const [weight, make] of makers) {
    if (at < weight) return make(choices, place)
    at -= weight
  }
  throw new RangeError('weights do not add up')
}

function command(choices: Choices, { marker }: Place): string[] {
  const volume = choices.chance(0.3) ? ['-v', '/data'] : []
  const script = `: ${marker}; echo ${choices.below(4)} > /written; sleep 0.${choices.below(3)}`
  return [...volume, names(choices), 'sh', '-c', script]
}

/** Few different steps, so that workers want the same layers at once and the cache is hit. */
function build(choices: Choices, { directory, marker }: Place): string[] {
  const steps = Array.from({ length: 1 + choices.below(4) }, (_, index) => step(choices, index, marker))
  const stage = choices.chance(0.3) ? [`FROM ${baseName} AS other`, `RUN echo ${choices.below(3)} > /other`] : []
  const copy = stage.length > 0 ? ['COPY --from=other /other /other'] : []
  writeFileSync(`${directory}/Dockerfile`, [...stage, `FROM ${baseName}`, ...steps, ...copy, ''].join('\n'))
  writeFileSync(`${directory}/file`, `${choices.below(4)}`.repeat(200_000))
  const cache = choices.chance(0.1) ? ['--no-cache'] : []
  return ['build', '-q', ...cache, '-t', names(choices), directory]
}

function step(choices: Choices, index: number, marker: string): string {
  const value = choices.below(3)
  switch (choices.below(4)) {
    case 0:
      return `COPY file /file${index}`
    case 1:
      return `RUN --mount=type=cache,id=faults,target=/cache : ${marker}; echo ${value} > /cache/x; echo ${value} > /c${index}`
    case 2:
      return `WORKDIR /w${value}`
    default:
      return `RUN : ${marker}; dd if=/dev/zero of=/z${index} bs=1024 count=${100 * (value + 1)} 2>/dev/null; sleep 0.0${value}`
  }
}
