import { archiveInput } from '../../engine/build/archive-input.ts'
import { editImage, type ImageEdits } from '../../engine/images/edit-image.ts'
import { usageError } from '../../errors/error.ts'
import { defineCommand } from '../command.ts'
import type { CommandContext } from '../context.ts'
import { imageNames } from '../images/image-names.ts'
import { keyValues } from '../key-values.ts'
import { openStoreOf } from '../open-store.ts'
import { newTagFlag, reportRewrite } from '../build/report-rewrite.ts'

const several = (value: string, summary: string) => ({ type: 'stringArray', value, summary }) as const
const single = (value: string, summary: string) => ({ type: 'string', value, summary }) as const

export default defineCommand({
  usage: '[OPTIONS] IMAGE',
  description:
    'Changes the image on every platform it has. Nothing is run, layers that stay keep their bytes, and the same image and\noptions give the same digest: times stay unless --created is given. The history tells of layers that are added and\nforgets those that are dropped. A command is a JSON array, or a line for the shell; empty to take it away. IMAGE may also\nbe oci:DIR[:TAG], oci-archive:FILE, docker-archive:FILE or dir:DIR; the result is in the store.',
  examples: [
    { text: 'A label and a variable', command: 'cairn image edit --label org.example.a=b --env LANG=C.UTF-8 app:1' },
    {
      text: 'Another command, as another image',
      command: `cairn image edit -t app:debug --cmd '["app","--debug"]' app:1`,
    },
    { text: 'Files on top', command: 'cairn image edit -t app:2 --append-layer files.tar.gz app:1' },
    { text: 'Without its newest layer', command: 'cairn image edit -t app:0 --drop-layer -1 app:1' },
  ],
  args: { min: 1, max: 1 },
  flags: {
    annotation: several('key=value', 'Set an annotation of the manifests'),
    'append-layer': { ...several('file', 'Add the layer in a tar, plain or compressed'), complete: 'file' },
    author: single('text', 'Set the author'),
    change: { ...several('instruction', 'Apply a Dockerfile instruction, such as HEALTHCHECK or ONBUILD'), short: 'c' },
    cmd: single('command', 'Set the command'),
    created: single('time', 'Set when the image was created: RFC 3339, or seconds since 1970'),
    'drop-layer': several('layer', 'Take a layer away: its number (1 is the base, -1 the newest) or digest'),
    entrypoint: single('command', 'Set the entrypoint'),
    env: { ...several('key=value', 'Set an environment variable'), short: 'e' },
    expose: several('port', 'Add a port: 8080, 8000-8010, 53/udp'),
    healthcheck: single(
      'instruction',
      'Set the health check, as after HEALTHCHECK in a Dockerfile; "NONE" turns it off',
    ),
    label: { ...several('key=value', 'Set a label'), short: 'l' },
    'stop-signal': single('signal', 'Set the signal that stops a container'),
    tag: newTagFlag,
    unexpose: several('port', 'Take a port away'),
    'unset-annotation': several('key', 'Take an annotation away'),
    'unset-env': several('key', 'Take an environment variable away'),
    'unset-label': several('key', 'Take a label away'),
    'unset-volume': several('path', 'Take a volume away'),
    user: { ...single('user', 'Set the user'), short: 'u' },
    volume: several('path', 'Add a volume'),
    workdir: { ...single('directory', 'Set the working directory'), short: 'w' },
  },
  complete: (ctx) => imageNames(ctx),
  async run(ctx, flags, [image = '']) {
    const layers = flags['append-layer'].map((path) => {
      const { name, source } = archiveInput(path, { stdin: () => ctx.stdin.bytes(), signal: ctx.signal })
      return { name, source }
    })
    const edits: ImageEdits = {
      changes: [...flags.change, ...(flags.healthcheck === undefined ? [] : [`HEALTHCHECK ${flags.healthcheck}`])],
      labels: keyValues(flags.label, '--label'),
      withoutLabels: flags['unset-label'],
      env: keyValues(flags.env, '--env'),
      withoutEnv: flags['unset-env'],
      annotations: keyValues(flags.annotation, '--annotation'),
      withoutAnnotations: flags['unset-annotation'],
      expose: flags.expose,
      withoutPorts: flags.unexpose,
      volumes: flags.volume,
      withoutVolumes: flags['unset-volume'],
      cmd: commandOf(flags.cmd, '--cmd'),
      entrypoint: commandOf(flags.entrypoint, '--entrypoint'),
      user: flags.user,
      workingDir: flags.workdir,
      stopSignal: flags['stop-signal'],
      author: flags.author,
      created: createdOf(ctx, flags.created),
      dropLayers: flags['drop-layer'],
      appendLayers: layers,
    }
    reportRewrite(ctx, await editImage(await ctx.use(openStoreOf), image, flags.tag, edits))
  },
})

/** A JSON array as it is, anything else as a line for the shell. */
function commandOf(text: string | undefined, flag: string): readonly string[] | undefined {
  if (text === undefined) return undefined
  if (text.trim() === '') return []
  if (!text.trimStart().startsWith('[')) return ['/bin/sh', '-c', text]
  try {
    const words: unknown = JSON.parse(text)
    if (Array.isArray(words) && words.every((word) => typeof word === 'string')) return words
  } catch {
    // Told below.
  }
  throw usageError(`invalid ${flag} ${JSON.stringify(text)}: it begins as a JSON array of strings and is none`)
}

function createdOf(ctx: CommandContext, text: string | undefined): string | undefined {
  const given = text ?? ctx.env['SOURCE_DATE_EPOCH']
  if (given === undefined || given === '') return undefined
  const time = /^\d{1,11}$/.test(given) ? Number(given) * 1000 : Date.parse(given)
  const isTime =
    !Number.isNaN(time) && (/^\d+$/.test(given) || /^\d{4}-\d{2}-\d{2}T.*(?:Z|[+-]\d{2}:\d{2})$/.test(given))
  if (!isTime)
    throw usageError(`invalid time ${JSON.stringify(given)}`, {
      hint: 'Write it as 2026-01-02T03:04:05Z or in seconds since 1970.',
    })
  return new Date(time).toISOString().replace('.000Z', 'Z')
}
