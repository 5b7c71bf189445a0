import type { LintRule } from './rule.ts'

/** MAINTAINER or LABEL with bytes that are no UTF-8; elsewhere they are an error. */
export const invalidEncoding: LintRule = {
  name: 'InvalidEncoding',
  description: 'A Dockerfile should be UTF-8; other bytes do not reach the image as they are',
  on: {
    read({ rule, detail }, report) {
      if (rule === 'InvalidEncoding') report(detail)
    },
  },
}
