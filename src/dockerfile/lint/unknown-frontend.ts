import type { LintRule } from './rule.ts'

/** `# syntax=` with a frontend whose language Cairn does not know. */
export const unknownFrontend: LintRule = {
  name: 'UnknownFrontend',
  description: 'Frontends are not run; the file is read as a plain Dockerfile',
  on: {
    read({ rule, detail }, report) {
      if (rule === 'UnknownFrontend') report(detail)
    },
  },
}
