import { causesText, type Miss, missText } from '../../build/explain/miss.ts'
import type { ExplainedStep } from '../../records/record.ts'

/** The steps of a build, each with whether it came from the cache and, where it did not, why. Lines end with newlines. */
export function renderExplanation(steps: readonly ExplainedStep[]): string {
  const width = Math.max(0, ...steps.map(({ outcome }) => outcome.length))
  return steps
    .flatMap((step) => [
      `${step.outcome.padEnd(width)}  ${step.title}\n`,
      ...detailLines(step).map((line) => `${' '.repeat(width + 2)}${line}\n`),
    ])
    .join('')
}

function detailLines({ miss, kind, isFormerKept, origin, advice = [] }: ExplainedStep): string[] {
  if (miss === undefined) return origin === undefined ? [] : [`from ${origin}`]
  return [
    ...causeLines(miss),
    ...(kind === 'base' ? [] : counterfactual(miss, isFormerKept)),
    ...advice.map((text) => `advice: ${text}`),
  ]
}

function causeLines(miss: Miss): string[] {
  const { own, inherited } = miss
  if (own.length === 0 || inherited === undefined) return [missText(miss)]
  return [causesText(own), `and ${missText({ own: [], inherited })}`]
}

/** What would have been without the causes, where that is certain. */
function counterfactual({ own, inherited }: Miss, isFormerKept: boolean | undefined): string[] {
  const [cause] = own
  if (cause !== undefined && (cause.kind === 'first' || cause.kind === 'new' || cause.kind === 'pruned')) return []
  const causes = own.length + (inherited === undefined ? 0 : inherited.causes.length)
  return isFormerKept === true
    ? [`but for ${causes === 1 ? 'that' : 'these'} it would have been cached`]
    : ['what it gave before is not in the cache any more either']
}
