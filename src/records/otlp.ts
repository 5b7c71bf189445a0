import type { BuildRecord } from './record.ts'
import type { Span, Timeline } from './timeline.ts'

/** Environment of a command, as far as OpenTelemetry's own variables go. */
type Environment = Readonly<Record<string, string | undefined>>

/** Where traces are sent, and with which headers. */
export interface TraceEndpoint {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  /** Milliseconds. */
  readonly timeout: number
}

/**
 * Where the environment wants traces of builds: OTEL_EXPORTER_OTLP_TRACES_ENDPOINT as it is, or
 * OTEL_EXPORTER_OTLP_ENDPOINT with `/v1/traces`. Undefined where it wants none. (OpenTelemetry protocol exporter
 * specification, §configuration.)
 */
export function traceEndpoint(env: Environment): TraceEndpoint | undefined {
  if (env['OTEL_SDK_DISABLED']?.toLowerCase() === 'true' || env['OTEL_TRACES_EXPORTER'] === 'none') return undefined
  const traces = env['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT'] ?? ''
  const base = env['OTEL_EXPORTER_OTLP_ENDPOINT'] ?? ''
  const url = traces !== '' ? traces : base === '' ? undefined : `${base.replace(/\/+$/, '')}/v1/traces`
  if (url === undefined) return undefined
  const timeout = Number(env['OTEL_EXPORTER_OTLP_TRACES_TIMEOUT'] ?? env['OTEL_EXPORTER_OTLP_TIMEOUT'] ?? longestWait)
  return {
    url,
    headers: keyValues(env['OTEL_EXPORTER_OTLP_TRACES_HEADERS'] ?? env['OTEL_EXPORTER_OTLP_HEADERS'] ?? ''),
    timeout: Number.isFinite(timeout) && timeout > 0 ? timeout : longestWait,
  }
}

const longestWait = 10_000

/**
 * A build as the JSON of an OTLP ExportTraceServiceRequest: a span for the build, below that of TRACEPARENT if there is
 * one, and one for each step that ran or was cached.
 */
export function traceRequest(record: BuildRecord, timeline: Timeline, env: Environment): object {
  const [, parentTrace, parentSpan] =
    /^00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}$/.exec(env['TRACEPARENT'] ?? '') ?? []
  const traceId = parentTrace ?? new Bun.CryptoHasher('sha256').update(record.id).digest('hex').slice(0, 32)
  const root = spanId(record.id, '')
  const at = (milliseconds: number): string => `${BigInt(record.createdAt + Math.round(milliseconds)) * 1_000_000n}`
  const stepSpan = (span: Span): object => ({
    traceId,
    spanId: spanId(record.id, span.id),
    parentSpanId: root,
    name: span.name,
    kind: 1,
    startTimeUnixNano: at(span.start),
    endTimeUnixNano: at(span.end),
    attributes: attributes({
      'cairn.step.outcome': span.outcome,
      'cairn.step.critical': span.isCritical,
      'cairn.step.reason': span.reason,
    }),
    ...(span.outcome === 'failed' ? { status: { code: 2, message: span.logTail.at(-1) ?? '' } } : {}),
  })
  const { end } = record
  const build = {
    traceId,
    spanId: root,
    ...(parentSpan === undefined ? {} : { parentSpanId: parentSpan }),
    name: `build ${record.name}`,
    kind: 1,
    startTimeUnixNano: at(0),
    endTimeUnixNano: at(timeline.duration),
    attributes: attributes({
      'cairn.build.id': record.id,
      'cairn.build.status': record.status,
      'cairn.build.context': record.context,
      'cairn.build.dockerfile': record.dockerfile,
      'cairn.build.target': record.target,
      'cairn.build.steps': end?.total,
      'cairn.build.cached': end?.cached,
      'cairn.build.image': end?.imageId,
    }),
    status: end?.error === undefined ? { code: 1 } : { code: 2, message: end.error.message },
  }
  const resource = {
    ...keyValues(env['OTEL_RESOURCE_ATTRIBUTES'] ?? ''),
    'service.name': env['OTEL_SERVICE_NAME'] ?? 'cairn',
    'service.version': record.cairnVersion,
  }
  return {
    resourceSpans: [
      {
        resource: { attributes: attributes(resource) },
        scopeSpans: [
          { scope: { name: 'cairn', version: record.cairnVersion }, spans: [build, ...timeline.spans.map(stepSpan)] },
        ],
      },
    ],
  }
}

function spanId(build: string, step: string): string {
  return new Bun.CryptoHasher('sha256').update(`${build}\n${step}`).digest('hex').slice(0, 16)
}

function attributes(values: Readonly<Record<string, string | number | boolean | undefined>>): object[] {
  return Object.entries(values).flatMap(([key, value]): object[] => {
    if (value === undefined) return []
    if (typeof value === 'boolean') return [{ key, value: { boolValue: value } }]
    return [{ key, value: typeof value === 'number' ? { intValue: String(value) } : { stringValue: value } }]
  })
}

/** `a=b,c=d`, percent-encoded. */
function keyValues(text: string): Record<string, string> {
  const values: Record<string, string> = {}
  for (const pair of text.split(',')) {
    const equals = pair.indexOf('=')
    if (equals > 0) values[pair.slice(0, equals).trim()] = decoded(pair.slice(equals + 1).trim())
  }
  return values
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
