/** One challenge of a `WWW-Authenticate` header (RFC 9110 §11.6.1). */
export interface Challenge {
  /** In lower case: `bearer`, `basic`. */
  readonly scheme: string
  /** Names in lower case. */
  readonly parameters: Readonly<Record<string, string>>
}

const longestHeader = 16 * 1024

/**
 * The challenges of a `WWW-Authenticate` header, of which a server may send several with commas between them. What
 * cannot be read ends the list: it is what a server sent.
 */
export function parseChallenges(header: string | null): readonly Challenge[] {
  if (header === null || header.length > longestHeader) return []
  const challenges: { scheme: string; parameters: Record<string, string> }[] = []
  const token = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y
  let at = 0
  const skip = (pattern: RegExp): void => {
    pattern.lastIndex = at
    at += pattern.exec(header)?.[0].length ?? 0
  }
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at
    const found = pattern.exec(header)?.[0]
    at += found?.length ?? 0
    return found
  }
  for (;;) {
    skip(/[\s,]*/y)
    const word = take(token)
    if (word === undefined) return challenges
    skip(/\s*/y)
    const current = challenges.at(-1)
    if (header[at] !== '=' || current === undefined) {
      challenges.push({ scheme: word.toLowerCase(), parameters: Object.create(null) as Record<string, string> })
      // A token68, as of Negotiate: nothing here speaks such a scheme.
      take(/[A-Za-z0-9._~+/-]+=*(?=\s*(?:,|$))/y)
      continue
    }
    at++
    skip(/\s*/y)
    const quoted = take(/"(?:[^"\\]|\\.)*"/y)
    const value = quoted === undefined ? take(token) : quoted.slice(1, -1).replace(/\\(.)/g, '$1')
    if (value === undefined) return challenges
    // Of a parameter given twice the first counts.
    current.parameters[word.toLowerCase()] ??= value
  }
}
