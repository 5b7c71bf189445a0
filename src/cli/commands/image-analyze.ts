import type { AnalyzedImage } from '../../analysis/analysis.ts'
import { type Budget, checkBudget, metricNames, parseCondition, withoutIgnored } from '../../analysis/budget.ts'
import { analyzeImages } from '../../engine/images/analyze-image.ts'
import { CairnError } from '../../errors/error.ts'
import { readTextFile } from '../../linux/text-file.ts'
import { parsePlatform } from '../../oci/platform.ts'
import { analysisObject } from '../images/analysis-object.ts'
import { analysisText, failureText } from '../images/analysis-text.ts'
import { defineCommand } from '../command.ts'
import { imageNames } from '../images/image-names.ts'
import { openStoreOf } from '../open-store.ts'
import { registryAccessOf } from '../registry-access.ts'
import { renderObjects } from '../printer.ts'
import { toJson } from '../go-template/template-functions.ts'
import { version } from '../version.ts'

export default defineCommand({
  usage: '[OPTIONS] IMAGE',
  description: `IMAGE is a name in the store, or oci:DIR[:TAG], oci-archive:FILE[:NAME], docker-archive:FILE[:NAME], dir:DIR.
Tells what each layer adds, which bytes are wasted and by which instruction, secrets in any layer (also deleted ones),
environment, labels and history, and files with special rights. Secrets are shown by their first characters only.

Conditions of --fail-on are METRIC (any at all) or METRIC<VALUE, METRIC>VALUE; values are numbers, percentages or sizes.
Metrics: ${metricNames.slice(0, 9).join(', ')},
${metricNames.slice(9).join(', ')}.`,
  examples: [
    { text: 'Where the bytes go', command: 'cairn image analyze app:1' },
    { text: 'An archive that docker saved', command: 'cairn image analyze docker-archive:app.tar' },
    {
      text: 'Fail in CI on secrets and on waste',
      command: "cairn image analyze --fail-on secrets --fail-on 'efficiency<0.95' --fail-on 'wasted>20MB' app:1",
    },
    { text: 'The same from a file', command: 'cairn image analyze --budget cairn-analyze.json app:1' },
    { text: 'For code scanning', command: 'cairn image analyze --format sarif app:1 > app.sarif' },
    { text: 'One number', command: "cairn image analyze --format '{{.Efficiency}}' app:1" },
  ],
  args: { min: 1, max: 1 },
  flags: {
    budget: {
      type: 'string',
      value: 'file',
      complete: 'file',
      summary: 'Read conditions to fail on, and findings to ignore, from a JSON file; or the rules of a .dive-ci',
    },
    'fail-on': {
      type: 'stringSlice',
      value: 'condition',
      summary: "End with status 1 if this is true of the image: secrets, setuid, 'efficiency<0.95', 'wasted>20MB', …",
    },
    format: {
      type: 'string',
      default: '',
      summary:
        "Format output using a custom template:\n'table':            Print tables to be read (default)\n'json':             Print in JSON format, one object a line\n'sarif':            Print a SARIF 2.1.0 log\n'TEMPLATE':         Print output using the given Go template.",
    },
    'no-trunc': { type: 'bool', summary: "Don't truncate output" },
    platform: {
      type: 'string',
      summary: 'Analyze the given platform, formatted as "os[/arch[/variant]]" (e.g., "linux/amd64"), or "all"',
    },
    top: { type: 'int', default: 10, summary: 'Rows of waste and of permissions to show; 0 for all' },
  },
  output: 'collected',
  complete: (ctx) => imageNames(ctx),
  async run(ctx, flags, [name = '']) {
    const { format, top } = flags
    if (top < 0) throw new CairnError('USAGE', '--top is the number of rows, or 0 for all')
    const budget = await readBudget(flags['fail-on'], flags.budget)
    const platform =
      flags.platform === undefined || flags.platform === 'all' ? flags.platform : parsePlatform(flags.platform)
    const images: AnalyzedImage[] = []
    for await (const image of analyzeImages(await ctx.use(openStoreOf), name, platform, registryAccessOf(ctx)))
      images.push({ ...image, analysis: withoutIgnored(image.analysis, budget.ignore) })
    const rows = top === 0 ? Number.MAX_SAFE_INTEGER : top
    ctx.stdout.write(
      await render(images, format, {
        top: rows,
        trunc: !flags['no-trunc'],
        // What machines read is whole unless less is asked for.
        objects: ctx.given('top') ? rows : undefined,
      }),
    )
    const failed = images.flatMap((image) => {
      const failures = checkBudget(image.analysis, budget.conditions)
      return failures.length === 0 ? [] : [failureText(image, failures)]
    })
    ctx.stderr.write(failed.join(''))
    return failed.length > 0 ? 1 : 0
  },
})

interface RenderOptions {
  readonly top: number
  readonly trunc: boolean
  /** Items of waste in JSON and templates. */
  readonly objects: number | undefined
}

async function render(images: readonly AnalyzedImage[], format: string, options: RenderOptions): Promise<string> {
  if (format === '' || format === 'table') return images.map((image) => analysisText(image, options)).join('\n')
  if (format === 'sarif') {
    const { toSarif } = await import('../../analysis/sarif.ts')
    return `${JSON.stringify(toSarif(images, version), undefined, 2)}\n`
  }
  const objects = images.map((image) => analysisObject(image, options.objects))
  if (format === 'json') return objects.map((object) => `${toJson(object)}\n`).join('')
  return renderObjects(objects, format)
}

async function readBudget(conditions: readonly string[], path: string | undefined): Promise<Budget> {
  const given = conditions.map(parseCondition)
  if (path === undefined) return { conditions: given, ignore: [] }
  const { parseBudget } = await import('../../analysis/budget-file.ts')
  const text = readTextFile(path)
  if (text === undefined) throw new CairnError('FILE_UNKNOWN', `there is no budget ${path}`)
  const budget = parseBudget(text, path)
  return { conditions: [...budget.conditions, ...given], ignore: budget.ignore }
}
