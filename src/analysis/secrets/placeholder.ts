/** Parts of values that stand for a value. */
const standIns =
  /example|change[-_ ]?(?:me|it|this)|placeholder|redacted|xxxx|dummy|your[-_ ]|yourp|replace[-_ ]?(?:me|this)|not[-_ ]?a?[-_ ]?secret|\.\.\.|…|\*\*\*|<[^>]*>|\$\{|\$\(|\{\{|%\(|\[[a-z_ -]+\]/i

/** A variable and nothing else: `$TOKEN`, `%TOKEN%`, `@TOKEN@`, `{token}`, `:token`. */
const variable = /^(?:\$[A-Za-z_]\w*|%\w+%|%[sdvq]|@\w+@|\{\w*\}|:\w+)$/

/** Values that documentation and defaults use where a secret belongs. */
const words: ReadonlySet<string> = new Set(
  (
    'admin administrator bar baz default empty foo foobar guest hidden none null nil optional pass passphrase passwd ' +
    'password postgres pw pwd root secret string test testing tiger token true false undefined unset user username value ' +
    'yes no key apikey mypass mypassword mysecret mytoken mysecretpassword secretpassword'
  ).split(' '),
)

/** True for what stands where a secret would: examples, `changeme`, `xxxx`, `${VAR}`, `<token>`, a single character repeated. */
export function isPlaceholder(value: string): boolean {
  const text = value.trim()
  if (text.length < 4 || standIns.test(text) || variable.test(text) || /^(.)\1*$/.test(text)) return true
  return words.has(text.toLowerCase())
}

/** Shannon entropy of a text in bits for each character; 0 for the empty text. */
export function entropy(text: string): number {
  const counts = new Map<string, number>()
  for (const character of text) counts.set(character, (counts.get(character) ?? 0) + 1)
  let bits = 0
  for (const count of counts.values()) bits -= (count / text.length) * Math.log2(count / text.length)
  return bits
}
