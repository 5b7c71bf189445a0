import { CairnError } from '../errors/error.ts'

/**
 * Where the store is that no flag names: $CAIRN_ROOT, else /var/lib/cairn for root, else cairn in the user's data
 * directory. Throws STORE_UNUSABLE where nothing says where that is.
 */
export function defaultRoot(env: Readonly<Record<string, string | undefined>>, uid: number): string {
  const { CAIRN_ROOT: chosen, XDG_DATA_HOME: dataHome, HOME: home } = env
  if (chosen !== undefined && chosen !== '') return chosen
  if (uid === 0) return '/var/lib/cairn'
  // The XDG base directory specification has relative paths ignored.
  if (dataHome?.startsWith('/')) return `${dataHome}/cairn`
  if (home !== undefined && home !== '') return `${home}/.local/share/cairn`
  throw new CairnError('STORE_UNUSABLE', 'there is no place for the store: HOME is not set', {
    hint: 'Set HOME, XDG_DATA_HOME or CAIRN_ROOT, or give --root.',
  })
}
