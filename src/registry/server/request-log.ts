import { close, open, openFlags, write } from '../../linux/files.ts'
import type { LogConfig } from './registry-config.ts'
import { actionOf, type RequestRecord } from './request-record.ts'

/** Writes one line for each request that counts. */
export function requestLog(
  { format, requests }: LogConfig,
  print: (line: string) => void,
): (record: RequestRecord) => void {
  return (record) => {
    if (record.status < 500 && (requests === 'none' || (requests === 'changes' && !isNotable(record)))) return
    print(format === 'json' ? JSON.stringify(fieldsOf(record)) : textOf(record))
  }
}

/**
 * Appends a line of JSON to the file for each change, and each refusal for want of rights or
 * for wrong credentials. The line is written before
 * the client has its answer. The file is opened each time, so it may be moved away at any moment.
 * Throws as the file system does, at once where the file cannot be written.
 */
export function auditLog(path: string): (record: RequestRecord) => void {
  append(path, '')
  return (record) => {
    const action = actionOf(record)
    // Clients ask without credentials first: that alone is no refusal.
    const isRefused = record.status === 403 || (record.status === 401 && record.hasCredentials)
    if (!isRefused && (action === undefined || action === 'pull')) return
    append(path, `${JSON.stringify({ action: action ?? 'refused', ...fieldsOf(record) })}\n`)
  }
}

function append(path: string, text: string): void {
  const fd = open(path, openFlags.O_WRONLY | openFlags.O_CREAT | openFlags.O_APPEND, 0o600)
  try {
    write(fd, new TextEncoder().encode(text), path)
  } finally {
    close(fd)
  }
}

/** Changes, and what was refused for more than not being there or not being known yet. */
function isNotable(record: RequestRecord): boolean {
  const { status, method } = record
  if (status >= 400) return status !== 404 && status !== 401
  return method !== 'GET' && method !== 'HEAD' && actionOf(record) !== undefined
}

function fieldsOf(record: RequestRecord): Readonly<Record<string, unknown>> {
  const { id, time, method, path, status, errorCode, duration, user, address, userAgent, received, sent, facts } =
    record
  return {
    time: time.toISOString(),
    id,
    method,
    path,
    status,
    error: errorCode,
    cause: causeText(record),
    milliseconds: Math.round(duration * 10) / 10,
    user,
    address,
    userAgent,
    received,
    sent,
    ...facts,
  }
}

function textOf(record: RequestRecord): string {
  const { time, method, path, status, errorCode, duration, user, address } = record
  const cause = causeText(record)
  const words = [
    time.toISOString(),
    address ?? '-',
    user ?? '-',
    method,
    path,
    String(status),
    `${duration.toFixed(1)}ms`,
    ...(errorCode === undefined ? [] : [errorCode]),
    ...(cause === undefined ? [] : [JSON.stringify(cause)]),
  ]
  // A path may hold whatever a client sends.
  return words.join(' ').replace(/[\u0000-\u001f\u007f-\u009f]/g, '?')
}

function causeText({ cause, status }: RequestRecord): string | undefined {
  if (status < 500 || cause === undefined) return undefined
  return cause instanceof Error ? (cause.stack ?? cause.message) : Bun.inspect(cause)
}
