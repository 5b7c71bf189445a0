import { CairnError } from '../errors/error.ts'
import { readTextFile } from '../linux/text-file.ts'
import type { S3Credentials } from './signature.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** How long a file of keys is not looked at again, in milliseconds. */
const fileInterval = 30_000

/**
 * The keys for an object storage: of `profile` in a file of the form of AWS's credentials file, which is read again
 * every half a minute, or else AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN. Throws CONFIG_INVALID,
 * without what the file says.
 */
export function s3Credentials(file: string | undefined, profile: string, env: Environment): () => S3Credentials {
  if (file === undefined) {
    const found = fromEnvironment(env)
    return () => found
  }
  let found = fromFile(file, profile)
  let readAt = Date.now()
  return () => {
    if (Date.now() - readAt < fileInterval) return found
    readAt = Date.now()
    try {
      found = fromFile(file, profile)
    } catch (error) {
      // The keys from before may still be good; where they are not, the storage says so.
      if (!(error instanceof CairnError)) throw error
    }
    return found
  }
}

function fromEnvironment(env: Environment): S3Credentials {
  const { AWS_ACCESS_KEY_ID: accessKey, AWS_SECRET_ACCESS_KEY: secretKey, AWS_SESSION_TOKEN: sessionToken } = env
  if (accessKey === undefined || secretKey === undefined || accessKey === '' || secretKey === '')
    throw new CairnError('CONFIG_INVALID', 'there are no keys for the object storage', {
      hint: 'Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a file with s3.credentials.',
    })
  return { accessKey, secretKey, sessionToken: sessionToken === '' ? undefined : sessionToken }
}

function fromFile(path: string, profile: string): S3Credentials {
  const text = readTextFile(path)
  if (text === undefined) throw new CairnError('CONFIG_INVALID', `${path} cannot be read: no such file or directory`)
  const values = new Map<string, string>()
  let section = 'default'
  for (const line of text.split('\n').map((one) => one.trim())) {
    const header = /^\[\s*(?:profile\s+)?(.*?)\s*\]$/.exec(line)
    if (header !== null) section = header[1] ?? ''
    const equals = line.indexOf('=')
    if (section !== profile || equals < 0 || /^[#;]/.test(line)) continue
    values.set(line.slice(0, equals).trim(), line.slice(equals + 1).trim())
  }
  const [accessKey = '', secretKey = ''] = [values.get('aws_access_key_id'), values.get('aws_secret_access_key')]
  if (accessKey === '' || secretKey === '')
    throw new CairnError('CONFIG_INVALID', `${path} has no aws_access_key_id and aws_secret_access_key of [${profile}]`)
  return { accessKey, secretKey, sessionToken: values.get('aws_session_token') }
}
