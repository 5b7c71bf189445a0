import type { AddInstruction, CopyInstruction } from '../../dockerfile/instruction.ts'
import { CairnError } from '../../errors/error.ts'
import { redactUrl } from '../../errors/redact.ts'
import { type Digest, isDigest } from '../../oci/digest.ts'
import { type GitReference, parseGitReference } from '../../remote/git-reference.ts'
import { fileNameOf } from '../../remote/http-url.ts'

/** A source of ADD that is neither in the context nor in a stage. */
export type RemoteSource =
  | {
      readonly kind: 'http'
      readonly url: string
      /** Without credentials. */
      readonly shown: string
      /** Name of the file, for a destination that is a directory. */
      readonly name: string
      readonly checksum: Digest | undefined
    }
  | { readonly kind: 'git'; readonly reference: GitReference; readonly shown: string; readonly keepGitDir: boolean }

/**
 * What the words of COPY or ADD name where they are URLs or git repositories; undefined for paths. `checksum` is that of
 * the instruction, expanded. Throws REFERENCE_INVALID, STEP_INVALID in BuildKit's words.
 */
export function remoteSourcesOf(
  words: readonly string[],
  instruction: CopyInstruction | AddInstruction,
  checksum: string | undefined,
): readonly (RemoteSource | undefined)[] {
  if (checksum !== undefined && words.length !== 1)
    throw new CairnError('STEP_INVALID', "checksum can't be specified for multiple sources")
  const sources = words.map((word) => remoteSource(word, instruction, checksum))
  if (checksum !== undefined && sources[0] === undefined)
    throw new CairnError('STEP_INVALID', 'checksum requires HTTP(S) or Git sources')
  return sources
}

function remoteSource(
  word: string,
  instruction: CopyInstruction | AddInstruction,
  checksum: string | undefined,
): RemoteSource | undefined {
  const reference = parseGitReference(word)
  const isGit = reference !== undefined && !reference.isAmbiguous
  const isHttp = !isGit && /^https?:\/\//.test(word)
  if (!isGit && !isHttp) return undefined
  if (instruction.kind === 'COPY')
    throw new CairnError(
      'STEP_INVALID',
      isGit ? "source can't be a git ref for COPY" : "source can't be a URL for COPY",
      {
        hint: 'Use ADD.',
      },
    )
  const shown = redactUrl(word)
  if (!isGit) return { kind: 'http', url: word, shown, name: fileNameOf(word), checksum: fileChecksum(checksum) }
  const { keepGitDir } = instruction
  if (keepGitDir !== undefined && reference.keepGitDir !== undefined && keepGitDir !== reference.keepGitDir)
    throw new CairnError('STEP_INVALID', 'inconsistent keep-git-dir configuration')
  if (checksum !== undefined && reference.checksum !== undefined && checksum !== reference.checksum)
    throw new CairnError(
      'STEP_INVALID',
      `checksum mismatch ${JSON.stringify(checksum)} != ${JSON.stringify(reference.checksum)}`,
    )
  return {
    kind: 'git',
    reference: { ...reference, checksum: reference.checksum ?? checksum },
    shown,
    keepGitDir: reference.keepGitDir ?? keepGitDir ?? false,
  }
}

function fileChecksum(text: string | undefined): Digest | undefined {
  if (text === undefined) return undefined
  if (!isDigest(text)) throw new CairnError('STEP_INVALID', `invalid checksum digest format: ${text}`)
  if (!text.startsWith('sha256:'))
    throw new CairnError('STEP_INVALID', `unsupported checksum ${text}: only sha256 can be checked`)
  return text
}
