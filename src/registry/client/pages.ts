import { CairnError } from '../../errors/error.ts'
import type { HttpAnswer } from './http-exchange.ts'

const mostPages = 10_000

/**
 * The answers to a list, page by page as they are asked for: `ask` gets the path and query of each, `first` to begin with.
 * Where a registry names its next page at another host, as those do that do not know their own name, the page of that path
 * at the registry itself is meant (RFC 8288, distribution-spec §listing-tags). Throws REGISTRY_INVALID for a page that
 * leads back to one before, LIMIT_EXCEEDED after 10000 pages, both calling the list `name`, and what `ask` throws.
 */
export async function* pagesOf(
  first: string,
  name: string,
  ask: (target: string) => Promise<HttpAnswer>,
): AsyncGenerator<HttpAnswer> {
  const asked = new Set<string>()
  for (let target: string | undefined = first; target !== undefined;) {
    if (asked.has(target))
      throw new CairnError(
        'REGISTRY_INVALID',
        `the ${name} does not end: its pages lead back to ${target.slice(0, 200)}`,
      )
    if (asked.size === mostPages)
      throw new CairnError('LIMIT_EXCEEDED', `the ${name} does not end within ${mostPages} pages`)
    asked.add(target)
    const answer: HttpAnswer = await ask(target)
    yield answer
    target = nextPage(answer)
  }
}

/** Path and query of the page after an answer, undefined after the last. */
function nextPage({ headers, url }: HttpAnswer): string | undefined {
  const target = /<([^>]+)>\s*;[^,]*rel="?next"?/.exec(headers.get('link') ?? '')?.[1]
  if (target === undefined || !URL.canParse(target, url.href)) return undefined
  const { pathname, search } = new URL(target, url)
  return `${pathname}${search}`
}
