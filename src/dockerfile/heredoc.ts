import { isCairnError } from '../errors/error.ts'
import { expandWords } from './words.ts'

/** The opening of a here-document in an instruction's line. */
export interface HeredocOpening {
  readonly name: string
  readonly expand: boolean
  readonly chomp: boolean
  readonly fileDescriptor: number
}

const openingPattern = /^(\d*)<<(-?)[\t\n\f\r ]*([^<]*)$/
const unset = (): undefined => undefined

/**
 * The here-document that `word` (`<<EOF`, `3<<-"EOF"`) opens; undefined where it opens none. Throws WORD_INVALID
 * for a delimiter with an unclosed quote. Delimiters are read with `\` as escape character in every Dockerfile.
 */
export function parseHeredocOpening(word: string): HeredocOpening | undefined {
  const match = openingPattern.exec(word)
  const rest = match?.[3]
  if (match === null || rest === undefined || rest === '') return undefined
  const names = expandWords(rest, unset, { skipUnset: true })
  const name = names[0]
  if (name === undefined || names.length !== 1) return undefined
  const written = expandWords(rest, unset, { skipUnset: true, rawQuotes: true })
  return {
    name,
    // Any quote that went away was quoting: then the body is taken literally (POSIX XCU 2.7.4).
    expand: countQuotes(name) === countQuotes(written.join('')),
    chomp: match[2] === '-',
    fileDescriptor: Number(match[1] ?? 0),
  }
}

/**
 * The words of an instruction's text, quotes and escapes kept, with `<< EOF` as one word. Empty for text that a
 * shell lexer cannot split (`it's`): then it opens no here-document.
 */
export function splitKeepingHeredocs(text: string): readonly string[] {
  try {
    return expandWords(text, unset, { rawQuotes: true, rawEscapes: true, skipUnset: true })
  } catch (error) {
    if (isCairnError(error, 'WORD_INVALID')) return []
    throw error
  }
}

/** All here-documents that `text` opens, in order. Throws WORD_INVALID for a delimiter with an unclosed quote. */
export function heredocOpenings(text: string): HeredocOpening[] {
  if (!text.includes('<<')) return []
  return splitKeepingHeredocs(text)
    .map(parseHeredocOpening)
    .filter((opening) => opening !== undefined)
}

/** A body without the tabs its lines begin with, as `<<-` asks. */
export function chompHeredoc(content: string): string {
  return content.replace(/^\t+/gm, '')
}

function countQuotes(text: string): number {
  return text.match(/['"]/g)?.length ?? 0
}
