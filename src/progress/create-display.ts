import { CairnError, usageError } from '../errors/error.ts'
import type { Display, DisplayMode, DisplaySink } from './display.ts'
import { PlainDisplay } from './plain.ts'
import { QuietDisplay } from './quiet.ts'
import { RawJsonDisplay } from './rawjson.ts'
import { TtyDisplay } from './tty.ts'

/** The modes there are, as `--progress` takes them. */
export const displayModes = [
  'auto',
  'none',
  'plain',
  'quiet',
  'rawjson',
  'tty',
] as const satisfies readonly DisplayMode[]

/** `text` as a display mode; the empty text is `auto`. Throws USAGE (status 1) with BuildKit's text for any other. */
export function parseDisplayMode(text: string): DisplayMode {
  if (text === '') return 'auto'
  const mode = displayModes.find((one) => one === text)
  if (mode !== undefined) return mode
  throw usageError(`invalid progress mode ${text}`, { hint: `Choose one of: ${displayModes.join(', ')}.` })
}

/**
 * The display for a mode. `auto` is the live view on a terminal that can do it and plain elsewhere; `env` is read for
 * NO_COLOR and TERM. Throws USAGE for `tty` where the sink is no terminal.
 */
export function createDisplay(
  mode: DisplayMode,
  sink: DisplaySink,
  env: Readonly<Record<string, string | undefined>> = {},
): Display {
  switch (mode) {
    case 'auto':
      return sink.isTTY && env['TERM'] !== 'dumb' ? createDisplay('tty', sink, env) : new PlainDisplay(sink)
    case 'tty':
      if (!sink.isTTY)
        throw new CairnError('USAGE', 'progress mode tty needs a terminal', { hint: 'Use --progress=plain.' })
      return new TtyDisplay(sink, { color: (env['NO_COLOR'] ?? '') === '' })
    case 'plain':
      return new PlainDisplay(sink)
    case 'quiet':
    case 'none':
      return new QuietDisplay()
    case 'rawjson':
      return new RawJsonDisplay(sink)
    default:
      return mode satisfies never
  }
}
