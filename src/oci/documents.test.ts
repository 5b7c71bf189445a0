import { describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { CairnError } from '../errors/error.ts'
import { chainIds, parseImageConfig, serializeConfig } from './config.ts'
import { type Digest, digestOf } from './digest.ts'
import { goJson } from './go-json.ts'
import { isAttestation, parseImageDocument, parseIndex, serializeIndex } from './image-index.ts'
import { parseJsonDocument } from './json-document.ts'
import { checkLayoutMarker, layoutBlobPath } from './layout.ts'
import { parseManifest, serializeManifest } from './manifest.ts'
import { mediaTypes } from './media-types.ts'

const a = digestOf('a')
const b = digestOf('b')
const config = { mediaType: mediaTypes.ociConfig, digest: a, size: 1 }
const layer = { mediaType: mediaTypes.ociLayerGzip, digest: b, size: 2 }
const manifest = { schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers: [layer] } as const
const index = {
  schemaVersion: 2,
  mediaType: mediaTypes.ociIndex,
  manifests: [
    { mediaType: mediaTypes.ociManifest, digest: a, size: 9, platform: { os: 'linux', architecture: 'arm64' } },
  ],
} as const
const imageConfig = {
  architecture: 'amd64',
  os: 'linux',
  rootfs: { type: 'layers', diff_ids: [a] },
} as const

/** `value` as JSON with some fields replaced; undefined leaves one out. */
function changed(value: object, fields: Record<string, unknown>): string {
  return JSON.stringify({ ...value, ...fields })
}

describe('parseManifest()', () => {
  test('keeps the bytes as they came, and unknown fields', () => {
    const text = `${changed(manifest, { 'com.example': [1] })}\n`
    const { raw, value } = parseManifest(text)
    expect(new TextDecoder().decode(raw)).toBe(text)
    expect(value).toEqual({ ...manifest, 'com.example': [1] } as never)
    const bytes = new TextEncoder().encode(text)
    const parsed = parseManifest(bytes)
    bytes.fill(0)
    expect(digestOf(parsed.raw)).toBe(digestOf(text))
  })

  test('takes docker manifests and those without a media type', () => {
    expect(parseManifest(changed(manifest, { mediaType: mediaTypes.dockerManifest })).value.layers).toHaveLength(1)
    expect(parseManifest(changed(manifest, { mediaType: undefined }), mediaTypes.dockerManifest).value.config).toEqual(
      config,
    )
  })

  test.each([
    ['not JSON', '{', 'manifest is not JSON'],
    ['no object', '[]', 'manifest is not a JSON object'],
    ['schema version 1', changed(manifest, { schemaVersion: 1 }), 'schemaVersion is not 2: 1'],
    ['no schema version', changed(manifest, { schemaVersion: undefined }), 'schemaVersion is not 2: missing'],
    ['fields of an index', changed(manifest, { manifests: [] }), 'the field "manifests" of an image index'],
    ['the media type of an index', changed(manifest, { mediaType: mediaTypes.ociIndex }), 'not that of a manifest'],
    ['no config', changed(manifest, { config: undefined }), 'config is not a descriptor'],
    ['no layers', changed(manifest, { layers: undefined }), 'layers is not a list'],
    ['a layer without digest', changed(manifest, { layers: [layer, { ...layer, digest: 1 }] }), 'layers[1].digest'],
    [
      'a digest that is a path',
      changed(manifest, { layers: [{ ...layer, digest: 'sha256:../../../../etc/passwd' }] }),
      'layers[0].digest is not a sha256',
    ],
    [
      'a negative size',
      changed(manifest, { layers: [{ ...layer, size: -1 }] }),
      'layers[0].size is not a byte count: -1',
    ],
    ['a size beyond doubles', changed(manifest, { layers: [{ ...layer, size: 2 ** 60 }] }), 'layers[0].size'],
    [
      'annotations that are no text',
      changed(manifest, { annotations: { x: 1 } }),
      'annotations is not a map of strings',
    ],
    ['a subject that is none', changed(manifest, { subject: 'x' }), 'subject is not a descriptor'],
    ['layers twice', JSON.stringify(manifest).replace('"layers":', '"layers":[],"layers":'), 'the key "layers" twice'],
    [
      'layers twice, once escaped',
      JSON.stringify(manifest).replace('"layers":', '"l\\u0061yers":[],"layers":'),
      'the key "layers" twice',
    ],
    ['a key in other case', changed(manifest, { Layers: [] }), 'the key "Layers" for "layers"'],
    ['a digest twice below', JSON.stringify(manifest).replace('"digest"', '"digest":"","digest"'), '"digest" twice'],
  ])('refuses %s', (_case, text, message) => {
    expect(() => parseManifest(text)).toThrow(message)
    expect(() => parseManifest(text)).toThrow(CairnError)
  })

  test('refuses a media type other than the one it was given as', () => {
    expect(() => parseManifest(JSON.stringify(manifest), mediaTypes.dockerManifest)).toThrow('although it was given as')
    expect(() => parseManifest(JSON.stringify(manifest), mediaTypes.ociIndex)).toThrow('is not a manifest')
  })

  test('refuses more than 4 MiB', () => {
    const text = changed(manifest, { annotations: { x: 'A'.repeat(4 * 1024 * 1024) } })
    expect(() => parseManifest(text)).toThrow('more than the 4194304 that are accepted')
  })
})

describe('parseIndex()', () => {
  test('takes an index and an empty one', () => {
    expect(parseIndex(JSON.stringify(index)).value.manifests[0]?.platform?.architecture).toBe('arm64')
    expect(parseIndex('{"schemaVersion":2,"manifests":[]}').value.manifests).toEqual([])
  })

  test.each([
    ['layers of a manifest', changed(index, { layers: [] }), 'the field "layers" of a manifest'],
    ['the config of a manifest', changed(index, { config }), 'the field "config" of a manifest'],
    ['the media type of a manifest', changed(index, { mediaType: mediaTypes.ociManifest }), 'not that of an index'],
    ['no manifests', changed(index, { manifests: {} }), 'manifests is not a list'],
    [
      'half a platform',
      changed(index, { manifests: [{ ...index.manifests[0], platform: { os: 'linux' } }] }),
      'manifests[0].platform needs os and architecture',
    ],
  ])('refuses %s', (_case, text, message) => {
    expect(() => parseIndex(text)).toThrow(message)
  })

  test('isAttestation() tells what describes an image from an image', () => {
    const [image] = index.manifests
    expect(isAttestation(image)).toBe(false)
    expect(isAttestation({ ...image, platform: { os: 'unknown', architecture: 'unknown' } })).toBe(true)
    const annotations = { 'vnd.docker.reference.type': 'attestation-manifest' }
    expect(isAttestation({ ...image, annotations })).toBe(true)
  })
})

describe('parseImageDocument()', () => {
  test('goes by the media type', () => {
    expect(parseImageDocument(JSON.stringify(index), mediaTypes.ociIndex).type).toBe('index')
    expect(parseImageDocument(JSON.stringify(manifest), mediaTypes.ociManifest).type).toBe('manifest')
    expect(() => parseImageDocument(JSON.stringify(manifest), mediaTypes.ociIndex)).toThrow('of a manifest')
    expect(() => parseImageDocument('{}', 'text/plain')).toThrow('"text/plain" is not the media type')
  })
})

describe('parseJsonDocument()', () => {
  const kind = { name: 'thing', code: 'MANIFEST_INVALID' } as const

  test('refuses bytes that are not UTF-8 and a byte order mark', () => {
    expect(() => parseJsonDocument(new Uint8Array([0x7b, 0xff, 0x7d]), kind)).toThrow('not UTF-8')
    expect(() => parseJsonDocument(new Uint8Array([0xef, 0xbb, 0xbf, 0x7b, 0x7d]), kind)).toThrow('not JSON')
  })

  test('refuses deep nesting before it parses, and counts no brackets of texts', () => {
    expect(() => parseJsonDocument('['.repeat(257), kind)).toThrow('nested more than 256 levels')
    const brackets = JSON.stringify({ [`"\\\\${'['.repeat(300)}`]: '{'.repeat(300) })
    expect(Object.keys(parseJsonDocument(brackets, kind).value)).toHaveLength(1)
  })

  test('refuses deep nesting instead of running out of stack', () => {
    const deep = `{"a":${'['.repeat(1_000_000)}${']'.repeat(1_000_000)}}`
    expect(() => parseJsonDocument(deep, kind)).toThrow(CairnError)
  })

  test('takes any JSON object and finds any key that was given twice', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue(), { minKeys: 1 }), fc.jsonValue(), (object, extra) => {
        const text = JSON.stringify({ outer: object, list: [object, '"}{', { '\\"': 1 }] })
        expect(parseJsonDocument(text, kind).value).toEqual(JSON.parse(text) as never)
        const [key = ''] = Object.keys(object)
        const twice = `{"outer":[${JSON.stringify(object).slice(0, -1)}, ${JSON.stringify(key)} : ${JSON.stringify(extra)}}]}`
        expect(() => parseJsonDocument(twice, kind)).toThrow('twice')
      }),
    )
  })
})

describe('parseImageConfig()', () => {
  test('takes what docker writes, nulls and own fields included', () => {
    const { value } = parseImageConfig(
      changed(imageConfig, {
        created: '2026-01-02T03:04:05.678901234Z',
        author: null,
        docker_version: '28.5.2',
        config: { Env: null, Cmd: ['sh'], Volumes: null, Labels: null, OnBuild: null, ExposedPorts: { '80/tcp': {} } },
        history: [{ created: '2026-01-02T03:04:05+01:00', created_by: 'x', empty_layer: true }],
        rootfs: { type: 'layers', diff_ids: null },
      }),
    )
    expect(value.rootfs.diff_ids).toEqual([])
    expect(value.config?.Cmd).toEqual(['sh'])
    expect('author' in value).toBe(false)
    expect(value).toMatchObject({ docker_version: '28.5.2' })
  })

  test.each([
    ['os', { os: undefined }, 'os is missing'],
    ['architecture', { architecture: 1 }, 'architecture is missing'],
    ['created', { created: 'yesterday' }, 'created is not a time by RFC 3339'],
    ['rootfs', { rootfs: undefined }, 'rootfs is missing'],
    ['rootfs.type', { rootfs: { type: 'tar', diff_ids: [] } }, 'rootfs.type is not "layers": "tar"'],
    ['rootfs.diff_ids', { rootfs: { type: 'layers', diff_ids: [a, 'sha256:x'] } }, 'rootfs.diff_ids[1]'],
    ['config', { config: [] }, 'config is not an object'],
    ['config.Env', { config: { Env: 'A=b' } }, 'config.Env is not a list of strings'],
    ['config.Cmd', { config: { Cmd: [1] } }, 'config.Cmd is not a list of strings'],
    ['config.User', { config: { User: 0 } }, 'config.User is not text'],
    ['config.Labels', { config: { Labels: { a: 1 } } }, 'config.Labels is not a map of strings'],
    ['config.Volumes', { config: { Volumes: ['/x'] } }, 'config.Volumes is not a map of empty objects'],
    [
      'config.Healthcheck',
      { config: { Healthcheck: { Interval: '1s' } } },
      'Healthcheck.Interval is not a whole number',
    ],
    ['history', { history: [{}, { empty_layer: 1 }] }, 'history[1].empty_layer is neither true nor false'],
    ['history.created', { history: [{ created: 1 }] }, 'history[0].created is not a time'],
  ])('refuses a bad %s, naming it', (_field, fields, message) => {
    expect(() => parseImageConfig(changed(imageConfig, fields))).toThrow(message)
  })
})

describe('serializeConfig()', () => {
  test('lays fields out as BuildKit does', () => {
    const bytes = serializeConfig({
      ...imageConfig,
      created: '2026-01-02T03:04:05Z',
      variant: 'v3',
      config: {
        Shell: ['/bin/sh', '-c'],
        OnBuild: [],
        Labels: { b: '1', a: '<&>', '10': 'x', '9': 'y' },
        Healthcheck: { Retries: 3, Interval: 0, Test: ['CMD', 'true'] },
        Cmd: ['sh'],
        ArgsEscaped: false,
        Env: ['PATH=/bin'],
        WorkingDir: '/',
        User: '',
      },
      history: [
        {
          empty_layer: true,
          comment: 'buildkit.dockerfile.v0',
          created_by: 'CMD ["sh"]',
          created: '2026-01-02T03:04:05Z',
        },
      ],
    })
    expect(new TextDecoder().decode(bytes)).toBe(
      '{"architecture":"amd64","config":{"Env":["PATH=/bin"],"Cmd":["sh"],"WorkingDir":"/",' +
        '"Labels":{"10":"x","9":"y","a":"\\u003c\\u0026\\u003e","b":"1"},' +
        '"Healthcheck":{"Test":["CMD","true"],"Retries":3},"Shell":["/bin/sh","-c"]},' +
        '"created":"2026-01-02T03:04:05Z",' +
        '"history":[{"created":"2026-01-02T03:04:05Z","created_by":"CMD [\\"sh\\"]","comment":"buildkit.dockerfile.v0","empty_layer":true}],' +
        `"os":"linux","rootfs":{"type":"layers","diff_ids":["${a}"]},"variant":"v3"}`,
    )
  })

  test('writes an empty container config as docker does', () => {
    expect(new TextDecoder().decode(serializeConfig(imageConfig))).toContain('"config":{}')
  })

  test('keeps unknown fields, so reading and writing again changes nothing', () => {
    const text = changed(imageConfig, { config: { Env: ['A=b'], Zeta: { b: 1, a: 2 } }, 'moby.cache': 'x' })
    const once = serializeConfig(parseImageConfig(text).value)
    expect(new TextDecoder().decode(once)).toContain('"Zeta":{"a":2,"b":1}')
    expect(serializeConfig(parseImageConfig(once).value)).toEqual(once)
  })
})

describe('goJson()', () => {
  test('escapes as encoding/json does', () => {
    expect(goJson('<>&\u2028\u2029"\\\n\t\u0001\u007fé😀')).toBe(
      '"\\u003c\\u003e\\u0026\\u2028\\u2029\\"\\\\\\n\\t\\u0001\u007fé😀"',
    )
    expect(goJson('\ud800')).toBe('"\ufffd"')
  })

  test('sorts keys by code point, not by UTF-16 code unit', () => {
    expect(goJson({ '\u{1f600}': 1, '\uff5e': 2, b: 3, a: undefined })).toBe('{"b":3,"\uff5e":2,"\u{1f600}":1}')
  })

  test('writes JSON that reads as the value', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(JSON.parse(goJson(value))).toEqual(JSON.parse(JSON.stringify(value)))
      }),
    )
  })
})

describe('serializeManifest() and serializeIndex()', () => {
  test('write the specification’s order whatever order the fields came in', () => {
    const shuffled = {
      layers: [{ size: 2, digest: b, mediaType: layer.mediaType }],
      config,
      mediaType: manifest.mediaType,
    }
    const bytes = serializeManifest({ ...shuffled, schemaVersion: 2 })
    expect(bytes).toEqual(serializeManifest(manifest))
    expect(new TextDecoder().decode(bytes)).toBe(
      `{"schemaVersion":2,"mediaType":"${mediaTypes.ociManifest}",` +
        `"config":{"mediaType":"${mediaTypes.ociConfig}","digest":"${a}","size":1},` +
        `"layers":[{"mediaType":"${mediaTypes.ociLayerGzip}","digest":"${b}","size":2}]}`,
    )
    expect(parseIndex(serializeIndex(index)).value).toEqual(index as never)
  })
})

describe('chainIds()', () => {
  test('begins with the diff ID of the base, and hashes the chain for each layer on it', () => {
    const two = digestOf(`${a} ${b}`)
    expect(chainIds([a, b, a])).toEqual([a, two, digestOf(`${two} ${a}`)])
    expect(chainIds([])).toEqual([])
  })
})

describe('the OCI layout', () => {
  test('layoutBlobPath() gives the path of a blob', () => {
    expect(layoutBlobPath('sha256:ab' as Digest)).toBe('blobs/sha256/ab')
  })

  test('checkLayoutMarker() takes version 1 only', () => {
    checkLayoutMarker('{"imageLayoutVersion":"1.0.0"}')
    expect(() => checkLayoutMarker('{"imageLayoutVersion":"2.0.0"}')).toThrow('imageLayoutVersion "2.0.0"')
    expect(() => checkLayoutMarker('{}')).toThrow('imageLayoutVersion nothing')
  })
})
