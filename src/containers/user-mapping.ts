import { CairnError } from '../errors/error.ts'
import type { IdRange } from '../linux/user-namespace.ts'
import { readTextFile } from '../linux/text-file.ts'
import { isRootless } from '../rootless/namespace.ts'
import { readSubordinateRanges, subordinateFiles } from '../rootless/subordinate-ids.ts'
import type { ContainerRequest } from './settings.ts'

/**
 * Users of a container as other users of the machine (`--userns remap`, CAIRN_USERNS_REMAP): docker's `userns-remap`, for one
 * container or for all. The files on the disk keep their numbers: mounts translate them, so images need no copy, and a container has
 * the same layers and volumes with and without it.
 */
export interface UserMapping {
  readonly uid: readonly IdRange[]
  readonly gid: readonly IdRange[]
  /** It was asked for this container, not for all. */
  readonly isOwn: boolean
}

/** Whose ranges `default` means: docker's account, else podman's. */
const defaultOwners = ['dockremap', 'containers']

/**
 * The mapping by the ranges of an account in /etc/subuid, of a group in /etc/subgid where one is named: `default`, `USER`,
 * `USER:GROUP`, names or numbers. Root of the container is the first id of the first range. Throws NOT_SUPPORTED where there are no
 * ranges, and without root; CONFIG_INVALID.
 */
export function readUserMapping(wanted: string, isOwn: boolean): UserMapping {
  if (isRootless())
    throw new CairnError('NOT_SUPPORTED', 'users of containers cannot be remapped without root', {
      hint: 'They are other users of the machine already: root in a container is you.',
    })
  const [user = '', group = user, ...rest] = wanted.split(':')
  if (user === '' || group === '' || rest.length > 0)
    throw new CairnError(
      'CONFIG_INVALID',
      `CAIRN_USERNS_REMAP is ${JSON.stringify(wanted)}, not default, USER or USER:GROUP`,
    )
  return { uid: rangesOf('uid', user), gid: rangesOf('gid', group), isOwn }
}

function rangesOf(kind: 'uid' | 'gid', owner: string): readonly IdRange[] {
  const owners = owner === 'default' ? defaultOwners : [owner]
  for (const name of owners) {
    const ranges = readSubordinateRanges(kind, accountOf(name))
    if (ranges.length > 0) return consecutive(ranges)
  }
  const [first = owner] = owners
  throw new CairnError(
    'NOT_SUPPORTED',
    `no sub${kind} ranges found for user ${JSON.stringify(first)} in ${subordinateFiles[kind]}`,
    {
      hint: `Add a line there, of ids that nobody has: ${first}:100000:65536`,
    },
  )
}

/** A line may be by name or by number, and either may be asked for. */
function accountOf(owner: string): { readonly id: number; readonly name: string | undefined } {
  const lines = (readTextFile('/etc/passwd') ?? '').split('\n').map((line) => line.split(':'))
  const found = lines.find(([name, , id]) => name === owner || id === owner)
  if (found !== undefined) return { id: Number(found[2]), name: found[0] }
  return /^\d+$/.test(owner) ? { id: Number(owner), name: undefined } : { id: -1, name: owner }
}

/** The id outside of an id inside. Throws NOT_SUPPORTED for one that the mapping does not have. */
export function outsideId(ranges: readonly IdRange[], id: number): number {
  const range = ranges.find(({ inside, length }) => id >= inside && id < inside + length)
  if (range !== undefined) return range.outside + id - range.inside
  throw new CairnError('NOT_SUPPORTED', `the user namespace of the container has no user or group ${id}`, {
    hint: 'Its ids are those of /etc/subuid and /etc/subgid.',
  })
}

/** The id inside of an id outside, 65534 for one that the mapping does not have: as the kernel shows it. */
export function insideId(ranges: readonly IdRange[], id: number): number {
  const range = ranges.find(({ outside, length }) => id >= outside && id < outside + length)
  return range === undefined ? overflowId : range.inside + id - range.outside
}

const overflowId = 65_534

function consecutive(ranges: readonly { readonly first: number; readonly length: number }[]): IdRange[] {
  let inside = 0
  return ranges.map(({ first, length }) => {
    const range = { inside, outside: first, length }
    inside += length
    return range
  })
}

/** What shares something of the machine that its own root alone may have; docker's words. Throws CONFIG_INVALID, NOT_SUPPORTED. */
export function checkMappable(request: ContainerRequest, emulated: string | undefined): void {
  const { userns, privileged, network, pid, ipc } = request
  if (userns === undefined || userns === 'host') return
  const hint = 'Or run it with the users of the host: --userns host.'
  const invalid = (message: string): CairnError => new CairnError('CONFIG_INVALID', message, { hint })
  if (privileged)
    throw invalid(
      'privileged mode is incompatible with user namespaces.  You must run the container in the host namespace when running privileged mode',
    )
  if (network === 'host' || network === 'default')
    throw invalid("cannot share the host's network namespace when user namespaces are enabled")
  if (pid === 'host') throw invalid('cannot share the host PID namespace when user namespaces are enabled')
  const shared = [network, pid, ipc].find((mode) => mode === 'host' || mode?.startsWith('container:') === true)
  if (shared !== undefined)
    throw new CairnError(
      'NOT_SUPPORTED',
      `a container in a user namespace of its own cannot share namespaces: ${shared}`,
      { hint },
    )
  if (emulated !== undefined)
    throw new CairnError('NOT_SUPPORTED', `programs for ${emulated} cannot be run in another user namespace yet`, {
      hint,
    })
}
