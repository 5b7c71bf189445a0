import type { Instruction } from '../../dockerfile/instruction.ts'
import { expandWordDetailed, type WordOptions } from '../../dockerfile/words.ts'
import type { WrittenStep } from '../graph.ts'
import type { StagePlanner } from '../plan/plan-stage.ts'

/** What an instruction says before the variables of this moment are put in; put together when it is called. */
export function writtenStep(
  { state, words }: StagePlanner,
  instruction: Extract<Instruction, { kind: 'RUN' | 'COPY' | 'ADD' | 'WORKDIR' }>,
): () => WrittenStep {
  const environment = state.env.snapshot()
  return () => {
    const heredocs = 'heredocs' in instruction ? instruction.heredocs : []
    const text = [instruction.original, ...heredocs.map(({ content }) => content)].join('\n')
    const variables = new Map<string, string | undefined>()
    // What a RUN puts in is seen by its command, too.
    if (instruction.kind === 'RUN') return { text, variables }
    const values = environment()
    const parts = [
      namesIn(instruction.original, values, { ...words, rawQuotes: true }),
      ...heredocs.map(({ content, expand }) =>
        expand ? namesIn(content, values, { escape: '\\', ignoreQuotes: true }) : [],
      ),
    ]
    for (const name of parts.flat()) variables.set(name, values.get(name))
    return { text, variables }
  }
}

/** Names of the variables that a text puts in. */
function namesIn(text: string, values: ReadonlyMap<string, string>, options: WordOptions): string[] {
  try {
    const { matched, unmatched } = expandWordDetailed(text, (name) => values.get(name), options)
    return [...matched, ...unmatched]
  } catch {
    // Where the whole line is no word, its parts are: what it puts in is then not known.
    return []
  }
}
