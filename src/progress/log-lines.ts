const lineFeed = 10
const carriageReturn = 13

/** Where a log stands after what was printed of it. */
export interface LogPosition {
  /** In the middle of a line. */
  isInLine: boolean
  /** So is the output: what comes next goes on there. */
  isOpen: boolean
  /** After a `\r` that may end a line or be part of `\r\n`: the next byte tells. */
  isAfterReturn: boolean
}

/**
 * A piece of a log with `prefix` before each line that begins in it; the next piece goes on at `position`. Lines end with
 * `\n`, `\r\n` or a lone `\r`, and then with `\n`; a `\r` in an empty line is left out. Byte by byte into one buffer: a log may
 * have millions of lines.
 */
export function prefixedLines(log: Uint8Array, prefix: Uint8Array, position: LogPosition): Uint8Array {
  const out = new Uint8Array(log.length + (countLineEnds(log) + 2) * (prefix.length + 1))
  let size = 0
  let { isInLine, isOpen, isAfterReturn } = position
  for (let at = 0; at < log.length; at++) {
    const byte = log[at] as number
    const endsBefore = isAfterReturn && isInLine && byte !== lineFeed
    isAfterReturn = byte === carriageReturn
    if (isAfterReturn && !endsBefore) continue
    if (!isOpen) for (let index = 0; index < prefix.length; index++) out[size++] = prefix[index] as number
    if (endsBefore) {
      out[size++] = lineFeed
      isOpen = isInLine = false
      // The byte itself is looked at again, with nothing before it.
      if (!isAfterReturn) at--
      continue
    }
    out[size++] = byte
    isOpen = isInLine = byte !== lineFeed
  }
  Object.assign(position, { isInLine, isOpen, isAfterReturn })
  return out.subarray(0, size)
}

function countLineEnds(log: Uint8Array): number {
  let count = 0
  for (let at = 0; at < log.length; at++) if (log[at] === lineFeed || log[at] === carriageReturn) count++
  return count
}
