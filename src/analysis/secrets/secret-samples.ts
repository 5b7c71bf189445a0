/**
 * Made-up secrets for tests, each put together when it is asked for, so that no scanner takes the sources for a leak.
 */
const alphabet = 'abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789'

/** Random-looking text, the same for the same seed. */
export function randomText(length: number, seed = 1, letters = alphabet): string {
  let state = seed * 7919
  let text = ''
  while (text.length < length) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    text += letters.charAt((state >>> 8) % letters.length)
  }
  return text
}

/** A block of armour: header, base64 lines, footer. */
export function armoured(label: string, body: string, newline = '\n'): string {
  const lines = body.match(/.{1,64}/g) ?? []
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join(newline)
}

/** Base64 that begins as the DER of a key does. */
export function keyBody(length = 256): string {
  return `MIIE${randomText(length - 4, 3)}`
}

const hex = '0123456789abcdef'
const upper = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'
const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')

/** A token of each kind, by the rule that must find it. */
export const tokenSamples: Readonly<Record<string, () => string>> = {
  'aws-access-key-id': () => `AKIA${randomText(16, 1, upper)}`,
  'aws-secret-access-key': () => `aws_secret_access_key = ${randomText(40)}`,
  'gcp-api-key': () => `AIza${randomText(35)}`,
  'gcp-oauth-client-secret': () => `GOCSPX-${randomText(28)}`,
  'gcp-refresh-token': () => `"refresh_token": "1//0${randomText(60)}"`,
  'azure-storage-key': () => `AccountName=x;AccountKey=${randomText(86)}==;EndpointSuffix=core.windows.net`,
  'azure-shared-access-key': () => `SharedAccessKeyName=Root;SharedAccessKey=${randomText(43)}=`,
  'azure-client-secret': () => `${randomText(3)}8Q~${randomText(34)}`,
  'azure-sas-token': () => `?sv=2022-11-02&ss=b&sig=${randomText(43)}%3D`,
  'github-token': () => `ghp_${randomText(36)}`,
  'github-fine-grained-token': () => `github_pat_${randomText(22)}_${randomText(59)}`,
  'gitlab-token': () => `glpat-${randomText(20)}`,
  'slack-token': () => `xoxb-${randomText(12, 1, '0123456789')}-${randomText(12, 2, '0123456789')}-${randomText(24)}`,
  'slack-webhook': () =>
    `https://hooks.slack.com/services/T${randomText(9, 1, upper)}/B${randomText(9, 2, upper)}/${randomText(24)}`,
  'discord-webhook': () => `https://discord.com/api/webhooks/${randomText(18, 1, '123456789')}/${randomText(68)}`,
  'stripe-key': () => `sk_live_${randomText(24)}`,
  'stripe-test-key': () => `sk_test_${randomText(24)}`,
  'npm-token': () => `npm_${randomText(36)}`,
  'pypi-token': () => `pypi-AgEIcHlwaS5vcmc${randomText(100)}`,
  'dockerhub-token': () => `dckr_pat_${randomText(27)}`,
  'rubygems-token': () => `rubygems_${randomText(48, 1, hex)}`,
  'openai-key': () => `sk-${randomText(20)}T3BlbkFJ${randomText(20, 2)}`,
  'anthropic-key': () => `sk-ant-api03-${randomText(93)}`,
  'huggingface-token': () => `hf_${randomText(34, 1, 'abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ')}`,
  'vault-token': () => `hvs.${randomText(90)}`,
  'terraform-cloud-token': () => `${randomText(14)}.atlasv1.${randomText(67)}`,
  'digitalocean-token': () => `dop_v1_${randomText(64, 1, hex)}`,
  'shopify-token': () => `shpat_${randomText(32, 1, hex)}`,
  'sendgrid-key': () => `SG.${randomText(22)}.${randomText(43)}`,
  'databricks-token': () => `dapi${randomText(32, 1, hex)}`,
  'grafana-token': () => `glsa_${randomText(32)}_${randomText(8, 1, hex)}`,
  'new-relic-key': () => `NRAK-${randomText(27, 1, upper)}`,
  'atlassian-token': () => `ATATT3xFfGF0${randomText(180)}`,
  'postman-key': () => `PMAK-${randomText(24, 1, hex)}-${randomText(34, 2, hex)}`,
  'linear-key': () => `lin_api_${randomText(40)}`,
  'square-token': () => `sq0atp-${randomText(22)}`,
  'planetscale-token': () => `pscale_pw_${randomText(43)}`,
  'sentry-token': () => `sntrys_${randomText(100)}`,
  'doppler-token': () => `dp.pt.${randomText(43)}`,
  'alibaba-key-id': () => `LTAI${randomText(20)}`,
  'age-secret-key': () => `AGE-SECRET-KEY-1${randomText(58, 1, 'QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L')}`,
  'putty-private-key': () =>
    `PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nComment: x\nPublic-Lines: 1\n${randomText(64)}\nPrivate-Lines: 1\n${randomText(48)}\n`,
  'json-web-token': () =>
    `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ sub: 'robot', admin: true })}.${randomText(43)}`,
  'database-url': () => `postgres://app:${randomText(16)}@db.internal:5432/app`,
}
