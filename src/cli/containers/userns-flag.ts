import type { ContainerRequest } from '../../containers/settings.ts'
import { readUserMapping } from '../../containers/user-mapping.ts'
import { CairnError } from '../../errors/error.ts'

/**
 * `--userns`: `host`, `remap`, or what CAIRN_USERNS_REMAP says for all containers. Throws USAGE in docker's words,
 * NOT_SUPPORTED where there are no ranges of ids.
 */
export function parseUserns(
  mode: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): ContainerRequest['userns'] {
  const rule = env['CAIRN_USERNS_REMAP'] ?? ''
  if (mode === 'host') return 'host'
  if (mode === 'remap') return readUserMapping(rule === '' ? 'default' : rule, true)
  if (mode !== undefined && mode !== '') throw new CairnError('USAGE', '--userns: invalid USER mode')
  return rule === '' ? undefined : readUserMapping(rule, false)
}
