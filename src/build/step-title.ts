/**
 * `[builder 2/4] RUN npm ci`, as BuildKit names steps: the step number padded to the width of the total, no stage
 * name in a file of one unnamed stage.
 */
export function renderStepTitle(step: {
  stage: string
  step: number
  total: number
  onbuild: boolean
  text: string
}): string {
  const number = String(step.step).padStart(String(step.total).length, ' ')
  const stage = step.stage === '' ? '' : `${step.stage} `
  return `[${stage}${number}/${step.total}] ${step.onbuild ? 'ONBUILD ' : ''}${step.text}`
}

/** First word in upper case: how BuildKit shows instructions. */
export function upperCaseCommand(text: string): string {
  const space = text.indexOf(' ')
  return space < 0 ? text.toUpperCase() : text.slice(0, space).toUpperCase() + text.slice(space)
}

/** First line of a heredoc with `...` when there are more. */
export function summarizeHeredoc(content: string): string {
  const lines = content.trim().replaceAll('\r\n', '\n').split('\n')
  return `${lines[0] ?? ''}${lines.length > 1 ? '...' : ''}`
}
