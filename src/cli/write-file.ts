import { rename } from '../linux/names.ts'
import { CairnError } from '../errors/error.ts'

/** Writes a file that is there whole or not at all. Throws PERMISSION_DENIED or FILE_UNKNOWN naming it. */
export async function writeFileAtomic(path: string, text: string): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`
  try {
    await Bun.write(temporary, text, { createPath: false })
    rename(temporary, path)
  } catch (cause) {
    throw new CairnError(
      'PERMISSION_DENIED',
      `cannot write ${path}: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    )
  }
}
