import type { Store } from '../content/store.ts'

/**
 * Bun without what it would take from the directory it is called in: variables of `.env`, code that `bunfig.toml` has run first,
 * other files for modules by `tsconfig.json`, packages from elsewhere. The compiled binary looks for none of them (scripts/build.sh).
 */
const nothingFromHere = ['--no-env-file', '--config=/dev/null', '--tsconfig-override=/dev/null', '--no-install']

/** The program that this very Cairn is, and the words that every call of it begins with. */
export function ownProgram(): readonly string[] {
  // The compiled binary holds its sources below a path of Bun's own.
  const isCompiled = import.meta.dir.startsWith('/$bunfs')
  return isCompiled ? [process.execPath] : [process.execPath, ...nothingFromHere, `${import.meta.dir}/../main.ts`]
}

/** The command line that calls this very Cairn about the store: what monitors and waiting processes run later. */
export function ownCommand(store: Store, ...words: readonly string[]): readonly string[] {
  return [...ownProgram(), '--root', store.root, ...words]
}
