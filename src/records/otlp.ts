import { CairnError } from '../errors/error.ts'
import { redactUrl, redactUrls } from '../errors/redact.ts'
import type { TraceFields, TraceRequest } from './otlp-protobuf.ts'
import type { BuildRecord } from './record.ts'
import type { Span, Timeline } from './timeline.ts'

/** Environment of a command, as far as OpenTelemetry's own variables go. */
type Environment = Readonly<Record<string, string | undefined>>

/** How the body of a request is written. */
export type TraceProtocol = 'http/protobuf' | 'http/json'

/** Where traces are sent, and how. */
export interface TraceEndpoint {
  readonly url: string
  readonly protocol: TraceProtocol
  readonly isCompressed: boolean
  readonly headers: Readonly<Record<string, string>>
  /** Milliseconds. */
  readonly timeout: number
}

/**
 * Where the environment wants traces of builds: OTEL_EXPORTER_OTLP_TRACES_ENDPOINT as it is, or
 * OTEL_EXPORTER_OTLP_ENDPOINT with `/v1/traces`. Undefined where it wants none, also by a TRACEPARENT that is not sampled. A
 * variable that is empty counts as none. (OpenTelemetry protocol exporter specification, §configuration.) Throws
 * TRACE_REFUSED for a protocol other than HTTP's, and for what is no URL of it.
 */
export function traceEndpoint(env: Environment): TraceEndpoint | undefined {
  if (env['OTEL_SDK_DISABLED']?.toLowerCase() === 'true' || env['OTEL_TRACES_EXPORTER'] === 'none') return undefined
  const url = endpointUrl(env)
  if (url === undefined || parentSpan(env)?.isSampled === false) return undefined
  const timeout = Number(ofTraces(env, 'TIMEOUT') ?? longestWait)
  return {
    url,
    protocol: protocolOf(env),
    isCompressed: ofTraces(env, 'COMPRESSION') === 'gzip',
    headers: keyValues(ofTraces(env, 'HEADERS') ?? ''),
    timeout: Number.isFinite(timeout) && timeout > 0 ? timeout : longestWait,
  }
}

/** Milliseconds. Less than the ten seconds of the specification: somebody waits for the build to end. */
const longestWait = 3_000

function endpointUrl(env: Environment): string | undefined {
  const given = set(env, 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT')
  const base = set(env, 'OTEL_EXPORTER_OTLP_ENDPOINT')
  const text = given ?? base
  if (text === undefined) return undefined
  const url = URL.parse(text)
  if (url === null || !['http:', 'https:'].includes(url.protocol))
    throw new CairnError('TRACE_REFUSED', `the trace could not be sent: ${redactUrl(text)} is no http or https URL`)
  if (given === undefined) url.pathname = `${url.pathname.replace(/\/+$/, '')}/v1/traces`
  return url.href
}

function protocolOf(env: Environment): TraceProtocol {
  const protocol = ofTraces(env, 'PROTOCOL') ?? 'http/protobuf'
  if (protocol === 'http/protobuf' || protocol === 'http/json') return protocol
  throw new CairnError('TRACE_REFUSED', `the trace could not be sent: OTEL_EXPORTER_OTLP_PROTOCOL is ${protocol}`, {
    hint: 'Traces are sent by http/protobuf or http/json, most often to port 4318.',
  })
}

function ofTraces(env: Environment, name: string): string | undefined {
  return set(env, `OTEL_EXPORTER_OTLP_TRACES_${name}`) ?? set(env, `OTEL_EXPORTER_OTLP_${name}`)
}

function set(env: Environment, name: string): string | undefined {
  const value = env[name]
  return value === '' ? undefined : value
}

interface ParentSpan {
  readonly traceId: string
  readonly spanId: string
  readonly isSampled: boolean
}

/** The span that TRACEPARENT names (W3C trace context, §3.2), if it is one. */
function parentSpan(env: Environment): ParentSpan | undefined {
  const match = /^(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-|$)/.exec(env['TRACEPARENT'] ?? '')
  const [, traceId = '', spanId = '', flags = ''] = match ?? []
  if (/^0*$/.test(traceId) || /^0*$/.test(spanId)) return undefined
  return { traceId, spanId, isSampled: (Number.parseInt(flags, 16) & 1) === 1 }
}

/**
 * A build as the JSON of an OTLP ExportTraceServiceRequest: a span for the build, below that of TRACEPARENT if there is
 * one, and one for each step that ran or was cached.
 */
export function traceRequest(record: BuildRecord, timeline: Timeline, env: Environment): TraceRequest {
  const parent = parentSpan(env)
  const traceId = parent?.traceId ?? new Bun.CryptoHasher('sha256').update(record.id).digest('hex').slice(0, 32)
  const traceState = parent === undefined ? undefined : set(env, 'TRACESTATE')
  const origin = { traceId, ...(traceState === undefined ? {} : { traceState }) }
  const root = spanId(record.id, '')
  const at = (milliseconds: number): string => `${BigInt(record.createdAt + Math.round(milliseconds)) * 1_000_000n}`
  const stepSpan = (span: Span): TraceFields => ({
    ...origin,
    spanId: spanId(record.id, span.id),
    parentSpanId: root,
    name: redactUrls(span.name),
    kind: 1,
    startTimeUnixNano: at(span.start),
    endTimeUnixNano: at(span.end),
    attributes: attributes({
      'cairn.step.outcome': span.outcome,
      'cairn.step.critical': span.isCritical,
      'cairn.step.reason': span.reason,
    }),
    ...(span.outcome === 'failed' ? { status: { code: 2, message: redactUrls(span.error ?? '') } } : {}),
  })
  const { end } = record
  const build = {
    ...origin,
    spanId: root,
    ...(parent === undefined ? {} : { parentSpanId: parent.spanId }),
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
    status: end?.error === undefined ? { code: 1 } : { code: 2, message: redactUrls(end.error.message) },
  }
  const name = set(env, 'OTEL_SERVICE_NAME')
  const resource = {
    'service.name': 'cairn',
    'service.version': record.cairnVersion,
    ...keyValues(env['OTEL_RESOURCE_ATTRIBUTES'] ?? ''),
    ...(name === undefined ? {} : { 'service.name': name }),
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

function attributes(values: Readonly<Record<string, string | number | boolean | undefined>>): TraceFields[] {
  return Object.entries(values).flatMap(([key, value]): TraceFields[] => {
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
