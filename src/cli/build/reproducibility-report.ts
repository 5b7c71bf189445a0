import type { ByteDifference } from '../../analysis/byte-difference.ts'
import type { LayerDifference } from '../../analysis/layer-difference.ts'
import { printable } from '../../dockerfile/characters.ts'
import type { DatedStep, StepVariation, Verification } from '../../engine/build/verify-build.ts'

/** What building twice came to, as text for people; lines end with newlines. `dockerfile` is the file's name. */
export function renderVerification(verification: Verification, dockerfile: string): string {
  const { isReproducible, compared, unknown, variations, dated, created } = verification
  const lines = [
    isReproducible
      ? `Reproducible: built again, ${steps(compared)} gave the same layers.`
      : variations.length === 0 && created.length === 0
        ? `Not reproducible: built again, ${steps(compared)} gave the same layers, which have the date of today.`
        : variations.length === 0
          ? `Not reproducible: the layers are the same, and the image has another time.`
          : `Not reproducible: built again, ${variations.length} of ${steps(compared)} gave other layers.`,
    ...variations.flatMap((variation) => ['', ...variationLines(variation, dockerfile)]),
    ...dated.flatMap((step) => ['', ...datedLines(step, dockerfile)]),
    ...created.flatMap(({ first, second }) => [
      '',
      `The image is of ${first ?? 'no time'}, the second of ${second ?? 'no time'}`,
      '  likely cause: --timestamps real',
      '  advice: leave that out, or set SOURCE_DATE_EPOCH',
    ]),
  ]
  if (unknown.length > 0)
    lines.push('', `Not compared, as the cache has the first result no more: ${unknown.map(printable).join(', ')}`)
  return `${lines.join('\n')}\n`
}

function steps(count: number): string {
  return count === 1 ? '1 step' : `${count} steps`
}

function variationLines({ line, instruction, after, difference }: StepVariation, dockerfile: string): string[] {
  const lines = [`${dockerfile}:${line}  ${printable(instruction)}`]
  if (after.length > 0) lines.push(`  after ${after.map((other) => `line ${other}`).join(', ')}, which differs, too`)
  if (difference === undefined) return [...lines, '  the files are the same or not here to be compared']
  const { cause, advice, paths, others } = difference
  lines.push(...differenceLines(difference), `  likely cause: ${cause}`, `  advice: ${advice}`)
  const named = others.slice(0, mostNamed)
  lines.push(...named.map((other) => `  also ${printable(other.path)}: ${other.cause}; ${other.advice}`))
  const more = others.length === 0 ? 0 : paths.length - 1 - named.length
  if (more > 0) lines.push(`  and ${more} more`)
  return lines
}

function datedLines({ line, instruction, files }: DatedStep, dockerfile: string): string[] {
  return [
    `${dockerfile}:${line}  ${printable(instruction)}`,
    ...files.flatMap(({ path, text, cause, advice }) => [
      `  ${printable(path)} has the day of the build, and is another one tomorrow: ${printable(text)}`,
      `  likely cause: ${cause}`,
      `  advice: ${advice}`,
    ]),
  ]
}

/** Paths besides the first that are named. */
const mostNamed = 8

function differenceLines({ path, aspect, from, to, bytes }: LayerDifference): string[] {
  const name = printable(path)
  if (bytes !== undefined) {
    const [first, second] = shownBytes(bytes)
    return [
      `  ${name} differs from byte ${bytes.offset} on (${from}, ${to})`,
      `    first:  ${first}`,
      `    second: ${second}`,
    ]
  }
  if (aspect === 'missing') return [`  ${name} is ${from ?? 'missing'} the first time, ${to ?? 'missing'} the second`]
  return [`  ${name} differs in its ${aspect}: ${printable(from ?? '')}, then ${printable(to ?? '')}`]
}

/** Both as text where they are that, else as hexadecimal bytes. */
function shownBytes({ from, to }: ByteDifference): [string, string] {
  const isText = [from, to].every((bytes) => bytes.every((byte) => byte < 0x7f && (byte >= 0x20 || isSpace(byte))))
  const show = (bytes: Uint8Array): string =>
    isText
      ? JSON.stringify(Buffer.from(bytes).toString('latin1'))
      : Buffer.from(bytes)
          .toString('hex')
          .replaceAll(/(..)(?=.)/g, '$1 ')
  return [show(from), show(to)]
}

function isSpace(byte: number): boolean {
  return byte === 0x09 || byte === 0x0a || byte === 0x0d
}

/** What building twice came to, for `--metadata-file`. */
export function verificationMetadata(verification: Verification): object {
  const { isReproducible, compared, unknown, variations, dated, created } = verification
  return {
    reproducible: isReproducible,
    compared,
    ...(unknown.length === 0 ? {} : { unknown }),
    ...(dated.length === 0 ? {} : { dated }),
    ...(created.length === 0 ? {} : { created }),
    differences: variations.map(({ difference, ...variation }) => ({
      ...variation,
      ...(difference === undefined ? {} : { difference: differenceMetadata(difference) }),
    })),
  }
}

function differenceMetadata({ bytes, ...difference }: LayerDifference): object {
  if (bytes === undefined) return difference
  const [first, second] = shownBytes(bytes)
  return { ...difference, offset: bytes.offset, first, second }
}
