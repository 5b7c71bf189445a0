import { readTextFile } from '../linux/text-file.ts'

/** subuid(5), subgid(5): ids that a user may give to the processes of a user namespace. */
export interface SubordinateRange {
  readonly first: number
  readonly length: number
}

/** An account of this machine. */
export interface HostUser {
  readonly id: number
  /** Undefined where /etc/passwd does not have it. */
  readonly name: string | undefined
}

/** The account with a number, by passwd(5). */
export function hostUser(id: number, passwd = readTextFile('/etc/passwd') ?? ''): HostUser {
  const line = passwd.split('\n').find((one) => one.split(':')[2] === String(id))
  return { id, name: line?.split(':')[0] }
}

/** Where the ranges of users and of groups are written. */
export const subordinateFiles = { uid: '/etc/subuid', gid: '/etc/subgid' } as const

/**
 * The ranges of a user, whom lines call by name or by number, in the order of the file. What is no line of three fields is
 * left out, as newuidmap(1) does.
 *
 * @param text - of the file for users or for groups; both are by user
 */
export function subordinateRanges({ id, name }: HostUser, text: string): readonly SubordinateRange[] {
  return text.split('\n').flatMap((line) => {
    const [owner, first = '', length = ''] = line.trim().split(':')
    if (owner === undefined || (owner !== name && owner !== String(id))) return []
    if (!/^\d+$/.test(first) || !/^\d+$/.test(length) || Number(length) === 0) return []
    return [{ first: Number(first), length: Number(length) }]
  })
}

/** {@link subordinateRanges} of this machine. */
export function readSubordinateRanges(kind: 'uid' | 'gid', user: HostUser): readonly SubordinateRange[] {
  return subordinateRanges(user, readTextFile(subordinateFiles[kind]) ?? '')
}
