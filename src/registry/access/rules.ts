import { ConfigFields } from './config-fields.ts'
import { matchesName, matchesRepository } from './repository-pattern.ts'

/**
 * What may be done in a repository. `push` is to bring content and set new tags; a tag that is there moves to another
 * manifest by `overwrite` only.
 */
export const repositoryActions = ['pull', 'push', 'overwrite', 'delete'] as const

export type RepositoryAction = (typeof repositoryActions)[number]

/** Whoever it names may do these things in these repositories. */
export interface Rule {
  readonly repositories: readonly string[]
  /** Patterns of names of users. */
  readonly users: readonly string[]
  /** Whether those without a name count too. */
  readonly isAnonymous: boolean
  readonly allow: readonly RepositoryAction[]
}

/** Reads a file of rules, a list of `[[rules]]`. Throws CONFIG_INVALID naming the field. */
export function parseRules(text: string, path: string): readonly Rule[] {
  const file = ConfigFields.parse(text, path)
  const rules = file.tables('rules').map((fields) => {
    const rule: Rule = {
      repositories: fields.texts('repositories') ?? [],
      users: fields.texts('users') ?? [],
      isAnonymous: fields.flag('anonymous') ?? false,
      allow: fields.choices('allow', repositoryActions) ?? [],
    }
    fields.end()
    return rule
  })
  file.end()
  return rules
}

/** True when some rule allows it: rules only add to each other. `user` is undefined for who has no name. */
export function allows(
  rules: readonly Rule[],
  user: string | undefined,
  repository: string,
  action: RepositoryAction,
): boolean {
  return rules.some(
    (rule) =>
      rule.allow.includes(action) &&
      (user === undefined ? rule.isAnonymous : rule.isAnonymous || rule.users.some((one) => matchesName(one, user))) &&
      rule.repositories.some((pattern) => matchesRepository(pattern, repository, user)),
  )
}
