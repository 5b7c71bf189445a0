export interface Entry {
  readonly name: string
  readonly text: string
}

/** The guestbook as a page. What guests wrote is text, never markup. */
export function renderPage(title: string, entries: readonly Entry[]): string {
  const items = entries.map(({ name, text }) => `<li><b>${escape(name)}</b>: ${escape(text)}</li>`).join('\n')
  return `<!doctype html>
<title>${escape(title)}</title>
<h1>${escape(title)}</h1>
<ul>
${items}
</ul>
<form method="post"><input name="name" placeholder="Name"> <input name="text" placeholder="Hello"> <button>Sign</button></form>
`
}

function escape(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`)
}
