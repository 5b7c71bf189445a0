import { CairnError } from '../errors/error.ts'

/** The account files of a root file system, as text; absent where the image has none. */
export interface AccountFiles {
  /** /etc/passwd */
  readonly passwd?: string
  /** /etc/group */
  readonly group?: string
}

/** Whom a process runs as. */
export interface ResolvedUser {
  readonly uid: number
  readonly gid: number
  /** Supplementary groups, those of the file in its order, without duplicates. */
  readonly additionalGids: readonly number[]
  /** Home directory, `/` for a uid without an account. */
  readonly home: string
  /** Account name, absent for a uid without an account. */
  readonly name?: string
}

interface Account {
  readonly name: string
  readonly uid: number
  readonly gid: number
  readonly home: string
}

interface Group {
  readonly name: string
  readonly gid: number
  readonly members: readonly string[]
}

/**
 * The user that `USER` or `--user` names: `user`, `uid`, `user:group`, any of them a name or a number, empty for uid 0.
 * As docker does it: a number without an account is good and gets group 0; a user alone brings its primary and
 * supplementary groups, with a group it has that one only. Throws USER_UNKNOWN for a name that is in no file.
 */
export function resolveUser(spec: string, files: AccountFiles): ResolvedUser {
  const [userPart, groupPart] = split(spec)
  const wanted = number(userPart)
  if (wanted !== undefined) checkRange(spec, wanted)
  const account = accounts(files.passwd).find((entry) =>
    userPart === '' ? entry.uid === 0 : entry.name === userPart || entry.uid === wanted,
  )
  if (account === undefined && wanted === undefined && userPart !== '') throw unknownUser(userPart)
  const person = {
    uid: account?.uid ?? wanted ?? 0,
    home: account?.home ?? '/',
    ...(account === undefined ? {} : { name: account.name }),
  }
  if (groupPart !== '') return { ...person, gid: resolveGroup(spec, groupPart, files), additionalGids: [] }

  const memberships = groups(files.group).filter(
    (group) => account !== undefined && group.members.includes(account.name),
  )
  return {
    ...person,
    gid: account?.gid ?? 0,
    additionalGids: [...new Set(memberships.map((group) => group.gid))],
  }
}

/** Owner of files. */
export interface Owner {
  readonly uid: number
  readonly gid: number
}

/**
 * The owner that `--chown` of COPY and ADD names: `user`, `user:group`, `:group`. A name alone brings its primary
 * group, a number alone is the gid too, and `user:` is as `user`. Throws USER_UNKNOWN for a name that is in no file.
 */
export function resolveOwner(spec: string, files: AccountFiles): Owner {
  const [userPart, groupPart] = split(spec)
  const wanted = number(userPart)
  if (wanted !== undefined) checkRange(spec, wanted)
  const account = wanted === undefined ? accounts(files.passwd).find((entry) => entry.name === userPart) : undefined
  if (userPart !== '' && wanted === undefined && account === undefined) throw unknownUser(userPart)
  const uid = wanted ?? account?.uid ?? 0
  if (groupPart !== '') return { uid, gid: resolveGroup(spec, groupPart, files) }
  return { uid, gid: account?.gid ?? wanted ?? 0 }
}

function resolveGroup(spec: string, groupPart: string, files: AccountFiles): number {
  const wanted = number(groupPart)
  if (wanted !== undefined) checkRange(spec, wanted)
  const group = groups(files.group).find((entry) => entry.name === groupPart || entry.gid === wanted)
  const gid = group?.gid ?? wanted
  if (gid === undefined)
    throw new CairnError('USER_UNKNOWN', `unable to find group ${groupPart}: no matching entries in group file`, {
      hint: `Create it in the image first (groupadd or addgroup), or give its number.`,
    })
  return gid
}

function unknownUser(name: string): CairnError {
  return new CairnError('USER_UNKNOWN', `unable to find user ${name}: no matching entries in passwd file`, {
    hint: `Create it in the image first (useradd or adduser), or give its number.`,
  })
}

function split(spec: string): [user: string, group: string] {
  const colon = spec.indexOf(':')
  return colon < 0 ? [spec, ''] : [spec.slice(0, colon), spec.slice(colon + 1)]
}

function number(text: string): number | undefined {
  return /^[+-]?\d+$/.test(text) ? Number(text) : undefined
}

const maxId = 2 ** 31 - 1

function checkRange(spec: string, id: number): void {
  if (id < 0 || id > maxId)
    throw new CairnError('USER_UNKNOWN', `user ${JSON.stringify(spec)}: uids and gids must be in range 0-${maxId}`)
}

/** Lines of passwd(5). Lines whose ids are no numbers are left out: taking them for 0 would make somebody root. */
function accounts(text: string | undefined): Account[] {
  return records(text).flatMap(([name = '', , uid = '', gid = '', , home = '']) =>
    isId(uid) && isId(gid) && name !== '' ? [{ name, uid: Number(uid), gid: Number(gid), home: home || '/' }] : [],
  )
}

/** Lines of group(5). */
function groups(text: string | undefined): Group[] {
  return records(text).flatMap(([name = '', , gid = '', members = '']) =>
    isId(gid) && name !== '' ? [{ name, gid: Number(gid), members: members.split(',').filter(Boolean) }] : [],
  )
}

function records(text: string | undefined): string[][] {
  return (text ?? '')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.split(':'))
}

function isId(text: string): boolean {
  return /^\d+$/.test(text) && Number(text) <= maxId
}
