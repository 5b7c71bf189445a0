import { isCredentialFile, largestCredentialFile, secretsInFile } from './credential-files.ts'
import { LiteralFinder } from './literal-finder.ts'
import { entropy, isPlaceholder } from './placeholder.ts'
import { armourContext, armourLiteral, privateKeyAt } from './private-keys.ts'
import type { FoundSecret, SecretLevel } from './secret-rule.ts'
import { longestToken, type TokenRule, tokenRules } from './token-rules.ts'

/** A secret in a file. */
export interface FileSecret extends FoundSecret {
  /** Counted from 1; undefined in binary files and in those too large to be looked at whole. */
  readonly line: number | undefined
}

/** Bounds on the work one file may cause. */
export interface ScanLimits {
  /** Bytes of one file that are searched. */
  readonly fileBytes: number
  /** Places in one file that look like the beginning of a secret. */
  readonly candidates: number
  /** Secrets reported of one file. */
  readonly findings: number
}

export const defaultScanLimits: ScanLimits = { fileBytes: 1024 ** 3, candidates: 100_000, findings: 100 }

interface Matcher {
  readonly rule: TokenRule
  readonly pattern: RegExp
}

/** Files up to this size are looked at whole, larger ones in windows that overlap. */
const windowSize = 1024 * 1024
const overlap = armourContext.before + armourContext.after

const literals = [armourLiteral, ...tokenRules.flatMap((rule) => rule.literals)]
/** By the number of the literal, one less as the first is that of private keys. */
const matchers: readonly Matcher[] = tokenRules.flatMap((rule) => {
  const pattern = new RegExp(rule.pattern.source, rule.lead === undefined ? 'y' : '')
  return rule.literals.map(() => ({ rule, pattern }))
})

/**
 * Finds secrets in one file after the other as their bytes go by: private keys and tokens in any file, also binary ones
 * and across pieces; credentials of files that are there to hold them. Memory is bounded by a window.
 */
export class FileScanner {
  readonly #limits: ScanLimits
  readonly #finder = new LiteralFinder(literals)
  readonly #window = new Uint8Array(windowSize + overlap)
  #used = 0
  /** Position in the file of the window's first byte, and up to where hits were looked at. */
  #base = 0
  #doneTo = 0
  #path = ''
  #size = 0
  #isWholeSeen = false
  #isCredentialFile = false
  #found: FileSecret[] = []
  #candidatesLeft = 0
  #isIncomplete = false

  constructor(limits: ScanLimits = defaultScanLimits) {
    this.#limits = limits
  }

  /** A file begins. `path` has no leading slash; `size` is how many bytes will come. */
  begin(path: string, size: number): void {
    this.#used = 0
    this.#base = 0
    this.#doneTo = 0
    this.#path = path
    this.#size = size
    this.#isWholeSeen = false
    this.#isCredentialFile = size <= largestCredentialFile && isCredentialFile(path)
    this.#found = []
    this.#candidatesLeft = this.#limits.candidates
    this.#isIncomplete = false
  }

  /** The next bytes of the file, which may be reused afterwards. */
  push(bytes: Uint8Array): void {
    if (this.#base === 0 && this.#used === 0 && bytes.length === this.#size) {
      this.#isWholeSeen = true
      this.#search(bytes, true)
      return
    }
    let rest = bytes
    while (rest.length > 0 && this.#candidatesLeft > 0) {
      if (this.#base + this.#used >= this.#limits.fileBytes) {
        this.#isIncomplete = true
        return
      }
      const taken = rest.subarray(0, this.#window.length - this.#used)
      this.#window.set(taken, this.#used)
      this.#used += taken.length
      rest = rest.subarray(taken.length)
      if (this.#used === this.#window.length) this.#slide()
    }
  }

  /** The file's secrets, in order of position. `isIncomplete` where a bound ended the search. */
  end(): { readonly secrets: readonly FileSecret[]; readonly isIncomplete: boolean } {
    if (!this.#isWholeSeen && this.#used > 0 && this.#candidatesLeft > 0)
      this.#search(this.#window.subarray(0, this.#used), true)
    return { secrets: withoutOverlaps(this.#found), isIncomplete: this.#isIncomplete }
  }

  /** Searches a full window and keeps its end, as a secret may go on in the next one. */
  #slide(): void {
    this.#search(this.#window, false)
    const keepFrom = this.#used - overlap
    this.#window.copyWithin(0, keepFrom, this.#used)
    this.#base += keepFrom
    this.#used = overlap
  }

  #search(bytes: Uint8Array, isEnd: boolean): void {
    const from = this.#doneTo - this.#base
    const to = isEnd ? bytes.length : bytes.length - armourContext.after
    const isWhole = isEnd && this.#size <= windowSize
    this.#finder.find(bytes, (literal, at) => {
      if (at < from || at >= to) return
      if (--this.#candidatesLeft < 0 || this.#found.length >= this.#limits.findings) this.#isIncomplete = true
      else this.#look(bytes, literal, at, isWhole)
    })
    this.#doneTo = this.#base + to
    if (this.#isCredentialFile && isWhole)
      for (const secret of secretsInFile(this.#path, textOf(bytes, 0, bytes.length))) this.#add(secret, bytes, isWhole)
  }

  #look(bytes: Uint8Array, literal: number, at: number, isWhole: boolean): void {
    if (literal === 0) {
      const start = Math.max(0, at - armourContext.before)
      const key = privateKeyAt(textOf(bytes, start, at + armourContext.after), at - start)
      if (key !== undefined) this.#add({ ...key, offset: this.#base + at }, bytes, isWhole)
      return
    }
    const { rule, pattern } = matchers[literal - 1] as Matcher
    const lead = (rule.lead ?? 0) + 1
    const start = Math.max(0, at - lead)
    const text = textOf(bytes, start, at + longestToken)
    const match = matchToken(rule, pattern, text, at - start)
    if (match !== undefined) this.#add({ rule, ...match, offset: this.#base + start + match.offset }, bytes, isWhole)
  }

  #add(secret: FoundSecret, bytes: Uint8Array, isWhole: boolean): void {
    this.#found.push({ ...secret, line: isWhole && isText(bytes) ? lineAt(bytes, secret.offset) : undefined })
  }
}

/** The secrets that are known by how they are written, in a short text. */
export function tokensInText(text: string): readonly FoundSecret[] {
  textScanner ??= new FileScanner()
  const bytes = new TextEncoder().encode(text)
  textScanner.begin('', bytes.length)
  textScanner.push(bytes)
  return textScanner.end().secrets
}

let textScanner: FileScanner | undefined

function matchToken(
  rule: TokenRule,
  pattern: RegExp,
  text: string,
  at: number,
): { readonly value: string; readonly offset: number } | undefined {
  pattern.lastIndex = at
  const match = pattern.exec(text)
  if (match === null || match.index > at) return undefined
  const [whole, value = whole] = match
  const isReal = rule.isReal?.(value, match) ?? (!isPlaceholder(value) && entropy(value) >= 3)
  return isReal ? { value, offset: match.index + whole.lastIndexOf(value) } : undefined
}

function textOf(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString(
    'latin1',
    start,
    Math.min(end, bytes.length),
  )
}

/** As git tells text from binary files. */
function isText(bytes: Uint8Array): boolean {
  return !bytes.subarray(0, 8000).includes(0)
}

function lineAt(bytes: Uint8Array, offset: number): number {
  let line = 1
  for (let at = bytes.indexOf(10); at >= 0 && at < offset; at = bytes.indexOf(10, at + 1)) line++
  return line
}

const severity: Readonly<Record<SecretLevel, number>> = { error: 0, warning: 1 }

/** Each secret once: of two rules that see the same bytes, the more severe or the more exact one. */
function withoutOverlaps(found: readonly FileSecret[]): readonly FileSecret[] {
  if (found.length < 2) return found
  const kept: FileSecret[] = []
  // What was found by how it is written comes before what a kind of file says, and sorting is stable.
  for (const secret of found.toSorted((a, b) => severity[a.rule.level] - severity[b.rule.level])) {
    const end = secret.offset + secret.value.length
    if (!kept.some((other) => secret.offset < other.offset + other.value.length && other.offset < end))
      kept.push(secret)
  }
  // An ID beside its key says nothing more.
  const hasKey = kept.some(({ rule }) => rule.id === 'aws-secret-access-key')
  return kept.filter(({ rule }) => !(hasKey && rule.id === 'aws-access-key-id')).toSorted((a, b) => a.offset - b.offset)
}
