/**
 * What may be shown of a secret: its first four characters, fewer of a short one (never more than a quarter), and how
 * many there are.
 */
export function redactSecret(value: string): string {
  const shown = Math.min(4, Math.floor(value.length / 4))
  return `${value.slice(0, shown)}… (${value.length} characters)`
}

/** Shorter values are words that stand in texts for other reasons. */
const shortestReplaced = 6

/** Takes every known secret out of texts that are shown, such as instructions. */
export class SecretMask {
  readonly #values = new Set<string>()

  add(value: string): void {
    for (const line of value.split(/\r?\n/)) if (line.length >= shortestReplaced) this.#values.add(line)
  }

  apply(text: string): string {
    let masked = text
    // Longest first: a secret may be part of another.
    for (const value of [...this.#values].sort((a, b) => b.length - a.length))
      if (masked.includes(value)) masked = masked.replaceAll(value, redactSecret(value))
    return masked
  }
}
