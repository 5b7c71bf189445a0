import { type SystemInfo, systemInfo } from '../../engine/store/system-info.ts'
import { defineCommand } from '../command.ts'
import { objectFormatFlag } from '../format-flag.ts'
import { objectSyntaxStatus, renderTemplate } from '../go-template/go-template.ts'
import { openStoreOf } from '../open-store.ts'
import { toJson } from '../go-template/template-functions.ts'
import { version } from '../version.ts'

export default defineCommand({
  usage: '[OPTIONS]',
  examples: [{ text: 'Where images are kept', command: "cairn info -f '{{.DockerRootDir}}'" }],
  args: { max: 0 },
  flags: { format: objectFormatFlag },
  output: 'collected',
  async run(ctx, flags) {
    const info = systemInfo(await ctx.use(openStoreOf), version)
    if (flags.format !== '') {
      const object = { ...info, ClientInfo: { Debug: ctx.debug, Version: version, Context: 'default' } }
      const text =
        flags.format === 'json'
          ? toJson(object)
          : renderTemplate(flags.format, object, { syntaxStatus: objectSyntaxStatus })
      ctx.stdout.write(`${text}\n`)
      return
    }
    ctx.stdout.write(layout(info, ctx.debug))
    for (const warning of info.Warnings) ctx.stderr.write(`WARNING: ${warning}\n`)
  },
})

/** Laid out as docker's, with what there is here. */
function layout(info: SystemInfo, debug: boolean): string {
  const runtimes = Object.entries(info.Runtimes)
  const lines: readonly string[] = [
    'Client:',
    ` Version:    ${version}`,
    ' Context:    default',
    ` Debug Mode: ${debug}`,
    '',
    'Server:',
    ` Containers: ${info.Containers}`,
    `  Running: ${info.ContainersRunning}`,
    `  Paused: ${info.ContainersPaused}`,
    `  Stopped: ${info.ContainersStopped}`,
    ` Images: ${info.Images}`,
    ` Server Version: ${info.ServerVersion} (no daemon)`,
    ` Storage Driver: ${info.Driver}`,
    ...info.DriverStatus.map(([name, value]) => `  ${name}: ${value}`),
    ` Cgroup Driver: ${info.CgroupDriver}`,
    ...(info.CgroupVersion === '' ? [] : [` Cgroup Version: ${info.CgroupVersion}`]),
    ` Runtimes: ${runtimes.length === 0 ? 'none' : runtimes.map(([name, { path }]) => `${name} (${path})`).join(' ')}`,
    ...(info.DefaultRuntime === '' ? [] : [` Default Runtime: ${info.DefaultRuntime}`]),
    ' Security Options:',
    ...info.SecurityOptions.map(
      (option) => `  ${option.replace(/^name=/, '').replace(/,profile=(.*)$/, '\n   Profile: $1')}`,
    ),
    ` Kernel Version: ${info.KernelVersion}`,
    ` Operating System: ${info.OperatingSystem}`,
    ` OSType: ${info.OSType}`,
    ` Architecture: ${info.Architecture}`,
    ` CPUs: ${info.NCPU}`,
    ` Total Memory: ${formatBinarySize(info.MemTotal)}`,
    ` Name: ${info.Name}`,
    ` Root Dir: ${info.DockerRootDir}`,
  ]
  return `${lines.join('\n')}\n`
}

/** Bytes as docker shows memory: `23.54GiB`. */
function formatBinarySize(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']
  let size = bytes
  let unit = 0
  for (; size >= 1024 && unit < units.length - 1; unit++) size /= 1024
  return `${Number(size.toPrecision(4))}${units[unit]}`
}
