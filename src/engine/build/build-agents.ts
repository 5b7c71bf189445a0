import { type CairnError, usageError } from '../../errors/error.ts'
import { tryStat } from '../../linux/file-status.ts'
import { readTextFile } from '../../linux/text-file.ts'
import { keyAgent, type SshAgent, socketAgent } from '../../ssh/agent.ts'

/**
 * Values of `--ssh`: `ID[=SOCKET|KEY[,KEY]]`; alone, the agent that SSH_AUTH_SOCK names. Keys are held by an agent of
 * Cairn's own. Throws USAGE (status 1), CONFIG_INVALID, NOT_SUPPORTED in BuildKit's words.
 */
export async function parseAgents(
  given: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  cwd: string,
): Promise<Map<string, SshAgent>> {
  const agents = new Map<string, SshAgent>()
  for (const text of given) {
    if (text === '') continue
    const equals = text.indexOf('=')
    const id = (equals < 0 ? text : text.slice(0, equals)) || 'default'
    const paths = equals < 0 ? [] : text.slice(equals + 1).split(',')
    if (agents.has(id)) throw usageError(`duplicate agent ID ${JSON.stringify(id)}`)
    agents.set(id, await agentOf(id, paths.length === 1 && paths[0] === '' ? [] : paths, env, cwd))
  }
  return agents
}

async function agentOf(
  id: string,
  paths: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  cwd: string,
): Promise<SshAgent> {
  const given = paths.length === 0 ? [env['SSH_AUTH_SOCK'] ?? ''] : paths
  if (given[0] === '' && paths.length === 0)
    throw usageError('invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set', {
      hint: 'Start one with: eval $(ssh-agent)',
    })
  const keys: { name: string; text: string }[] = []
  let socket: string | undefined
  for (const name of given) {
    const path = name.startsWith('/') ? name : `${cwd}/${name}`
    const type = tryStat(path)?.type
    if (type === undefined) throw failed(id, `stat ${name}: no such file or directory`)
    if (type === 'directory') throw failed(id, `failed to read ${name}: is a directory`)
    if (socket !== undefined) throw failed(id, 'only single socket allowed')
    if (type === 'socket') socket = path
    else keys.push({ name, text: readTextFile(path, largestKey) ?? '' })
  }
  if (socket === undefined) return await keyAgent(keys)
  if (keys.length > 0) throw failed(id, 'invalid combination of keys and sockets')
  return socketAgent(socket)
}

/** Bytes that are read of a key file. */
const largestKey = 100 * 1024

function failed(id: string, why: string): CairnError {
  return usageError(`failed to convert agent config for ID: ${JSON.stringify(id)}: ${why}`)
}
