import { defineCommand } from '../command.ts'
import { apiVersion, built, commit, version } from '../version.ts'

const architecture = { x64: 'amd64', arm64: 'arm64' }[process.arch as string] ?? process.arch

/** Laid out as docker's, so that scripts which read `.Server.Version` of it go on working. */
function describe(): Readonly<Record<string, unknown>> {
  const os = process.platform
  const engine = {
    Version: version,
    ApiVersion: apiVersion,
    GitCommit: commit,
    BunVersion: Bun.version,
    Os: os,
    Arch: architecture,
    BuildTime: built,
  }
  return {
    Client: { ...engine, DefaultAPIVersion: apiVersion, Context: 'default' },
    Server: { Platform: { Name: 'Cairn (no daemon)' }, ...engine, MinAPIVersion: '1.24', Experimental: false },
  }
}

function layout(): string {
  const rows = [
    ['Version', version],
    ['API version', apiVersion],
    ['Bun version', Bun.version],
    ['Git commit', commit],
    ...(built === '' ? [] : [['Built', built] as const]),
    ['OS/Arch', `${process.platform}/${architecture}`],
    ['Context', 'default'],
  ] as const
  return `Client:\n${rows.map(([name, value]) => ` ${`${name}:`.padEnd(19)}${value}\n`).join('')}`
}

export default defineCommand({
  usage: '[OPTIONS]',
  args: { max: 0 },
  flags: {
    format: {
      type: 'string',
      short: 'f',
      summary:
        "Format output using a custom template:\n'json':             Print in JSON format\n'TEMPLATE':         Print output using the given Go template.",
    },
  },
  examples: [{ text: 'Only the version number', command: "cairn version --format '{{.Client.Version}}'" }],
  output: 'collected',
  async run(ctx, flags) {
    const { format = '' } = flags
    if (format === '') return ctx.stdout.write(layout())
    const { objectSyntaxStatus, renderTemplate } = await import('../go-template/go-template.ts')
    const options = { name: 'version', syntaxStatus: objectSyntaxStatus }
    ctx.stdout.write(`${renderTemplate(format === 'json' ? '{{json .}}' : format, describe(), options)}\n`)
  },
})
