import { recoverContainers } from '../../../containers/recovery.ts'
import { openStore, type Store, type StoreOptions } from '../../../content/store.ts'
import { CairnError, isCairnError } from '../../../errors/error.ts'
import { checkBlobs, checkSnapshots } from './check-bytes.ts'
import { checkContent, type FoundBlob, findBlobs } from './check-content.ts'
import { checkDirectories } from './check-directories.ts'
import { checkMirrors, checkRecords, checkRegistry } from './check-kept.ts'
import { checkSizes, checkSnapshotSizes, measureStore, type StoreSizes } from './check-sizes.ts'
import { ImageParts } from './image-parts.ts'
import { counted, type StoreProblem } from './problem.ts'
import { putDatabaseAside, salvage } from './salvage.ts'

export interface CheckOptions extends StoreOptions {
  /** Sets right what can be without taking anything that is whole. */
  readonly repair: boolean
  /** Looks at sizes of blobs and directories, and reads no layer. */
  readonly quick: boolean
  readonly signal: AbortSignal
  /** Environment of the command: where git is. */
  readonly env: Readonly<Record<string, string | undefined>>
}

/** A problem, and what became of it. */
export interface CheckedProblem extends Omit<StoreProblem, 'repair'> {
  /** `no` where only the user can set it right, or nobody asked for repairs. */
  readonly repaired: 'yes' | 'no' | 'failed'
}

/** What was looked at, and what is wrong. */
export interface StoreCheck {
  readonly root: string
  readonly blobs: number
  /** Bytes of the blobs that were read; 0 for a quick check. */
  readonly bytes: number
  readonly images: number
  readonly sizes: StoreSizes | undefined
  readonly problems: readonly CheckedProblem[]
}

/**
 * Checks the store at `root`: the database, every blob with its size and digest, what images, containers, build cache and
 * repositories need, directories, what was left behind, and sizes. As any command it first removes what processes that
 * died have left. Others may go on meanwhile; writers wait while records and directories are compared. Throws CANCELED, and
 * as openStore().
 */
export async function checkStore(root: string, options: CheckOptions): Promise<StoreCheck> {
  const before = await checkDatabase(root, options)
  if (before.isOver) return { root, blobs: 0, bytes: 0, images: 0, sizes: undefined, problems: before.problems }
  using store = openStore(root, options)
  recoverContainers(store)
  const { parts, blobs, found } = exclusively(store, () => compare(store))
  const inside = [...(await checkRecords(store, options.quick, options.signal))]
  if (!options.quick)
    inside.push(
      ...(await checkBlobs(store, blobs, parts, options.signal)),
      ...(await checkSnapshots(store, parts, options.signal)),
      ...checkSnapshotSizes(store),
      ...(await checkMirrors(store, options.env, options.signal)),
    )
  // What a damaged database does not tell of any more may be what containers wrote: that is for the user to look at.
  const isSalvaged = before.problems.length > 0
  const wanted = isSalvaged ? [...found, ...inside].map(keepStrays) : [...found, ...inside]
  const repaired = await finish([...wanted, ...parts.problems()], options.repair)
  const sizes = measureStore(store, findBlobs(store).blobs)
  return {
    root,
    blobs: blobs.length,
    bytes: options.quick ? 0 : blobs.reduce((total, { size }) => total + size, 0),
    images: store.database.one<{ count: number }>('SELECT count(*) AS count FROM images')?.count ?? 0,
    sizes,
    problems: [...before.problems, ...repaired, ...(await finish(checkSizes(sizes), false))],
  }
}

/** A directory that nothing owns is left where it is. */
function keepStrays(problem: StoreProblem): StoreProblem {
  if (problem.area !== 'leftovers' || !/^(snapshots|containers)\//.test(problem.subject)) return problem
  const { repair: _repair, ...rest } = problem
  return { ...rest, remedy: 'Look whether you need something of it: the next repair removes it.' }
}

/** Compares records and files. */
function compare(store: Store): {
  readonly parts: ImageParts
  readonly blobs: readonly FoundBlob[]
  readonly found: readonly StoreProblem[]
} {
  const { blobs, strange } = findBlobs(store)
  const parts = new ImageParts(store)
  return {
    parts,
    blobs,
    found: [...checkContent(store, parts, blobs, strange), ...checkDirectories(store), ...checkRegistry(store)],
  }
}

/** With nobody else writing meanwhile. */
function exclusively<Result>(store: Store, work: () => Result): Result {
  return store.isReadOnly ? work() : store.database.transaction(work)
}

async function finish(problems: readonly StoreProblem[], repair: boolean): Promise<CheckedProblem[]> {
  const done: CheckedProblem[] = []
  for (const { repair: set, ...problem } of problems)
    done.push({ ...problem, repaired: repair && set !== undefined ? await attempt(set) : 'no' })
  return done
}

async function attempt(repair: NonNullable<StoreProblem['repair']>): Promise<'yes' | 'failed'> {
  try {
    await repair()
    return 'yes'
  } catch (error) {
    if (!isCairnError(error)) throw error
    return 'failed'
  }
}

/** The database by itself; one that is damaged is the only thing that is told, unless it is to be repaired. */
async function checkDatabase(
  root: string,
  options: CheckOptions,
): Promise<{ readonly isOver: boolean; readonly problems: CheckedProblem[] }> {
  const fault = databaseFault(root, options)
  if (fault === undefined) return { isOver: false, problems: [] }
  const problem: CheckedProblem = {
    area: 'database',
    subject: 'cairn.db',
    problem: `${fault}: names of images, containers and the build cache are in it`,
    remedy:
      'Stop all cairn commands, then repair: what can be read goes into a new database, the old one is kept beside it.',
    repaired: 'no',
  }
  if (!options.repair) return { isOver: true, problems: [problem] }
  const movedTo = putDatabaseAside(root)
  using store = openStore(root, options)
  const { rows, images } = await salvage(store, movedTo)
  const became = `the old one is ${movedTo}; ${counted(rows, 'record')} were saved and ${counted(images, 'image')} found again without a name`
  return { isOver: false, problems: [{ ...problem, problem: `${fault}; ${became}`, repaired: 'yes' }] }
}

function databaseFault(root: string, options: CheckOptions): string | undefined {
  try {
    using store = openStore(root, options)
    const check = options.quick ? 'quick_check' : 'integrity_check'
    const rows = store.database
      .all<Record<string, string>>(`PRAGMA ${check}(5)`)
      .map((row) => Object.values(row)[0] ?? '')
    if (rows.length !== 1 || rows[0] !== 'ok') return `the database is damaged (${rows.join('; ')})`
    const foreign = store.database.all<{ table: string }>('PRAGMA foreign_key_check')
    const [first] = foreign
    return first === undefined ? undefined : `${counted(foreign.length, 'record')} of ${first.table} refer to nothing`
  } catch (error) {
    if (error instanceof CairnError && error.code === 'STORE_UNUSABLE' && /damaged/.test(error.message))
      return error.message
    throw error
  }
}
