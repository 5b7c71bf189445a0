/** A template that cannot be read: what is wrong, and where. */
export class TemplateSyntaxError extends Error {
  override readonly name = 'TemplateSyntaxError'
  /** Offset in the template, in UTF-16 units. */
  readonly at: number

  constructor(message: string, at: number) {
    super(message)
    this.at = at
  }
}

/** A template that failed while it ran. `at` and `context` name the part of the template. */
export class TemplateRunError extends Error {
  override readonly name = 'TemplateRunError'
  readonly at: number
  /** The text of the part, as Go prints it. */
  readonly context: string
  /** Name of the template it belongs to. */
  readonly template: string
  /** What would have been right, for the user. */
  readonly hint: string | undefined

  constructor(message: string, where: { at: number; context: string; template: string; hint?: string | undefined }) {
    super(message)
    this.at = where.at
    this.context = where.context
    this.template = where.template
    this.hint = where.hint
  }
}
