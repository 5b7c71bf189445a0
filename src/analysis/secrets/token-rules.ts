import { entropy, isPlaceholder } from './placeholder.ts'
import type { SecretRule } from './secret-rule.ts'

/** A secret that is known by how it is written, wherever it stands. */
export interface TokenRule extends SecretRule {
  /** One of these is part of every secret of this kind: the search begins there. */
  readonly literals: readonly string[]
  /** The secret, or its first group where it has one. All repetitions are bounded, so no text makes it slow. */
  readonly pattern: RegExp
  /** Characters before the literal that belong to the secret; without it the secret begins with the literal. */
  readonly lead?: number
  /** Refuses what only looks like it. Without it: no placeholder, and at least 3 bits a character. */
  readonly isReal?: (value: string, match: RegExpExecArray) => boolean
}

/** Characters after a literal that a pattern may look at. */
export const longestToken = 2048

function token(
  id: string,
  title: string,
  literals: string,
  pattern: RegExp,
  more: Partial<Pick<TokenRule, 'lead' | 'level' | 'isReal'>> = {},
): TokenRule {
  return { id, title, level: 'error', literals: literals.split(' '), pattern, ...more }
}

/** Every kind of token, one a line: id, what it is, the bytes to look for, how it is written. */
export const tokenRules: readonly TokenRule[] = [
  token(
    'aws-access-key-id',
    'AWS access key ID',
    'AKIA ASIA ABIA ACCA',
    /(?<![A-Za-z0-9+/=])A(?:KIA|SIA|BIA|CCA)[A-Z0-9]{16}(?![A-Za-z0-9+/=])/,
    { level: 'warning' },
  ),
  token(
    'aws-secret-access-key',
    'AWS secret access key',
    'aws_secret_access_key AWS_SECRET_ACCESS_KEY SecretAccessKey secretAccessKey aws_secret_key AWS_SECRET_KEY secret_access_key',
    /[A-Za-z_]{14,24}["']?\s{0,8}[:=]\s{0,8}["']?([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])/,
    { isReal: isMixed },
  ),
  token('gcp-api-key', 'Google API key', 'AIza', /(?<![\w-])AIza[\w-]{35}(?![\w-])/),
  token('gcp-oauth-client-secret', 'Google OAuth client secret', 'GOCSPX-', /GOCSPX-[\w-]{28}(?![\w-])/),
  token('gcp-refresh-token', 'Google refresh token', '"1//0', /"(1\/\/0[\w-]{40,200})"/),
  token('azure-storage-key', 'Azure storage account key', 'AccountKey=', /AccountKey=([A-Za-z0-9+/]{86}==)/),
  token(
    'azure-shared-access-key',
    'Azure shared access key',
    'SharedAccessKey=',
    /SharedAccessKey=([A-Za-z0-9+/]{43}=)/,
  ),
  token(
    'azure-client-secret',
    'Azure client secret',
    '7Q~ 8Q~',
    /(?<![\w~.-])[\w~.-]{3}[78]Q~[\w~.-]{31,34}(?![\w~.-])/,
    { lead: 3, isReal: isMixed },
  ),
  token('azure-sas-token', 'Azure shared access signature', '&sig=', /&sig=([A-Za-z0-9%/+]{40,60}(?:%3D|=))/),
  token(
    'github-token',
    'GitHub token',
    'ghp_ gho_ ghu_ ghs_ ghr_',
    /(?<![A-Za-z0-9])gh[pousr]_[A-Za-z0-9]{36,251}(?![A-Za-z0-9])/,
  ),
  token(
    'github-fine-grained-token',
    'GitHub fine-grained token',
    'github_pat_',
    /github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}(?!\w)/,
  ),
  token(
    'gitlab-token',
    'GitLab token',
    'glpat- gldt- glrt- glptt- glcbt- glsoat- glft- glimt- glagent-',
    /(?<![A-Za-z0-9])gl(?:pat|dt|rt|ptt|cbt|soat|ft|imt|agent)-[\w.-]{20,100}(?![\w-])/,
  ),
  token(
    'slack-token',
    'Slack token',
    'xoxb- xoxp- xoxa- xoxr- xoxs- xoxe- xoxe. xapp-',
    /(?<![A-Za-z0-9])(?:xox[abeprs]|xoxe\.xox[bp]|xapp)-[\dA-Za-z-]{20,250}/,
    { isReal: isMixed },
  ),
  token(
    'slack-webhook',
    'Slack webhook',
    'hooks.slack.com/',
    /hooks\.slack\.com\/(?:services|workflows|triggers)\/([A-Za-z0-9/]{40,100})/,
  ),
  token('discord-webhook', 'Discord webhook', '/api/webhooks/', /\/api\/webhooks\/(\d{17,20}\/[\w-]{60,80})/),
  token(
    'stripe-key',
    'Stripe secret key',
    'sk_live_ rk_live_',
    /(?<![A-Za-z0-9])[rs]k_live_[A-Za-z0-9]{16,247}(?![A-Za-z0-9])/,
  ),
  token(
    'stripe-test-key',
    'Stripe test key',
    'sk_test_ rk_test_',
    /(?<![A-Za-z0-9])[rs]k_test_[A-Za-z0-9]{16,247}(?![A-Za-z0-9])/,
    { level: 'warning' },
  ),
  token('npm-token', 'npm token', 'npm_', /(?<!\w)npm_[A-Za-z0-9]{36}(?!\w)/, { isReal: isMixed }),
  token('pypi-token', 'PyPI token', 'pypi-AgE', /pypi-AgE[IN][\w-]{50,1000}/),
  token('dockerhub-token', 'Docker Hub token', 'dckr_pat_ dckr_oat_', /dckr_[po]at_[\w-]{20,60}(?![\w-])/),
  token('rubygems-token', 'RubyGems token', 'rubygems_', /rubygems_[a-f0-9]{48}(?!\w)/),
  token('openai-key', 'OpenAI key', 'T3BlbkFJ', /(?<![A-Za-z0-9])sk-[\w-]{16,110}T3BlbkFJ[\w-]{16,110}/, { lead: 114 }),
  token('anthropic-key', 'Anthropic key', 'sk-ant-', /sk-ant-[a-z0-9]{3,10}-[\w-]{60,120}/),
  token('huggingface-token', 'Hugging Face token', 'hf_', /(?<!\w)hf_[A-Za-z]{34}(?!\w)/, { isReal: isMixed }),
  token('vault-token', 'HashiCorp Vault token', 'hvs. hvb. hvr.', /(?<!\w)hv[sbr]\.[\w-]{24,300}/, { isReal: isMixed }),
  token(
    'terraform-cloud-token',
    'Terraform Cloud token',
    '.atlasv1.',
    /(?<!\w)[A-Za-z0-9]{14}\.atlasv1\.[\w-]{60,80}/,
    { lead: 14 },
  ),
  token('digitalocean-token', 'DigitalOcean token', 'dop_v1_ doo_v1_ dor_v1_', /do[por]_v1_[a-f0-9]{64}(?!\w)/),
  token('shopify-token', 'Shopify token', 'shpat_ shpca_ shppa_ shpss_', /shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}(?!\w)/),
  token('sendgrid-key', 'SendGrid key', 'SG.', /(?<![\w.-])SG\.[\w-]{22}\.[\w-]{43}(?![\w-])/, { isReal: isMixed }),
  token('databricks-token', 'Databricks token', 'dapi', /(?<!\w)dapi[a-f0-9]{32}(?:-\d)?(?!\w)/),
  token(
    'grafana-token',
    'Grafana token',
    'glsa_ glc_',
    /(?<!\w)(?:glsa_[A-Za-z0-9]{32}_[A-Fa-f0-9]{8}|glc_[A-Za-z0-9+/]{40,400}={0,2})/,
  ),
  token('new-relic-key', 'New Relic key', 'NRAK-', /NRAK-[A-Z0-9]{27}(?!\w)/),
  token('atlassian-token', 'Atlassian token', 'ATATT3xFfGF0', /ATATT3xFfGF0[\w=-]{60,300}/),
  token('postman-key', 'Postman key', 'PMAK-', /PMAK-[a-f0-9]{24}-[a-f0-9]{34}(?!\w)/),
  token('linear-key', 'Linear key', 'lin_api_', /lin_api_[A-Za-z0-9]{40}(?!\w)/),
  token('square-token', 'Square token', 'sq0atp- sq0csp-', /sq0(?:atp-[\w-]{22}|csp-[\w-]{43})(?![\w-])/),
  token('planetscale-token', 'PlanetScale token', 'pscale_', /pscale_(?:pw|tkn|oauth)_[\w.-]{32,64}/),
  token('sentry-token', 'Sentry token', 'sntrys_ sntryu_', /sntry[su]_[\w+/=]{40,300}/),
  token(
    'doppler-token',
    'Doppler token',
    'dp.pt. dp.st.',
    /(?<!\w)dp\.[ps]t\.(?:[a-z0-9-]{2,35}\.)?[A-Za-z0-9]{40,44}(?!\w)/,
  ),
  token(
    'alibaba-key-id',
    'Alibaba Cloud access key ID',
    'LTAI',
    /(?<![A-Za-z0-9+/])LTAI[A-Za-z0-9]{20}(?![A-Za-z0-9+/=])/,
    { level: 'warning', isReal: isMixed },
  ),
  token(
    'age-secret-key',
    'age secret key',
    'AGE-SECRET-KEY-1',
    /AGE-SECRET-KEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}/,
  ),
  token(
    'putty-private-key',
    'PuTTY private key',
    'PuTTY-User-Key-File-',
    /PuTTY-User-Key-File-[23]: [^\n]{1,64}\n[^]{0,1500}?Private-Lines: \d+\r?\n([A-Za-z0-9+/=\r\n]{40,400})/,
  ),
  token(
    'json-web-token',
    'JSON web token',
    'eyJhbGciOi eyJ0eXAiOi eyJraWQiOi eyJlbmMiOi',
    /eyJ[\w-]{10,800}\.eyJ[\w-]{6,1000}\.[\w-]{20,700}(?![\w-])/,
    { level: 'warning', isReal: isJsonWebToken },
  ),
  token(
    'database-url',
    'Database address with a password',
    'postgres mysql mariadb mongodb redis:// rediss:// amqp:// amqps:// mssql sqlserver:// clickhouse cockroachdb',
    /(?<![A-Za-z0-9])(?:postgres(?:ql)?|mysqlx?|mariadb|mongodb|rediss?|amqps?|mssql|sqlserver|clickhouses?|cockroachdb)(?:\+[a-z0-9]{1,20})?:\/\/[^\s:@/"'`<>\\]{0,64}:([^\s@/"'`<>\\]{1,128})@([^\s/"'`<>\\:?@]{1,128})/,
    { isReal: isAddress },
  ),
]

/** Random text, unlike identifiers of programs, mixes digits and letters. */
function isMixed(value: string): boolean {
  return (
    !isPlaceholder(value) && entropy(value) >= 3.5 && (/\d/.test(value) || (/[a-z]/.test(value) && /[A-Z]/.test(value)))
  )
}

function isJsonWebToken(value: string): boolean {
  if (isPlaceholder(value)) return false
  const [header = '', payload = ''] = value.split('.')
  const head = parseBase64Json(header)
  const body = parseBase64Json(payload)
  if (head === undefined || body === undefined || typeof head['alg'] !== 'string') return false
  // The token that the makers of JWT show everybody.
  return body['sub'] !== '1234567890' && body['name'] !== 'John Doe'
}

function parseBase64Json(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(text, 'base64url').toString())
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

function isAddress(password: string, [, , host = '']: RegExpExecArray): boolean {
  const isShown = /^(?:host|hostname|server|myhost|example)$|(?:^|\.)example\.(?:com|org|net)$|^[%{$]/i.test(host)
  return !isShown && !isPlaceholder(password) && !/^[%{$]/.test(password)
}
