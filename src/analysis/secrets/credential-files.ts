import { entropy, isPlaceholder } from './placeholder.ts'
import { isSecretName, isSecretValue, unquoted } from './secret-names.ts'
import type { FoundSecret, SecretLevel, SecretRule } from './secret-rule.ts'

/** A kind of file that is there to hold credentials, known by its path. */
interface CredentialFileRule extends SecretRule {
  /** Tested on the path without its leading slash. */
  readonly path: RegExp
  /** The secrets of the file's text, each with its position. */
  find(text: string): Iterable<Found>
}

interface Found {
  readonly value: string
  readonly offset: number
}

/** Files larger than this hold something else. Bytes. */
export const largestCredentialFile = 1024 * 1024

function file(
  id: string,
  title: string,
  path: RegExp,
  find: (text: string) => Iterable<Found>,
  level: SecretLevel = 'error',
): CredentialFileRule {
  return { id, title, level, path, find }
}

const credentialFiles: readonly CredentialFileRule[] = [
  file('netrc', 'Password of a .netrc', /(?:^|\/)[._]netrc$/, (text) => matches(text, /\bpassword\s+(\S+)/g)),
  file('npmrc', 'Token of an .npmrc', /(?:^|\/)(?:\.npmrc|npmrc)$/, (text) =>
    matches(text, /(?:^|[:/\s])_(?:authToken|auth|password)\s*=\s*(\S+)/gm),
  ),
  file('yarnrc', 'Token of a .yarnrc.yml', /(?:^|\/)\.yarnrc(?:\.yml)?$/, (text) =>
    matches(text, /npmAuth(?:Token|Ident)"?\s*[: ]\s*(\S+)/g),
  ),
  file('pypirc', 'Password of a .pypirc', /(?:^|\/)\.pypirc$/, (text) =>
    matches(text, /^\s*password\s*[=:]\s*(\S+)/gm),
  ),
  file(
    'url-credentials',
    'Credentials in a URL',
    /(?:^|\/)(?:\.git-credentials|\.git\/config|\.gitconfig|\.gitmodules|pip\.conf|\.condarc|\.curlrc|\.wgetrc|\.?bundle\/config|auth\.conf)$|(?:^|\/)etc\/apt\/sources\.list(?:\.d\/[^/]+)?$|(?:^|\/)\.config\/git\/credentials$/,
    urlCredentials,
  ),
  file('apt-auth', 'Password for a package archive', /(?:^|\/)etc\/apt\/auth\.conf(?:\.d\/[^/]+)?$/, (text) =>
    matches(text, /\bpassword\s+(\S+)/g),
  ),
  file(
    'docker-config',
    'Registry credentials',
    /(?:^|\/)(?:\.docker\/config\.json|\.dockercfg|\.dockerconfigjson|containers\/auth\.json)$/,
    registryCredentials,
  ),
  file(
    'env-file',
    'Secret in an environment file',
    /(?:^|\/)(?:\.env(?:\.(?!example$|sample$|template$|dist$|defaults?$|schema$)[\w.-]+)?|[\w-]+\.env)$/,
    environmentFile,
  ),
  file(
    'kubeconfig',
    'Credentials of a kubeconfig',
    /(?:^|\/)(?:\.kube\/config|kubeconfig(?:\.ya?ml)?|etc\/kubernetes\/[\w-]+\.conf)$/,
    kubeconfig,
  ),
  file(
    'htpasswd',
    'Password hash of an htpasswd file',
    /(?:^|\/)\.?htpasswd[\w.-]*$/,
    (text) => matches(text, /^[^\s:#]{1,255}:(\$(?:apr1|2[aby]|5|6)\$\S{20,}|\{SHA\}\S{28})$/gm),
    'warning',
  ),
  file('shadow', 'Password hash of an account', /(?:^|\/)etc\/g?shadow-?$/, (text) =>
    matches(
      text,
      /^[^:\n]{1,255}:!?!?(\$(?:1|2[abxy]|5|6|7|y|gy|md5|sha1)[$,][^:\n]{10,}|_[./0-9A-Za-z]{19}|[./0-9A-Za-z]{13}):/gm,
    ),
  ),
  file('pgpass', 'Password of a .pgpass', /(?:^|\/)\.pgpass$/, (text) =>
    matches(text, /^[^#\n:]+:[^\n:]*:[^\n:]*:[^\n:]*:(\S+)$/gm),
  ),
  file('my-cnf', 'Password of a MySQL client', /(?:^|\/)\.?my(?:login)?\.cnf$/, (text) =>
    matches(text, /^\s*password\s*=\s*(\S+)/gm),
  ),
  file('cargo-credentials', 'Token of cargo', /(?:^|\/)\.?cargo\/credentials(?:\.toml)?$/, (text) =>
    matches(text, /^\s*token\s*=\s*(\S+)/gm),
  ),
  file('gem-credentials', 'Key of RubyGems', /(?:^|\/)\.gem\/credentials$/, (text) =>
    matches(text, /^:\w+:\s*(\S+)/gm),
  ),
  file('rails-master-key', 'Master key of Rails', /(?:^|\/)config\/(?:master|credentials\/\w+)\.key$/, (text) =>
    matches(text, /^([0-9a-f]{32,64})\s*$/g),
  ),
  file('maven-settings', 'Password of Maven', /(?:^|\/)\.m2\/settings(?:-security)?\.xml$/, (text) =>
    matches(text, /<(?:password|passphrase|master)>([^<\s]+)<\//g),
  ),
  file('wireguard-key', 'WireGuard private key', /(?:^|\/)wireguard\/[^/]+\.conf$/, (text) =>
    matches(text, /^\s*(?:PrivateKey|PresharedKey)\s*=\s*([A-Za-z0-9+/]{43}=)\s*$/gm),
  ),
  file(
    'terraformrc',
    'Token of Terraform',
    /(?:^|\/)(?:\.terraformrc|\.terraform\.d\/credentials\.tfrc\.json)$/,
    (text) => matches(text, /"?token"?\s*[=:]\s*"([^"\n]+)"/g),
  ),
  file('github-cli', 'Token of the GitHub command line', /(?:^|\/)\.config\/(?:gh|hub)(?:\/hosts\.yml)?$/, (text) =>
    matches(text, /oauth_token:\s*(\S+)/g),
  ),
]

export const credentialFileRules: readonly SecretRule[] = credentialFiles

/** True for a path whose file {@link secretsInFile} must see whole. `path` has no leading slash. */
export function isCredentialFile(path: string): boolean {
  return anyCredentialFile.test(path)
}

/** One expression for all: it is asked of every file. */
const anyCredentialFile = new RegExp(credentialFiles.map(({ path }) => path.source).join('|'))

/** The secrets of a file that is there to hold them. `path` has no leading slash. */
export function secretsInFile(path: string, text: string): FoundSecret[] {
  return credentialFiles
    .filter((rule) => rule.path.test(path))
    .flatMap((rule) => [...rule.find(text)].map((found) => ({ rule, ...found })))
}

/** First groups of the matches that are no placeholders, without quotes. */
function* matches(text: string, pattern: RegExp): Generator<Found> {
  for (const match of text.matchAll(pattern)) {
    const [whole, group = ''] = match
    const value = unquoted(group.replace(/[,;]$/, ''))
    if (!isPlaceholder(value)) yield { value, offset: match.index + whole.lastIndexOf(group) }
  }
}

const urlWithCredentials =
  /(?<![A-Za-z0-9])(?:https?|ssh|ftps?|git):\/\/([^\s:@/"'`<>\\]{1,128}):([^\s@/"'`<>\\]{1,255})@([^\s/"'`<>\\:?@]{1,255})/g

/** Passwords in `https://user:password@host`. */
export function* urlCredentials(text: string): Generator<Found> {
  for (const match of text.matchAll(urlWithCredentials)) {
    const [whole, user = '', password = '', host = ''] = match
    if (isPlaceholder(password) || /^[%{$]/.test(password) || /(?:^|\.)example\.(?:com|org|net)$/i.test(host)) continue
    yield { value: password, offset: match.index + whole.indexOf(`${user}:${password}`) + user.length + 1 }
  }
}

/** `auths` of docker's and podman's configuration: user and password in base64, or a token. */
function* registryCredentials(text: string): Generator<Found> {
  for (const match of text.matchAll(/"(auth|identitytoken|registrytoken|password)"\s*:\s*"([^"\n]{4,8192})"/g)) {
    const [whole, field, value = ''] = match
    const plain = field === 'auth' ? Buffer.from(value, 'base64').toString('latin1') : `x:${value}`
    const password = plain.slice(plain.indexOf(':') + 1)
    if (plain.includes(':') && !isPlaceholder(password)) yield { value, offset: match.index + whole.lastIndexOf(value) }
  }
}

function* environmentFile(text: string): Generator<Found> {
  for (const match of text.matchAll(
    /^[ \t]*(?:export[ \t]+)?([A-Za-z_][\w.-]{0,127})[ \t]*=[ \t]*("[^"\n]*"|'[^'\n]*'|[^\s#]+)/gm,
  )) {
    const [whole, name = '', quoted = ''] = match
    const value = unquoted(quoted)
    if (isSecretName(name) && isSecretValue(name, value))
      yield { value, offset: match.index + whole.lastIndexOf(value) }
  }
}

/** Keys, tokens and passwords of users; certificates are public. */
function* kubeconfig(text: string): Generator<Found> {
  for (const { value, offset } of matches(
    text,
    /(?:^|[\s{,])"?(?:client-key-data|token|password|id-token|refresh-token)"?\s*:\s*(\S+)/gm,
  ))
    if (value.length < 16 || entropy(value) >= 3) yield { value, offset }
}
