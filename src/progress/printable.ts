/**
 * One line without what could move the cursor, set the terminal or reorder the line: names of steps, and why they ran, come from the
 * outside. Ends of lines and tabs become spaces.
 */
export function printable(text: string): string {
  return Bun.stripANSI(text)
    .replace(/[\r\n]+|\t/g, ' ')
    .replace(/[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]/g, '')
}
