import { describe, expect, test } from 'bun:test'
import { parseAttestations } from './attestation-settings.ts'

const max = {
  mode: 'max',
  version: 'v1',
  builderId: '',
  reproducible: false,
  filename: 'provenance.json',
  inlineOnly: false,
} as const

function parse(provenance?: string, sbom?: string, attest: readonly string[] = []) {
  return parseAttestations({ attest, provenance, sbom })
}

describe('parseAttestations()', () => {
  test('asks for nothing by default, nor when all is turned off', () => {
    expect(parse()).toBeUndefined()
    expect(parse('')).toBeUndefined()
    expect(parse('false', '0', ['type=sbom'])).toBeUndefined()
    expect(parse(undefined, undefined, ['type=provenance,disabled=true'])).toBeUndefined()
  })

  test('takes a bare flag for all there is, and parameters as buildx does', () => {
    expect(parse('true')).toEqual({ provenance: max, sbom: undefined, store: 'index' })
    expect(
      parse('mode=min,version=v0.2,builder-id=https://ci,reproducible=1,filename=p.json,inline-only=true'),
    ).toEqual({
      provenance: {
        mode: 'min',
        version: 'v0.2',
        builderId: 'https://ci',
        reproducible: true,
        filename: 'p.json',
        inlineOnly: true,
      },
      sbom: undefined,
      store: 'index',
    })
    expect(parse(undefined, 'format=cyclonedx')?.sbom).toEqual({ format: 'cyclonedx' })
  })

  test('lets the last of one type count, and the short flags come after --attest', () => {
    const attest = ['type=provenance,mode=min', 'type=provenance,mode=full,store=referrers']
    expect(parse(undefined, undefined, attest)).toEqual({ provenance: max, sbom: undefined, store: 'referrers' })
    expect(parse('mode=min', undefined, attest)?.provenance?.mode).toBe('min')
  })

  test.each([
    ['mode', ['type=provenance,mode'], 'invalid value mode'],
    ['mode=some', ['type=provenance,mode=some'], 'invalid mode "some"'],
    ['version', ['type=provenance,version=v2'], 'invalid provenance SLSA version: v2'],
    ['reproducible', ['type=provenance,reproducible=x'], 'non-bool value specified for reproducible: "x"'],
    ['filename', ['type=provenance,filename=../x'], '"../x" is not the name of a file'],
    ['disabled', ['type=sbom,disabled=x'], 'non-bool value specified for disabled: "x"'],
    ['no type', ['mode=max'], 'attestation type not specified'],
    ['another type', ['type=vex'], 'unknown attestation type "vex"'],
    ['another key', ['type=sbom,color=red'], 'unknown key "color" in attestation type=sbom,color=red'],
    ['a scanner', ['type=sbom,generator=x'], 'attestation type=sbom,generator=x: scanners in images are not supported'],
    [
      'usage',
      ['type=provenance,capture-usage=true'],
      'attestation type=provenance,capture-usage=true: capture-usage is not supported',
    ],
    [
      'two stores',
      ['type=sbom', 'type=provenance,store=referrers'],
      'attestations of one build have to have the same store',
    ],
  ])('refuses %s', (_what, attest, message) => {
    expect(() => parse(undefined, undefined, attest)).toThrow(message)
  })
})
