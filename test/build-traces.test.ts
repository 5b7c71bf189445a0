import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { readFileSync } from 'node:fs'
import { BuildBench, type Ended } from './fixtures/build-bench.ts'

interface Span {
  traceId: string
  spanId: string
  parentSpanId?: string
  traceState?: string
  name: string
  startTimeUnixNano: string
  endTimeUnixNano: string
  attributes: { key: string; value: object }[]
  status?: { code: number; message?: string }
}

interface Request {
  path: string
  headers: Headers
  body: Uint8Array
}

/** A collector on the loopback interface that takes down what it gets. */
class Collector implements Disposable {
  readonly requests: Request[] = []
  readonly #server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch: async (request) => {
      const { pathname, search } = new URL(request.url)
      this.requests.push({ path: pathname + search, headers: request.headers, body: await request.bytes() })
      return new Response('{}')
    },
  })

  get url(): string {
    return `http://127.0.0.1:${this.#server.port}`
  }

  /** The spans of the only request, which is JSON: that of the build, and those of its steps. */
  spans(): { build: Span; steps: Span[]; resource: Record<string, object> } {
    expect(this.requests).toHaveLength(1)
    const { resourceSpans } = JSON.parse(Buffer.from(this.requests[0]?.body ?? []).toString()) as {
      resourceSpans: { resource: { attributes: Span['attributes'] }; scopeSpans: { spans: Span[] }[] }[]
    }
    const [build, ...steps] = resourceSpans[0]?.scopeSpans[0]?.spans ?? []
    if (build === undefined) throw new Error('there is no span')
    const attributes = resourceSpans[0]?.resource.attributes ?? []
    return { build, steps, resource: Object.fromEntries(attributes.map(({ key, value }) => [key, value])) }
  }

  [Symbol.dispose](): void {
    void this.#server.stop(true)
  }
}

let bench: BuildBench
let collector: Collector
beforeEach(async () => {
  bench = await BuildBench.open()
  collector = new Collector()
  bench.file('Dockerfile', 'FROM busybox\nRUN echo one\n')
})
afterEach(() => {
  collector[Symbol.dispose]()
  bench[Symbol.dispose]()
})

async function build(env: Readonly<Record<string, string>>, ...flags: readonly string[]): Promise<Ended> {
  bench.closeStore()
  return await bench.cairn(['build', ...flags, bench.context], { env })
}

const asJson = { OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' }

describe('OTEL_EXPORTER_OTLP_ENDPOINT', () => {
  test('gets a span for the build and one for each step', async () => {
    const { status, err } = await build({
      ...asJson,
      OTEL_EXPORTER_OTLP_ENDPOINT: `${collector.url}/`,
      OTEL_EXPORTER_OTLP_HEADERS: 'authorization=Bearer%20token',
      OTEL_RESOURCE_ATTRIBUTES: 'team=images',
      TRACEPARENT: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`,
      TRACESTATE: 'vendor=x',
    })
    expect(err).not.toContain('WARNING')
    expect(status).toBe(0)
    const { build: root, steps, resource } = collector.spans()
    const [{ path, headers } = { path: '', headers: new Headers() }] = collector.requests
    expect(path).toBe('/v1/traces')
    expect(headers.get('authorization')).toBe('Bearer token')
    expect(headers.get('content-type')).toBe('application/json')
    expect(resource).toMatchObject({ team: { stringValue: 'images' }, 'service.name': { stringValue: 'cairn' } })
    expect(root).toMatchObject({
      name: 'build context',
      traceId: 'a'.repeat(32),
      parentSpanId: 'b'.repeat(16),
      traceState: 'vendor=x',
    })
    expect(steps.map(({ name }) => name)).toContain('[2/2] RUN echo one')
    for (const { traceId, parentSpanId, startTimeUnixNano, endTimeUnixNano } of steps) {
      expect([traceId, parentSpanId]).toEqual(['a'.repeat(32), root.spanId])
      expect(BigInt(endTimeUnixNano)).toBeGreaterThanOrEqual(BigInt(startTimeUnixNano))
    }
    expect(new Set(steps.map(({ spanId }) => spanId)).size).toBe(steps.length)
  })

  test('gets protocol buffers unless JSON is asked for, compressed where that is', async () => {
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_EXPORTER_OTLP_COMPRESSION: 'gzip' }
    expect(await build(env)).toMatchObject({ status: 0 })
    const [{ headers, body } = { headers: new Headers(), body: new Uint8Array() }] = collector.requests
    expect(headers.get('content-type')).toBe('application/x-protobuf')
    expect(headers.get('content-encoding')).toBe('gzip')
    const [resourceSpans] = fieldsOf(Bun.gunzipSync(Buffer.from(body)))
    const [resource, scopeSpans] = fieldsOf(resourceSpans?.bytes)
    const [name] = fieldsOf(resource?.bytes)
    expect(fieldsOf(name?.bytes).map(({ bytes }) => bytes.toString())).toEqual(['service.name', '\n\u0005cairn'])
    const [scope, ...spans] = fieldsOf(scopeSpans?.bytes)
    expect(fieldsOf(scope?.bytes)[0]).toEqual({ number: 1, bytes: Buffer.from('cairn') })
    const [first = [], ...others] = spans.map(({ bytes }) => fieldsOf(bytes))
    const fieldOf = (span: Field[], number: number): Buffer =>
      span.find((field) => field.number === number)?.bytes ?? Buffer.alloc(0)
    expect(fieldOf(first, 1)).toHaveLength(16)
    expect(fieldOf(first, 5).toString()).toBe('build context')
    expect(others.map((span) => fieldOf(span, 5).toString())).toContain('[2/2] RUN echo one')
    for (const span of others) {
      expect(fieldOf(span, 4)).toEqual(fieldOf(first, 2))
      expect(fieldOf(span, 6)).toEqual(Buffer.from([1]))
      const [begun, ended] = [fieldOf(span, 7).readBigUInt64LE(), fieldOf(span, 8).readBigUInt64LE()]
      expect(ended).toBeGreaterThanOrEqual(begun)
      expect(Math.abs(Number(begun / 1_000_000n) - Date.now())).toBeLessThan(60_000)
    }
  })

  test.each([
    [{ OTEL_SERVICE_NAME: '', OTEL_RESOURCE_ATTRIBUTES: 'service.name=shop' }, 'shop'],
    [{ OTEL_SERVICE_NAME: 'till', OTEL_RESOURCE_ATTRIBUTES: 'service.name=shop' }, 'till'],
    [{ OTEL_SERVICE_NAME: '', OTEL_RESOURCE_ATTRIBUTES: '' }, 'cairn'],
  ])('names the service as %p says', async (env, name) => {
    await build({ ...asJson, OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, ...env })
    expect(collector.spans().resource['service.name']).toEqual({ stringValue: name })
  })

  test.each([
    ['an endpoint of its own for traces', { TRACES_ENDPOINT: '/x?key=1', ENDPOINT: '/no' }, '/x?key=1'],
    ['a path and a query', { TRACES_ENDPOINT: '', ENDPOINT: '/otlp/?key=1' }, '/otlp/v1/traces?key=1'],
  ])('heeds %s', async (_, paths, path) => {
    const env = Object.entries(paths).map(([name, at]) => [
      `OTEL_EXPORTER_OTLP_${name}`,
      at === '' ? '' : `${collector.url}${at}`,
    ])
    await build(Object.fromEntries(env) as Record<string, string>)
    expect(collector.requests.map((request) => request.path)).toEqual([path])
  })

  test.each([
    ['OTEL_SDK_DISABLED', 'true'],
    ['OTEL_TRACES_EXPORTER', 'none'],
    ['TRACEPARENT', `00-${'a'.repeat(32)}-${'b'.repeat(16)}-00`],
  ])('gets nothing with %s=%s', async (name, value) => {
    const { err, status } = await build({ OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, [name]: value })
    expect(err).not.toContain('WARNING')
    expect(status).toBe(0)
    expect(collector.requests).toEqual([])
  })

  test('gets no secret, no output, no credentials of URLs', async () => {
    bench.file(
      'Dockerfile',
      'FROM busybox\nRUN --mount=type=secret,id=s,env=S : https://user:pass-word@example.com/x; echo "$S"; exit 3\n',
    )
    const env = { ...asJson, OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, S: 'secret-value' }
    const { status } = await build(env, '--secret', 'id=s,env=S')
    expect(status).toBe(1)
    const { build: root, steps } = collector.spans()
    expect(Buffer.from(collector.requests[0]?.body ?? []).toString()).not.toMatch(/secret-value|pass-word/)
    expect(root.status).toMatchObject({ code: 2, message: expect.stringContaining('did not complete successfully') })
    const failed = steps.find(({ name }) => name.includes('RUN'))
    expect(failed?.status).toMatchObject({ code: 2, message: expect.stringContaining('exit code: 3') })
  })
})

describe('a collector', () => {
  test('that refuses or is not there is a warning, and no failure', async () => {
    using refusing = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: () => new Response('', { status: 503 }) })
    const warningOf = async (env: Readonly<Record<string, string>>): Promise<string> => {
      const { err, status } = await build(env)
      expect(status).toBe(0)
      return err
    }
    const at = (url: string): Promise<string> => warningOf({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: url })
    expect(await at(`http://user:word@127.0.0.1:${refusing.port}/x`)).toMatch(
      /WARNING: the trace could not be sent to http:\/\/127\.0\.0\.1:\d+\/x: it answered 503/,
    )
    expect(await at('http://127.0.0.1:1/')).toContain('WARNING: the trace could not be sent to')
    expect(await at('localhost:4318')).toContain('localhost:4318 is no http or https URL')
    const grpc = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }
    expect(await warningOf(grpc)).toContain('OTEL_EXPORTER_OTLP_PROTOCOL is grpc')
    const header = { OTEL_EXPORTER_OTLP_ENDPOINT: collector.url, OTEL_EXPORTER_OTLP_HEADERS: 'key=se%0Acret' }
    expect(await warningOf(header)).toMatch(/WARNING: .*OTEL_EXPORTER_OTLP_HEADERS has what no HTTP header can have\n/)
    expect(collector.requests).toEqual([])
  }, 30_000)

  test('that never answers is waited for when all else is done, so long as is said, and not after a signal', async () => {
    using silent = Bun.listen({ port: 0, hostname: '127.0.0.1', socket: { data: () => undefined } })
    const iidfile = `${bench.directory}/iid`
    const start = (timeout: string): ReturnType<BuildBench['spawn']> =>
      bench.spawn(['build', '-q', '--iidfile', iidfile, bench.context], {
        env: { OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${silent.port}`, OTEL_EXPORTER_OTLP_TIMEOUT: timeout },
      })
    bench.closeStore()
    const short = start('200')
    expect(await new Response(short.stderr).text()).toContain('WARNING: the trace could not be sent to')
    expect(await short.exited).toBe(0)

    const long = start('60000')
    const image = Buffer.from((await long.stdout.getReader().read()).value ?? []).toString()
    expect(image).toMatch(/^sha256:[0-9a-f]{64}\n$/)
    expect(`${readFileSync(iidfile, 'utf8')}\n`).toBe(image)
    expect(long.exitCode).toBe(null)
    long.kill('SIGINT')
    expect(await new Response(long.stderr).text()).toContain('WARNING: the trace could not be sent to')
  }, 30_000)
})

interface Field {
  readonly number: number
  readonly bytes: Buffer
}

/** The fields of a message in Protocol Buffers; a varint by its bytes. */
function fieldsOf(bytes: Uint8Array = new Uint8Array()): Field[] {
  const fields: Field[] = []
  let at = 0
  const varint = (): number => {
    let value = 0
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at++] ?? 0
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
    }
  }
  while (at < bytes.length) {
    const tag = varint()
    const begin = at
    if ((tag & 7) === 0) varint()
    else if ((tag & 7) === 1) at += 8
    else if ((tag & 7) === 2) {
      const size = varint()
      at += size
    } else throw new Error(`a field of an unknown kind: ${tag}`)
    const size = (tag & 7) === 2 ? lengthIn(bytes, begin, at) : at - begin
    fields.push({ number: tag >> 3, bytes: Buffer.from(bytes.subarray(at - size, at)) })
  }
  return fields
}

/** Bytes after the length that stands at `begin`, to `end`. */
function lengthIn(bytes: Uint8Array, begin: number, end: number): number {
  let at = begin
  while ((bytes[at] ?? 0) >= 0x80) at++
  return end - at - 1
}
