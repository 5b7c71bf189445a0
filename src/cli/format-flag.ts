/** The definition of `--format` for commands that print a list. */
export const listFormatFlag = {
  type: 'string',
  default: '',
  summary:
    "Format output using a custom template:\n'table':            Print output in table format with column headers (default)\n'table TEMPLATE':   Print output in table format using the given Go template\n'json':             Print in JSON format\n'TEMPLATE':         Print output using the given Go template.",
} as const

/** The definition of `--format` for commands that print objects. */
export const objectFormatFlag = {
  type: 'string',
  short: 'f',
  default: '',
  summary:
    "Format output using a custom template:\n'json':             Print in JSON format\n'TEMPLATE':         Print output using the given Go template.",
} as const
