const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'] as const

/** Bytes as BuildKit's progress prints them: `119B`, `2.06MB`. */
export function formatBytes(bytes: number): string {
  let size = bytes
  let unit = 0
  while (Math.abs(size) >= 1000 && unit < units.length - 1) {
    size /= 1000
    unit++
  }
  return unit === 0 ? `${bytes}B` : `${size.toFixed(2)}${units[unit] ?? 'B'}`
}

/** `1.00MB / 3.00MB`, `1.00MB` where the total is unknown, or nothing where both are. */
export function formatAmount(current: number, total: number): string {
  if (total !== 0) return `${formatBytes(current)} / ${formatBytes(total)}`
  return current === 0 ? '' : formatBytes(current)
}

/** Milliseconds as seconds with one decimal: `0.4s`. */
export function formatSeconds(milliseconds: number): string {
  return `${(Math.max(0, milliseconds) / 1000).toFixed(1)}s`
}

/** Milliseconds as buildx tells how long a build took: `4.2s`, `1m 12s`. */
export function formatDuration(milliseconds: number): string {
  const seconds = Math.trunc(milliseconds / 1000)
  return seconds < 60
    ? formatSeconds(milliseconds)
    : `${Math.trunc(seconds / 60)}m ${String(seconds % 60).padStart(2)}s`
}

/** Time of a log line since its step began, in seconds with four significant digits: `0.123`, `12.34`, `123.4`. */
export function formatLogTime(milliseconds: number): string {
  const seconds = Math.max(0, milliseconds) / 1000
  return seconds.toFixed(seconds < 10 ? 3 : seconds < 100 ? 2 : 1)
}
