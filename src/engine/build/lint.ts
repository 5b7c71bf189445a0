import { parseCheckOptions } from '../../dockerfile/directives.ts'
import { DockerfileError } from '../../dockerfile/dockerfile-error.ts'
import { renderExcerpt } from '../../dockerfile/excerpt.ts'
import type { CheckOptions, Dockerfile, ReadText } from '../../dockerfile/instruction.ts'
import { type Finding, lintFile, Linter, lintText } from '../../dockerfile/lint/linter.ts'
import { parseDockerfile, type ParseOptions } from '../../dockerfile/parser.ts'
import { isCairnError, reworded } from '../../errors/error.ts'
import type { ProgressListener } from '../../progress/events.ts'
import type { DockerfileText } from './dockerfile-text.ts'

/** What a linter and its warnings need of a file. */
export type LintedText = Pick<ReadText, 'filename' | 'source' | 'lines' | 'check'>

/** Makes the linter that judges a file, once it is read; `definition` is the step that read it. */
export type MakeLinter = (text: LintedText, definition: string) => Linter

/** The step that reads a Dockerfile, as progress shows it. */
export function definitionStep(filename: string): string {
  return `[internal] load build definition from ${filename}`
}

/** Linters whose findings are shown as BuildKit shows them: as warnings of the step that reads the Dockerfile. */
export function progressLinter(buildArgs: ReadonlyMap<string, string>, progress: ProgressListener): MakeLinter {
  return (text, vertex) =>
    new Linter(checkOptions(text, buildArgs), (finding) => {
      const { rule, range } = finding
      const { filename, source: data } = range.file ?? text
      progress({
        type: 'warning',
        vertex,
        level: 1,
        short: shortText(finding),
        detail: [rule.description],
        ...(rule.url === undefined ? {} : { url: rule.url }),
        source: { filename, data, start: range.start, end: range.end, excerpt: renderExcerpt(text, range) },
      })
    })
}

/** `Rule: what is wrong (line 3)`. */
function shortText({ rule, detail, range: { start, file } }: Finding): string {
  return `${rule.name}: ${detail} (${file === undefined ? '' : `${file.filename} `}line ${start})`
}

/**
 * What `# check=` says, or the build argument that replaces it. Throws DOCKERFILE_INVALID for a build argument that
 * cannot be read.
 */
export function checkOptions({ check }: LintedText, buildArgs: ReadonlyMap<string, string>): CheckOptions {
  const given = buildArgs.get('BUILDKIT_DOCKERFILE_CHECK')
  if (given === undefined) return check
  try {
    return parseCheckOptions(given)
  } catch (error) {
    if (!isCairnError(error)) throw error
    const message = `failed to parse build-arg:BUILDKIT_DOCKERFILE_CHECK: ${error.message}`
    throw reworded(error, message)
  }
}

/** A Dockerfile, and the linter that goes on judging it while it is planned. */
export interface LintedDockerfile {
  readonly dockerfile: Dockerfile
  readonly linter: Linter | undefined
  /** Id of the step that read it, which warnings belong to. */
  readonly definition: string
}

/**
 * Reads a Dockerfile and judges what its text shows. One with problems is judged up to the first of them. Throws as
 * parseDockerfile, and as `makeLinter`.
 */
export function parseLinted(
  { bytes, name }: DockerfileText,
  options: ParseOptions,
  { makeLinter, definition }: { readonly makeLinter: MakeLinter | undefined; readonly definition: string },
): LintedDockerfile {
  try {
    const dockerfile = parseDockerfile(bytes, name, options)
    const linter = makeLinter?.(dockerfile, definition)
    if (linter !== undefined) lintFile(linter, dockerfile)
    return { dockerfile, linter, definition }
  } catch (error) {
    if (makeLinter !== undefined && error instanceof DockerfileError && error.readBefore !== undefined)
      lintText(makeLinter(error.readBefore, definition), error.readBefore)
    throw error
  }
}
