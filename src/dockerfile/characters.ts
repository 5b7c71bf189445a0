/** Space as the Dockerfile language counts it (Go's `unicode.IsSpace`; JavaScript's `\s` differs in two characters). */
export function isSpace(char: string): boolean {
  const code = char.charCodeAt(0)
  if (code < 0x80) return code === 0x20 || (code >= 0x09 && code <= 0x0d)
  if (code === 0x85 || code === 0xa0) return true
  if (code < 0x1680) return false
  return (
    code === 0x1680 ||
    (code >= 0x2000 && code <= 0x200a) ||
    code === 0x2028 ||
    code === 0x2029 ||
    code === 0x202f ||
    code === 0x205f ||
    code === 0x3000
  )
}

/** `text` without leading space. */
export function trimSpaceLeft(text: string): string {
  let start = 0
  while (start < text.length && isSpace(text.charAt(start))) start++
  return text.slice(start)
}

/** `text` without leading and trailing space. */
export function trimSpace(text: string): string {
  let start = 0
  let end = text.length
  while (start < end && isSpace(text.charAt(start))) start++
  while (end > start && isSpace(text.charAt(end - 1))) end--
  return text.slice(start, end)
}

const shortEscapes: Readonly<Record<string, string>> = {
  '\u0007': '\\a',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
  '\v': '\\v',
  '\\': '\\\\',
  '"': '\\"',
}

/** `text` in double quotes with Go's escapes (`strconv.Quote`), the form BuildKit's messages and history use. */
export function quoteGo(text: string): string {
  if (/^[\x20\x21\x23-\x5b\x5d-\x7e]*$/.test(text)) return `"${text}"`
  let out = '"'
  for (const char of text) {
    const short = shortEscapes[char]
    if (short !== undefined) out += short
    else if (/^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$/u.test(char)) out += char
    else out += escapeCodePoint(char.codePointAt(0) ?? 0)
  }
  return `${out}"`
}

function escapeCodePoint(code: number): string {
  if (code < 0x80) return `\\x${code.toString(16).padStart(2, '0')}`
  if (code < 0x10000) return `\\u${code.toString(16).padStart(4, '0')}`
  return `\\U${code.toString(16).padStart(8, '0')}`
}

/** The first `limit` characters of `text`, with `…` where something was cut: for messages. */
export function shorten(text: string, limit = 200): string {
  return text.length <= limit ? text : `${text.slice(0, limit)}…`
}

/** Like {@link shorten} with its last part kept, where messages say what is wrong. */
export function shortenMiddle(text: string, limit: number): string {
  const kept = limit >> 2
  return text.length <= limit ? text : `${text.slice(0, limit - kept)}…${text.slice(-kept)}`
}

/** `text` with control characters but tabs and line ends shown as `^X`: what a file says cannot drive the terminal. */
export function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what is looked for
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f\u0080-\u009f]/g, (char) => {
    const code = char.charCodeAt(0)
    return code < 0x20 ? `^${String.fromCharCode(code + 64)}` : code === 0x7f ? '^?' : '\ufffd'
  })
}
