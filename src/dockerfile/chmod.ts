import { CairnError } from '../errors/error.ts'

/** What `--chmod` asks for. */
export interface ChmodMode {
  /** As written, variables replaced. */
  readonly text: string
  /** The permissions where they were given as an octal number: those also go to parent directories that are made. */
  readonly octal: number | undefined
  /** The permissions (12 bits) of a file that has `mode`; bits of `mode` above them are kept. */
  readonly apply: (mode: number, isDirectory: boolean) => number
}

/** Permissions with set-user-id, set-group-id and sticky. */
const allBits = 0o7777
/** What `a` and no class at all stand for: all but sticky. */
const everyone = 0o6777
const execute = 0o111

type Step = (mode: number, original: number, isDirectory: boolean) => number

/**
 * Reads a value of `--chmod`: an octal number up to 07777, or clauses as chmod(1) takes them (`u=rwX,go-w`, `g=u`,
 * `+t`), with a umask of 0. Throws DOCKERFILE_INVALID.
 */
export function parseChmod(text: string): ChmodMode {
  if (/^[0-9]/.test(text)) {
    const octal = /^[0-7]+$/.test(text) ? Number.parseInt(text, 8) : Number.NaN
    if (!(octal <= allBits)) throw invalid(text)
    return { text, octal, apply: (mode) => (mode & ~allBits) | octal }
  }
  const steps = text.split(',').flatMap((clause) => parseClause(clause, text))
  return {
    text,
    octal: undefined,
    apply: (mode, isDirectory) => steps.reduce((current, step) => step(current, mode, isDirectory), mode),
  }
}

/** POSIX chmod grammar: after an operator stands either one class to copy from, or letters. */
const clausePattern = /^([ugoa]*)((?:[-+=](?:[ugo](?![ugorstwxX])|[rstwxX]*))+)$/

function parseClause(clause: string, text: string): Step[] {
  const match = clausePattern.exec(clause)
  const actions = match?.[2]
  if (actions === undefined) throw invalid(text)
  const classes = match?.[1] ?? ''
  return [...actions.matchAll(/([-+=])([ugorstwxX]*)/g)].flatMap(([, operator = '+', letters = '']) =>
    /[ugo]/.test(letters) ? [copyAction(classes, operator, letters)] : letterAction(classes, operator, letters),
  )
}

function letterAction(classes: string, operator: string, letters: string): Step[] {
  const bits = classBits(classes)
  // Nobody but others: then set-id and sticky bits mean nothing.
  const onlyOthers = classes !== '' && !/[uga]/.test(classes)
  let plain = 0
  let sticky = 0
  let conditional = 0
  for (const letter of letters) {
    if (letter === 'r') plain |= 0o444
    else if (letter === 'w') plain |= 0o222
    else if (letter === 'x' || (letter === 'X' && operator === '-')) plain |= execute
    else if (letter === 'X') conditional = execute & bits
    else if (letter === 's') plain |= onlyOthers ? 0 : 0o6000
    else sticky = onlyOthers ? 0 : 0o1000
  }
  const change = (plain & bits) | sticky
  const first: Step =
    operator === '='
      ? (mode) => (mode & ~(bits | sticky)) | change
      : (mode) => (operator === '+' ? mode | change : mode & ~change)
  if (conditional === 0) return [first]
  return [
    first,
    (mode, original, isDirectory) => (isDirectory || (original & execute) !== 0 ? mode | conditional : mode),
  ]
}

/** Copies the permissions of one class to others; set-id bits stay as they are. */
function copyAction(classes: string, operator: string, source: string): Step {
  const bits = classBits(classes) & 0o777
  const shift = source === 'u' ? 6 : source === 'g' ? 3 : 0
  return (mode) => {
    const copied = (((mode >> shift) & 0o7) * 0o111) & bits
    if (operator === '=') return (mode & ~bits) | copied
    return operator === '+' ? mode | copied : mode & ~copied
  }
}

function classBits(classes: string): number {
  if (classes === '' || classes.includes('a')) return everyone
  let bits = 0
  if (classes.includes('u')) bits |= 0o4700
  if (classes.includes('g')) bits |= 0o2070
  if (classes.includes('o')) bits |= 0o007
  return bits
}

function invalid(text: string): CairnError {
  if (/^[0-9]/.test(text)) {
    const message = `invalid chmod parameter: '${text}'. it should be octal string and between 0 and 07777`
    return new CairnError('DOCKERFILE_INVALID', message)
  }
  return new CairnError('DOCKERFILE_INVALID', `invalid chmod parameter: '${text}'. invalid syntax`, {
    hint: 'Give an octal number such as 644, or clauses as chmod takes them such as u=rwX,go=rX.',
  })
}
