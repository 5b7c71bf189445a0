/**
 * A URL or reference as it may be shown: user info is dropped, save the name of an SSH user, and every query value that
 * could be a credential is replaced. Text that is no URL, or has nothing to hide, is returned as it is.
 */
export function redactUrl(text: string): string {
  if (!text.includes('://')) return text
  let url: URL
  try {
    url = new URL(text)
  } catch {
    return text.replace(/\/\/[^/@\s]*@/, '//')
  }
  const hidden = Array.from(url.searchParams.keys()).filter((key) =>
    /token|secret|password|passwd|signature|credential|key|auth|^(?:sig|pwd|pass|jwt)$/i.test(key),
  )
  const isName = url.protocol === 'ssh:' || url.username === ''
  if (isName && url.password === '' && hidden.length === 0) return text
  if (!isName) url.username = ''
  url.password = ''
  for (const key of hidden) url.searchParams.set(key, 'xxxxx')
  return url.toString()
}

/** Text with every URL in it as {@link redactUrl} shows it. Takes time that grows with the text's length. */
export function redactUrls(text: string): string {
  return text.replace(/(?<![a-z])[a-z]+:\/\/[^\s"',\]]+/gi, redactUrl)
}
