import { trimSpaceLeft } from './characters.ts'
import { DirectiveReader } from './directives.ts'
import type { SourceRange } from './instruction.ts'
import { splitSource } from './source-lines.ts'

/** The frontend a file asks for. */
export interface SyntaxRequest {
  /** The frontend's image. */
  readonly frontend: string
  /** The whole value; what follows the image are arguments for it. */
  readonly commandLine: string
  readonly range: SourceRange
}

/**
 * The frontend that a build file asks for by `# syntax=`, `// syntax=` or a JSON object's `"syntax"`; undefined
 * where it asks for none. Never throws: a file of another frontend need not be a Dockerfile.
 */
export function detectSyntax(source: Uint8Array | string): SyntaxRequest | undefined {
  const { lines } = splitSource(source)
  for (const marker of ['#', '//']) {
    const reader = new DirectiveReader(marker)
    for (const line of lines) {
      const found = reader.read(line)
      if (reader.done) break
      if (found === undefined || 'error' in found || found.name !== 'syntax') continue
      return {
        frontend: found.value.split(' ', 1)[0] ?? found.value,
        commandLine: found.value,
        range: { start: found.line, end: found.line },
      }
    }
  }
  const body = lines[0]?.startsWith('#!') === true ? lines.slice(1) : lines
  return syntaxOfJson(body.join('\n'))
}

function syntaxOfJson(text: string): SyntaxRequest | undefined {
  if (!trimSpaceLeft(text).startsWith('{')) return undefined
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof value !== 'object' || value === null || !('syntax' in value) || typeof value.syntax !== 'string') {
    return undefined
  }
  return { frontend: value.syntax, commandLine: value.syntax, range: { start: 1, end: 1 } }
}

/** The frontend that turns Cairn's extensions of the language on. */
const extensionsFrontend = 'cairn/dockerfile:1'

/** How to turn the extensions on: for messages about one that is used without. */
export const extensionsHint = `This extension of the language needs "# syntax=${extensionsFrontend}" as the first line.`

/**
 * Which language a frontend's image stands for: docker's Dockerfile (also from a mirror, and BuildKit's name for its
 * own parser), docker's with Cairn's extensions, or one that Cairn does not know.
 */
export function frontendLanguage(frontend: string): 'docker' | 'cairn' | 'unknown' {
  if (frontend === extensionsFrontend) return 'cairn'
  const isDocker =
    frontend === 'dockerfile.v0' || /^(.*\/)?docker\/dockerfile(-upstream)?(:[^/]*)?(@[^/]*)?$/.test(frontend)
  return isDocker ? 'docker' : 'unknown'
}
