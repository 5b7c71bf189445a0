/** A message of OTLP in its JSON form: bytes in hex, 64-bit numbers as texts. */
export interface TraceFields {
  readonly [name: string]: TraceValue
}

type TraceValue = string | number | boolean | TraceFields | readonly TraceFields[]

/** An ExportTraceServiceRequest in its JSON form. */
export interface TraceRequest extends TraceFields {
  readonly resourceSpans: readonly TraceFields[]
}

/** How a field is written: as a varint, in 8 bytes, as text, as bytes told in hex, or as a message of that name. */
type FieldType = 'varint' | 'fixed64' | 'text' | 'hex' | keyof typeof messages

/** Number and type of each field, of opentelemetry/proto/{trace,common,resource}/v1. */
const messages = {
  request: { resourceSpans: [1, 'resourceSpans'] },
  resourceSpans: { resource: [1, 'resource'], scopeSpans: [2, 'scopeSpans'] },
  resource: { attributes: [1, 'attribute'] },
  scopeSpans: { scope: [1, 'scope'], spans: [2, 'span'] },
  scope: { name: [1, 'text'], version: [2, 'text'] },
  span: {
    traceId: [1, 'hex'],
    spanId: [2, 'hex'],
    traceState: [3, 'text'],
    parentSpanId: [4, 'hex'],
    name: [5, 'text'],
    kind: [6, 'varint'],
    startTimeUnixNano: [7, 'fixed64'],
    endTimeUnixNano: [8, 'fixed64'],
    attributes: [9, 'attribute'],
    status: [15, 'status'],
  },
  status: { message: [2, 'text'], code: [3, 'varint'] },
  attribute: { key: [1, 'text'], value: [2, 'value'] },
  value: { stringValue: [1, 'text'], boolValue: [2, 'varint'], intValue: [3, 'varint'] },
} as const

const encoder = new TextEncoder()

/** The request in its binary form (Protocol Buffers, §encoding), in which a collector takes it as `http/protobuf`. */
export function encodeTraceRequest(request: TraceRequest): Uint8Array<ArrayBuffer> {
  const pieces: Uint8Array[] = []
  encodeMessage(request, 'request', pieces)
  return Buffer.concat(pieces)
}

/** Adds the bytes of a message to `out`, and gives how many those are. */
function encodeMessage(value: TraceFields, name: keyof typeof messages, out: Uint8Array[]): number {
  const fields: Readonly<Record<string, readonly [number, FieldType]>> = messages[name]
  let size = 0
  for (const [key, given] of Object.entries(value)) {
    const field = fields[key]
    if (field === undefined) throw new Error(`${name} of OTLP has no ${key}`)
    for (const one of Array.isArray(given) ? given : [given]) size += encodeField(field, one as TraceValue, out)
  }
  return size
}

function encodeField([number, type]: readonly [number, FieldType], value: TraceValue, out: Uint8Array[]): number {
  const add = (bytes: Uint8Array): number => {
    out.push(bytes)
    return bytes.length
  }
  switch (type) {
    case 'varint':
      return add(varint(number << 3)) + add(varint(Number(value)))
    case 'fixed64': {
      const bytes = new Uint8Array(8)
      new DataView(bytes.buffer).setBigUint64(0, BigInt(value as string), true)
      return add(varint((number << 3) | 1)) + add(bytes)
    }
    case 'text':
    case 'hex': {
      const bytes = type === 'hex' ? Uint8Array.fromHex(value as string) : encoder.encode(value as string)
      return add(varint((number << 3) | 2)) + add(varint(bytes.length)) + add(bytes)
    }
    default: {
      const inner: Uint8Array[] = []
      const size = encodeMessage(value as TraceFields, type, inner)
      const head = add(varint((number << 3) | 2)) + add(varint(size))
      for (const bytes of inner) out.push(bytes)
      return head + size
    }
  }
}

/** A whole number from 0 on, seven bits in each byte, the lowest first. */
function varint(value: number): Uint8Array {
  const bytes: number[] = []
  let rest = value
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80)
  bytes.push(rest)
  return Uint8Array.from(bytes)
}
