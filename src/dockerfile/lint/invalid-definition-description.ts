import { type LintRule, ruleUrl } from './rule.ts'

/** A comment directly above FROM or ARG that describes neither the stage nor one of the arguments. */
export const invalidDefinitionDescription: LintRule = {
  name: 'InvalidDefinitionDescription',
  description:
    'Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. If this is not intended to be a description comment, add an empty line or comment between the instruction and the comment.',
  url: ruleUrl('invalid-definition-description'),
  experimental: true,
  on: {
    instruction(instruction, report) {
      const { kind, comments } = instruction
      if (kind !== 'FROM' && kind !== 'ARG') return
      const names = kind === 'ARG' ? instruction.args.map(({ key }) => key) : [instruction.name]
      const [name] = names
      // A `# check=` says something about the instruction, not about what it defines.
      const comment = comments?.findLast((line) => !/^check\s*=/i.test(line))
      if (name === undefined || comment === undefined || names.includes(comment.split(' ', 1)[0])) return
      const example = names.length > 1 ? '<arg_key>' : name
      report(`Comment for ${kind} should follow the format: \`# ${example} <description>\``)
    },
  },
}
