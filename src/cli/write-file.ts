import { openFileSink } from '../linux/file-sink.ts'

/** Writes the text file that a flag names, as {@link openFileSink} does. Throws SystemCallError naming it. */
export function writeFile(path: string, text: string): void {
  using file = openFileSink(path)
  file.write(new TextEncoder().encode(text))
  file.commit()
}
