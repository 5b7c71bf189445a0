/**
 * A URL or reference as it may be shown: user info is dropped and every query value that could be a credential is
 * replaced. Text that is no URL is returned as it is.
 */
export function redactUrl(text: string): string {
  if (!text.includes('://')) return text
  let url: URL
  try {
    url = new URL(text)
  } catch {
    return text.replace(/\/\/[^/@\s]*@/, '//')
  }
  if (url.username !== '' || url.password !== '') {
    url.username = ''
    url.password = ''
  }
  for (const key of Array.from(url.searchParams.keys())) {
    if (/token|secret|password|signature|credential|key|auth/i.test(key)) url.searchParams.set(key, 'xxxxx')
  }
  return url.toString()
}
