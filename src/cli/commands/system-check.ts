import { type CheckedProblem, checkStore, type StoreCheck } from '../../engine/store/check/check-store.ts'
import { usageError } from '../../errors/error.ts'
import { defineCommand } from '../command.ts'
import { storeOptions } from '../open-store.ts'
import { formatByteSize } from '../units.ts'

export default defineCommand({
  usage: '[OPTIONS]',
  description:
    'Checks all of the store: the database, every blob with its digest, what images, containers and the build cache need,\nunpacked layers against the layers, directories that nothing owns, and whether "system df" tells the truth. Prints a line\nfor each problem with what it means and what to do; status 1 where there is any. Other commands may run meanwhile.',
  examples: [
    { text: 'Sizes and references only, without reading layers', command: 'cairn system check --quick' },
    { text: 'Set right what can be; whole images are never touched', command: 'cairn system check --repair' },
  ],
  args: { max: 0 },
  flags: {
    format: {
      type: 'string',
      default: '',
      summary: "Format output: 'json' prints one object with all problems",
      complete: ['json'],
    },
    quick: { type: 'bool', summary: 'Check sizes and references, and read no layer' },
    repair: {
      type: 'bool',
      summary: 'Remove what was left behind, forget records of what is gone, unpack damaged layers again',
    },
  },
  async run(ctx, flags) {
    checkFormat(flags.format)
    const { signal } = ctx
    const check = await checkStore(ctx.root, {
      ...storeOptions(ctx),
      isFreeing: flags.repair,
      repair: flags.repair,
      quick: flags.quick,
      signal,
      env: ctx.env,
    })
    ctx.stdout.write(flags.format === 'json' ? `${JSON.stringify(check)}\n` : describe(check, flags.quick))
    return check.problems.some(({ repaired }) => repaired !== 'yes') ? 1 : 0
  },
})

function checkFormat(format: string): void {
  if (format !== '' && format !== 'json')
    throw usageError(`invalid format: ${format}`, { hint: 'The only format is json.' })
}

function describe({ root, blobs, bytes, images, sizes, problems }: StoreCheck, isQuick: boolean): string {
  const lines = problems.map(line)
  const looked = isQuick ? `${blobs} blobs` : `${blobs} blobs (${formatByteSize(bytes, 3)} read)`
  const size =
    sizes === undefined
      ? ''
      : `; ${formatByteSize(sizes.found, 4)} in files, ${formatByteSize(sizes.told, 4)} by system df, database ${formatByteSize(sizes.database, 3)}`
  const left = problems.filter(({ repaired }) => repaired !== 'yes').length
  const outcome =
    problems.length === 0 ? 'ok' : left === 0 ? 'repaired' : `${left} ${left === 1 ? 'problem' : 'problems'}`
  return `${lines.join('')}${root}: ${outcome}; ${images} images, ${looked}${size}\n`
}

function line({ area, subject, problem, remedy, repaired }: CheckedProblem): string {
  const outcome = { yes: 'Repaired.', failed: 'It could not be repaired.', no: remedy }[repaired]
  return `${area}: ${subject}: ${problem}. ${outcome}\n`
}
