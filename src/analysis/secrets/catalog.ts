import { configRules } from './config-scanner.ts'
import { credentialFileRules } from './credential-files.ts'
import { privateKeyRules } from './private-keys.ts'
import type { SecretRule } from './secret-rule.ts'
import { tokenRules } from './token-rules.ts'

/** Every kind of secret that is looked for. */
export const secretRules: readonly SecretRule[] = [
  ...privateKeyRules,
  ...tokenRules,
  ...credentialFileRules,
  ...configRules,
]

/** Directories of what package managers install, and of tests and documentation within them. */
const managed =
  /(?:^|\/)(?:node_modules|site-packages|dist-packages|vendor|gems|go(?:-[\d.]+)?\/src|go\/pkg\/mod|registry\/src|usr\/share|usr\/(?:local\/)?lib\/[^/]+)\//
const samples =
  /\/(?:testdata|tests?|__tests__|fixtures|examples?|samples?|docs?|man\d?|[^/]+\.(?:egg|dist)-info)\/|_test\.go$|\.(?:test|spec)\.[cm]?[jt]s$/

/** A library of the distribution: those for cryptography carry the keys of their self-tests. */
const library = /^(?:usr\/)?lib(?:32|64|x32)?\/(?:[^/]+\/)?[^/]+\.so(?:\.[\d.]+)?$/

/**
 * True for files in the tests and documentation of installed packages, and for the distribution's own libraries: they
 * show keys that everybody has.
 */
export function isPublicSample(path: string): boolean {
  return library.test(path) || (managed.test(path) && samples.test(path))
}
