/**
 * What the comments above a FROM or ARG say about the stage or argument it defines, as `# name text`; empty where they
 * say nothing. Dockerfile reference, "Descriptive comments" of `--call=outline`.
 */
export function docComment(name: string, comments: readonly string[] = []): string {
  const prefix = `${name} `
  return comments.find((line) => line.startsWith(prefix))?.slice(prefix.length) ?? ''
}
