import { printable } from '../../dockerfile/characters.ts'
import { formatDuration } from '../../progress/quantities.ts'
import { findRecord, type StoredRecord } from '../../records/build-records.ts'
import { completedSteps, type RecordedFailure } from '../../records/record.ts'
import { builderFlag } from '../build/one-builder.ts'
import { defineCommand } from '../command.ts'
import { objectFormatFlag } from '../format-flag.ts'
import { openStoreOf } from '../open-store.ts'
import { renderObjects } from '../printer.ts'
import { recordIds } from '../build/record-names.ts'

export default defineCommand({
  usage: '[OPTIONS] [BUILD]',
  description: 'Without BUILD the newest. Of build arguments only the names are kept.',
  examples: [
    { text: 'What the build before the last one made', command: "cairn builds inspect --format '{{.ImageID}}' ^1" },
  ],
  args: { max: 1 },
  flags: { builder: builderFlag, format: objectFormatFlag },
  output: 'collected',
  complete: (ctx) => recordIds(ctx),
  async run(ctx, flags, [text]) {
    const record = findRecord(await ctx.use(openStoreOf), text)
    if (flags.format === '' || flags.format === 'pretty') ctx.stdout.write(renderRecord(record))
    else if (flags.format === 'json') ctx.stdout.write(`${JSON.stringify(objectOf(record), undefined, 2)}\n`)
    else ctx.stdout.write(renderObjects([objectOf(record)], flags.format))
  },
})

/** With the names of `docker buildx history inspect` where it has them. */
function objectOf(record: StoredRecord): object {
  const { id, name, createdAt, context, dockerfile, target, platforms, buildArgs, tags, status, end } = record
  return {
    Name: name,
    Ref: id,
    Context: context,
    Dockerfile: dockerfile,
    ...(target === undefined ? {} : { Target: target }),
    Platform: platforms,
    StartedAt: new Date(createdAt).toISOString(),
    ...(end === undefined
      ? {}
      : { CompletedAt: new Date(end.completedAt).toISOString(), Duration: (end.completedAt - createdAt) * 1e6 }),
    Status: status,
    NumCompletedSteps: end === undefined ? 0 : completedSteps(end),
    NumTotalSteps: end?.total ?? 0,
    NumCachedSteps: end?.cached ?? 0,
    BuildArgs: buildArgs,
    Tags: tags,
    ImageID: end?.imageId ?? '',
    Digest: end?.digest ?? '',
    ...(end?.error === undefined ? {} : { Error: end.error }),
    Steps: end?.steps ?? [],
  }
}

function renderRecord(record: StoredRecord): string {
  const { id, name, createdAt, context, dockerfile, target, platforms, buildArgs, tags, status, end } = record
  const running = status === 'running' ? `${formatDuration(Date.now() - createdAt)} (running)` : ''
  const duration = end === undefined ? running : formatDuration(end.completedAt - createdAt)
  const share = end === undefined || end.total === 0 ? 0 : Math.round((end.cached / end.total) * 100)
  const blocks: (readonly [string, string | undefined])[][] = [
    [
      ['Name', name],
      ['Ref', id],
      ['Context', context],
      ['Dockerfile', dockerfile],
      ['Target', target],
      ['Platforms', platforms.join(', ')],
    ],
    [
      ['Started', new Date(createdAt).toISOString().slice(0, 19).replace('T', ' ')],
      ['Duration', duration],
      ['Status', status],
      ['Build Steps', end === undefined ? undefined : `${end.total} (${share}% cached)`],
    ],
    [
      ['Build Args', buildArgs.join(', ')],
      ['Tags', tags.join(', ')],
      ['Image', end?.imageId],
      ['Digest', end?.digest],
    ],
  ]
  const texts = blocks.map((block) => {
    const lines = block.filter(([, value]) => value !== undefined && value !== '')
    const width = Math.max(0, ...lines.map(([term]) => term.length + 2))
    return lines.map(([term, value = '']) => `${`${term}:`.padEnd(width)}${oneLine(value)}\n`).join('')
  })
  if (end?.error !== undefined) texts.push(renderError(end.error))
  texts.push(`Print build logs: cairn builds logs ${id}\n`)
  return texts.filter((text) => text !== '').join('\n')
}

/** As buildx: the lines of the Dockerfile, and the end of what the step wrote. */
function renderError({ message, excerpt, step, logTail }: RecordedFailure): string {
  const lines = [`Error: ${printable(message)}`]
  if (excerpt !== undefined) lines.push(printable(excerpt))
  if (step !== undefined && logTail !== undefined && logTail.length > 0)
    lines.push('', 'Logs:', `> => ${oneLine(step)}:`, ...logTail.map((line) => `> ${oneLine(Bun.stripANSI(line))}`))
  return `${lines.join('\n')}\n`
}

/** What a record says may be anything, where it was imported. */
function oneLine(text: string): string {
  return printable(text.replaceAll(/[\r\n]+/g, ' '))
}
