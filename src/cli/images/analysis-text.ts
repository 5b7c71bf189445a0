import type {
  AnalyzedImage,
  FileTotal,
  ImageAnalysis,
  PermissionFinding,
  SecretFinding,
  WasteItem,
} from '../../analysis/analysis.ts'
import { type BudgetFailure, unitOf } from '../../analysis/budget.ts'
import { alignColumns, ellipsis } from '../printer.ts'
import { formatByteSize } from '../units.ts'

export interface AnalysisTextOptions {
  /** Rows of waste and of permissions. */
  readonly top: number
  /** Whether long instructions are cut. */
  readonly trunc: boolean
}

/** Width of instructions. */
const instructionWidth = 60

/** An analysis to be read: a summary, then tables of layers, waste, secrets and permissions; empty ones are left out. */
export function analysisText(image: AnalyzedImage, options: AnalysisTextOptions): string {
  const { analysis } = image
  const sections = [
    summary(image),
    layerTable(analysis, options),
    wasteTable(analysis, options),
    adviceList(analysis, options),
    secretTable(analysis, options),
    permissionTable(analysis, options),
    notes(analysis),
  ]
  return sections.filter((section) => section !== '').join('\n')
}

/** What failed of a budget, a line each. */
export function failureText(image: AnalyzedImage, failures: readonly BudgetFailure[]): string {
  const lines = failures.map(({ condition, actual }) => {
    const unit = unitOf(condition)
    const shown = unit === 'share' ? percent(actual) : unit === 'bytes' ? formatByteSize(actual) : String(actual)
    return `  ${condition.text}: ${condition.metric} is ${shown}\n`
  })
  return `${printable(image.name)} (${image.platform}) fails its budget:\n${lines.join('')}`
}

function summary({ name, platform, id, analysis }: AnalyzedImage): string {
  const { size, layers, visible, efficiency, wastedBytes, secrets, permissions } = analysis
  const rows = [
    ['Image', `${printable(name)}  ${platform}  ${id.slice(0, 19)}`],
    ['Size', `${formatByteSize(size)} in ${counted(layers.length, 'layer')}, ${counted(visible.files, 'file')}`],
    ['Efficiency', `${percent(efficiency)}, ${formatByteSize(wastedBytes)} wasted`],
    ['Secrets', secrets.length === 0 ? 'none found' : String(secrets.length)],
    ['Permissions', permissions.length === 0 ? 'nothing special' : countKinds(permissions)],
  ]
  return rows.map(([label = '', value = '']) => `${`${label}:`.padEnd(13)}${value}\n`).join('')
}

function layerTable({ layers }: ImageAnalysis, { trunc }: AnalysisTextOptions): string {
  const rows = layers.map(({ number, size, added, changed, removed, wastedBytes, instruction }) => [
    String(number),
    formatByteSize(size, 3),
    total(added),
    total(changed),
    total(removed),
    wastedBytes === 0 ? '-' : formatByteSize(wastedBytes, 3),
    shownInstruction(instruction, trunc),
  ])
  return table(['LAYER', 'SIZE', 'ADDED', 'CHANGED', 'REMOVED', 'WASTED', 'INSTRUCTION'], rows)
}

function wasteTable({ waste, layers }: ImageAnalysis, { top, trunc }: AnalysisTextOptions): string {
  const rows = waste
    .slice(0, top)
    .map(({ kind, path, bytes, files, layer, detail }) => [
      formatByteSize(bytes, 3),
      String(files),
      kindText(kind, detail),
      printable(path),
      `${layer} ${shownInstruction(layers[layer - 1]?.instruction ?? '', trunc)}`,
    ])
  const more = waste.length - rows.length
  return (
    table(['WASTED', 'FILES', 'WHY', 'PATH', 'BLAMED ON LAYER'], rows) +
    (more > 0 ? `… and ${more} more; --top 0 shows all\n` : '')
  )
}

/** Each piece of advice once, with the layer it is for. */
function adviceList({ waste }: ImageAnalysis, { top }: AnalysisTextOptions): string {
  const advice = new Map<string, { layer: number; kind: string; bytes: number; text: string }>()
  for (const { kind, detail, layer, bytes, advice: text } of waste.slice(0, top)) {
    const key = `${layer} ${kind} ${text}`
    const known = advice.get(key) ?? { layer, kind: kindText(kind, kind === 'duplicate' ? '' : detail), bytes: 0, text }
    known.bytes += bytes
    advice.set(key, known)
  }
  const lines = [...advice.values()]
    .sort((a, b) => b.bytes - a.bytes)
    .map(({ layer, kind, bytes, text }) => `  layer ${layer}, ${kind} (${formatByteSize(bytes, 3)}): ${text}\n`)
  return lines.length === 0 ? '' : `To waste less:\n${lines.join('')}`
}

function secretTable({ secrets }: ImageAnalysis, _options: AnalysisTextOptions): string {
  const rows = secrets.map((secret) => [
    secret.level.toUpperCase(),
    secret.rule,
    placeOf(secret),
    printable(secret.redacted),
    secret.layers.length === 0 ? 'config' : `${secret.layers.join(', ')}${secret.isVisible ? '' : ' (hidden later)'}`,
  ])
  return table(['LEVEL', 'SECRET', 'WHERE', 'VALUE', 'LAYER'], rows)
}

function permissionTable({ permissions }: ImageAnalysis, { top }: AnalysisTextOptions): string {
  const rows = permissions
    .slice(0, top)
    .map(({ kind, path, mode, uid, gid, capabilities, layer }) => [
      kind,
      capabilities === '' ? mode.toString(8).padStart(4, '0') : capabilities,
      `${uid}:${gid}`,
      printable(path),
      String(layer),
    ])
  const more = permissions.length - rows.length
  return (
    table(['PERMISSION', 'MODE', 'OWNER', 'PATH', 'LAYER'], rows) +
    (more > 0 ? `… and ${more} more; --top 0 shows all\n` : '')
  )
}

function notes({ unsearched, samples }: ImageAnalysis): string {
  const lines = []
  if (samples.length > 0)
    lines.push(
      `${counted(samples.length, 'key')} in tests, documentation and libraries of installed packages are not told; JSON has them as Samples\n`,
    )
  if (unsearched.length > 0)
    lines.push(
      `not searched to the end for secrets: ${unsearched.slice(0, 5).map(printable).join(', ')}${unsearched.length > 5 ? ', …' : ''}\n`,
    )
  return lines.join('')
}

function placeOf({ path, line, field = '', name }: SecretFinding): string {
  if (path === undefined) return printable(name === undefined ? field : `${field} ${name}`)
  return printable(line === undefined ? path : `${path}:${line}`)
}

function kindText(kind: WasteItem['kind'], detail: string): string {
  switch (kind) {
    case 'metadata':
      return detail === 'nothing' ? 'same content again' : `only ${detail} changed`
    case 'cache':
      return `${detail} cache`
    case 'duplicate':
      return detail === '' ? kind : `duplicate of ${printable(detail)}`
    default:
      return kind
  }
}

function countKinds(permissions: readonly PermissionFinding[]): string {
  const counts = new Map<string, number>()
  for (const { kind } of permissions) counts.set(kind, (counts.get(kind) ?? 0) + 1)
  return [...counts].map(([kind, count]) => `${count} ${kind}`).join(', ')
}

function total({ files, bytes }: FileTotal): string {
  return files === 0 ? '-' : `${files} (${formatByteSize(bytes, 3)})`
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}

/** Rounded down, so that 100% means all. */
function percent(share: number): string {
  return `${Math.floor(share * 1000) / 10}%`
}

function shownInstruction(instruction: string, trunc: boolean): string {
  const line = printable(instruction.replace(/\s+/g, ' '))
  return trunc ? ellipsis(line, instructionWidth) : line
}

function table(headings: readonly string[], rows: readonly (readonly string[])[]): string {
  return rows.length === 0 ? '' : alignColumns([headings, ...rows].map((cells) => `${cells.join('\t')}\n`).join(''))
}

/** Names in an image may hold anything: what a terminal would act on, and bytes that are no text, are shown as escapes. */
function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu, (one) => {
    const code = one.codePointAt(0) ?? 0
    // A lone surrogate stands for a byte of a name (linux/path-bytes.ts).
    const byte = code >= 0xdc80 && code <= 0xdcff ? code - 0xdc00 : code
    return byte < 0x100 ? `\\x${byte.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`
  })
}
