import { readTextFile } from '../linux/text-file.ts'
import { hostsFile } from '../runtime/network-files.ts'

/** The host's /etc/hosts with more hosts. */
export function hostHosts(extraHosts: readonly { readonly name: string; readonly address: string }[]): string {
  const text = readTextFile('/etc/hosts') ?? hostsFile({ hostname: 'localhost' })
  const lines = extraHosts.map(({ name, address }) => `${address}\t${name}\n`)
  return `${text.replace(/\n*$/, '\n')}${lines.join('')}`
}
