import { CairnError } from '../errors/error.ts'
import type { InstructionNode } from './ast.ts'
import type { DockerfileProblem } from './dockerfile-error.ts'
import type { SourceRange, Warning } from './instruction.ts'
import { lexDockerfile } from './lexer.ts'

/** A file that an INCLUDE names. */
export interface IncludedSource {
  /** As messages name it; one file has one name, whatever way led to it. */
  readonly filename: string
  readonly bytes: Uint8Array
}

/**
 * Reads the file that `path`, written in the file `from` (undefined is the Dockerfile), names. Throws a CairnError
 * for one that cannot be read or may not be.
 */
export type ReadInclude = (path: string, from: string | undefined) => IncludedSource

/** INCLUDEs within INCLUDEs may go this deep. */
const maxDepth = 32
/** A Dockerfile may include this many files, each counted as often as it is included. */
const maxFiles = 1000
/** Bytes that all included files may have together. */
const maxBytes = 16 * 1024 * 1024

/** What an included file holds: its instructions, INCLUDEs among them, and what is odd or wrong in its text. */
export interface IncludedNodes {
  readonly nodes: readonly InstructionNode[]
  readonly warnings: readonly Warning[]
  readonly problems: readonly DockerfileProblem[]
}

const nothing: IncludedNodes = { nodes: [], warnings: [], problems: [] }

/** Opens the files that one Dockerfile includes and sees to it that this comes to an end. */
export class IncludeReader {
  readonly #read: ReadInclude | undefined
  readonly #filename: string
  readonly #escape: '\\' | '`'
  #files = 0
  #bytes = 0

  /** `filename` names the Dockerfile; without `read` every INCLUDE fails. */
  constructor(read: ReadInclude | undefined, filename: string, escape: '\\' | '`') {
    this.#read = read
    this.#filename = filename
    this.#escape = escape
  }

  /** The instructions that stand for the INCLUDE of `path` at `range`. Throws DOCKERFILE_INVALID, or what reading throws. */
  open(path: string, range: SourceRange): IncludedNodes {
    if (this.#read === undefined) {
      throw new CairnError('DOCKERFILE_INVALID', `INCLUDE ${path}: there is no directory to read files from`, {
        hint: 'Give the directory as build context, and the Dockerfile with -f.',
      })
    }
    // Said once is enough; what would follow is not looked at.
    if (this.#files > maxFiles || this.#bytes > maxBytes) return nothing
    const source = this.#read(path, range.file?.filename)
    this.#checkChain(source.filename, range)
    if (++this.#files > maxFiles) throw tooMuch(`more than ${maxFiles} files`)
    if ((this.#bytes += source.bytes.length) > maxBytes) throw tooMuch(`more than ${maxBytes} bytes`)
    return lexDockerfile(source.bytes, { filename: source.filename, includedAt: range, escape: this.#escape })
  }

  /** A file that includes itself, through others or not, would never end. */
  #checkChain(filename: string, range: SourceRange): void {
    const chain = [filename]
    for (let file = range.file; file !== undefined; file = file.includedAt.file) chain.unshift(file.filename)
    chain.unshift(this.#filename)
    if (chain.indexOf(filename) < chain.length - 1) {
      throw new CairnError('DOCKERFILE_INVALID', `INCLUDE goes round in a circle: ${chain.join(' → ')}`)
    }
    if (chain.length - 1 > maxDepth) {
      const shown = [...chain.slice(0, 3), '…', ...chain.slice(-2)].join(' → ')
      throw new CairnError('DOCKERFILE_INVALID', `INCLUDE is nested more than ${maxDepth} deep: ${shown}`)
    }
  }
}

function tooMuch(what: string): CairnError {
  return new CairnError('DOCKERFILE_INVALID', `the Dockerfile includes ${what}`)
}
