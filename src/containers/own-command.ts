import type { Store } from '../content/store.ts'

/** The command line that calls this very Cairn about the store: what monitors and waiting processes run later. */
export function ownCommand(store: Store, ...words: readonly string[]): readonly string[] {
  // The compiled binary holds its sources below a path of Bun's own.
  const isCompiled = import.meta.dir.startsWith('/$bunfs')
  const program = isCompiled ? [process.execPath] : [process.execPath, `${import.meta.dir}/../main.ts`]
  return [...program, '--root', store.root, ...words]
}
