/** Where in the store a problem is. */
export type ProblemArea =
  | 'database'
  | 'images'
  | 'content'
  | 'layers'
  | 'containers'
  | 'volumes'
  | 'build cache'
  | 'build records'
  | 'registry'
  | 'leftovers'
  | 'sizes'

/** Something of the store that is not as it must be. */
export interface StoreProblem {
  readonly area: ProblemArea
  /** The digest, path or name it is about. */
  readonly subject: string
  /** What is wrong, and what that means. */
  readonly problem: string
  /** What to do about it. */
  readonly remedy: string
  /** Sets it right without taking anything that is whole; absent where only the user can. */
  readonly repair?: () => Promise<void> | void
}

/** Names in a sentence: the first three, and how many more. */
export function listed(names: readonly string[]): string {
  const shown = names.slice(0, 3).join(', ')
  return names.length > 3 ? `${shown} and ${names.length - 3} more` : shown
}

/** `1 image`, `2 images`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}
