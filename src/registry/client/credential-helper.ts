import { CairnError } from '../../errors/error.ts'
import { userProgram } from '../../linux/system-program.ts'
import { isJsonObject } from '../../oci/descriptor.ts'
import type { Credentials } from './credentials.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** docker-credential-helpers' protocol: an action as the argument, the rest by stdin and stdout. */
type HelperAction = 'get' | 'store' | 'erase'

/** The user name under which helpers keep an identity token. */
const identityUser = '<token>'
/** What helpers say when they have nothing; no failure. */
const notFound = /credentials not found in native keychain|no credentials server URL|not found/i
/** Milliseconds; a helper may show its user a window. */
const patience = 120_000
const longestAnswer = 1024 * 1024
/** Milliseconds in which all that a helper wrote has come through, once it has ended. */
const lastWords = 250

/** Credentials that the helper has for a registry, undefined where it has none. Throws CREDENTIALS_INVALID. */
export async function getFromHelper(
  helper: string,
  server: string,
  env: Environment,
): Promise<Credentials | undefined> {
  const { status, output } = await runHelper(helper, 'get', server, env)
  if (status !== 0) {
    if (notFound.test(output)) return undefined
    throw failed(helper, output)
  }
  const { Username: username, Secret: secret } = parseAnswer(helper, output)
  if (typeof username !== 'string' || typeof secret !== 'string') throw failed(helper, 'it gave no Username and Secret')
  if (secret === '') return undefined
  if (username === identityUser) return { kind: 'identity', token: secret }
  return { kind: 'password', username, password: secret }
}

/** Gives the helper credentials to keep. Throws CREDENTIALS_INVALID. */
export async function storeWithHelper(
  helper: string,
  server: string,
  credentials: Exclude<Credentials, { kind: 'bearer' }>,
  env: Environment,
): Promise<void> {
  const [username, secret] =
    credentials.kind === 'identity' ? [identityUser, credentials.token] : [credentials.username, credentials.password]
  const input = JSON.stringify({ ServerURL: server, Username: username, Secret: secret })
  const { status, output } = await runHelper(helper, 'store', input, env)
  if (status !== 0) throw failed(helper, output)
}

/** Has the helper forget a registry's credentials; false where it says that it had none. Throws CREDENTIALS_INVALID. */
export async function eraseWithHelper(helper: string, server: string, env: Environment): Promise<boolean> {
  const { status, output } = await runHelper(helper, 'erase', server, env)
  if (status === 0) return true
  if (notFound.test(output)) return false
  throw failed(helper, output)
}

async function runHelper(
  helper: string,
  action: HelperAction,
  input: string,
  env: Environment,
): Promise<{ readonly status: number; readonly output: string }> {
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(helper))
    throw new CairnError('CREDENTIALS_INVALID', `${JSON.stringify(helper)} is not the name of a credential helper`, {
      hint: 'credsStore and credHelpers name a program docker-credential-NAME of the PATH by NAME alone.',
    })
  const program = `docker-credential-${helper}`
  const path = userProgram(program, env)
  if (path === undefined)
    throw new CairnError('CREDENTIALS_INVALID', `the credential helper ${program} is not on the PATH`, {
      hint: "Install it, or take it out of credsStore and credHelpers in docker's config.json.",
    })
  const child = start(program, [path, action], input, env)
  const output = await outputOf(child)
  const status = await child.exited
  if (child.signalCode !== null) throw failed(helper, `it did not answer (${child.signalCode})`)
  return { status, output: output.trim() }
}

type HelperProcess = Bun.Subprocess<Uint8Array<ArrayBuffer>, 'pipe', 'inherit'>

function start(program: string, command: string[], input: string, env: Environment): HelperProcess {
  try {
    return Bun.spawn(command, {
      stdin: new TextEncoder().encode(input),
      stdout: 'pipe',
      stderr: 'inherit',
      env: { ...env },
      timeout: patience,
      killSignal: 'SIGKILL',
      maxBuffer: longestAnswer,
    })
  } catch (cause) {
    const why = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause)
    throw new CairnError('CREDENTIALS_INVALID', `the credential helper ${program} cannot be run: ${why}`, { cause })
  }
}

/** What the helper itself writes: one that leaves a process behind with its stdout is not waited for. */
async function outputOf({ stdout, exited }: HelperProcess): Promise<string> {
  const reader = stdout.getReader()
  const late = exited.then(() => Bun.sleep(lastWords)).then(() => undefined)
  const pieces: Uint8Array[] = []
  for (;;) {
    const piece = await Promise.race([reader.read(), late])
    if (piece?.value !== undefined) pieces.push(piece.value)
    if (piece !== undefined && !piece.done) continue
    if (piece === undefined) void reader.cancel().catch(() => {})
    return Buffer.concat(pieces).toString('utf8')
  }
}

function parseAnswer(helper: string, output: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(output)
    if (isJsonObject(value)) return value
  } catch {
    // Said below without the text, which may be a secret.
  }
  throw failed(helper, 'its answer is not a JSON object')
}

function failed(helper: string, why: string): CairnError {
  return new CairnError('CREDENTIALS_INVALID', `docker-credential-${helper}: ${why.slice(0, 500)}`)
}
