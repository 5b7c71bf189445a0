import { describe, expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { isCairnError } from '../../errors/error.ts'
import dockerCases from '../../../test/fixtures/go-template/docker-28.json'
import { compileTemplate, renderTemplate } from './go-template.ts'

/** What `docker context ls` shows its templates. */
const context = {
  Current: true,
  Description: 'Current DOCKER_HOST based configuration',
  DockerEndpoint: 'unix:///var/run/docker.sock',
  Error: '',
  Name: 'default',
}

function failureOf(template: string, data: unknown = context): { message: string; hint: string | undefined } {
  try {
    renderTemplate(template, data)
  } catch (error) {
    if (isCairnError(error, 'USAGE')) return { message: error.message, hint: error.hint }
    throw error
  }
  throw new Error(`${template} did not fail`)
}

describe('renderTemplate()', () => {
  const cases = dockerCases.map((one) => [one.template, one] as const)
  test.each(cases)('gives what docker 28 gives for %j', (template, { output, error }) => {
    if (error === undefined) expect(renderTemplate(template, context)).toBe(output ?? '')
    else expect(failureOf(template).message).toBe(error)
  })

  test('names the fields there are when one is unknown', () => {
    expect(failureOf('{{.ID}}')).toEqual({
      message: `template parsing error: template: :1:2: executing "" at <.ID>: can't evaluate field ID in type object`,
      hint: 'Fields: .Current .Description .DockerEndpoint .Error .Name',
    })
  })

  test('names the functions there are when one is unknown', () => {
    expect(failureOf('{{foo}}').hint).toContain('Functions: and call eq')
  })

  test('counts lines, and columns in bytes', () => {
    expect(failureOf('a\nbé{{.X}}').message).toStartWith('template parsing error: template: :2:5: ')
    expect(failureOf('a\n\n{{end}}').message).toBe('template parsing error: template: :3: unexpected {{end}}')
  })

  test('shows nothing a Map lacks as <no value>, and nil as well', () => {
    const data = { Labels: new Map([['a', 'b']]), Nothing: null }
    expect(renderTemplate('{{.Labels.a}} {{.Labels.x}} {{index .Labels "x"}}|{{.Nothing}}', data)).toBe(
      'b <no value> |<no value>',
    )
  })

  test('ranges over maps by sorted key, and over lists by index', () => {
    const data = { Config: { Env: ['A=1', 'B=2'] }, Labels: new Map(Object.entries({ z: '1', a: '2' })) }
    expect(renderTemplate('{{range $k, $v := .Labels}}{{$k}}={{$v}} {{end}}', data)).toBe('a=2 z=1 ')
    expect(renderTemplate('{{range $i, $e := .Config.Env}}{{$i}}:{{$e}} {{end}}{{len .Labels}}', data)).toBe(
      '0:A=1 1:B=2 2',
    )
  })

  test('calls methods with their arguments, and getters without', () => {
    class Row {
      get ID(): string {
        return 'abc'
      }

      Label(key: string): string {
        return `${this.ID}:${key}`
      }
    }
    expect(renderTemplate('{{.ID}} {{.Label "x"}} {{"y" | .Label}}', new Row())).toBe('abc abc:x abc:y')
    expect(failureOf('{{.Label}}', new Row()).message).toEndWith('wrong number of args for Label: want 1 got 0')
  })

  test('prints nested values as Go prints maps and slices', () => {
    const data = { Map: { b: [1, 2.5, true], a: null }, List: ['x', { y: 'z' }] }
    expect(renderTemplate('{{.Map}} {{.List}}', data)).toBe('map[a:<nil> b:[1 2.5 true]] [x map[y:z]]')
    expect(renderTemplate('{{json .}}', data)).toBe('{"Map":{"b":[1,2.5,true],"a":null},"List":["x",{"y":"z"}]}')
  })

  test('does not reach what JavaScript puts into objects', () => {
    for (const name of ['constructor', '__proto__', 'toString', 'hasOwnProperty'])
      expect(failureOf(`{{.${name}}}`).message).toContain(`can't evaluate field ${name}`)
  })

  test('stops a template that calls itself', () => {
    expect(failureOf('{{define "x"}}{{template "x"}}{{end}}{{template "x"}}').message).toEndWith(
      'exceeded maximum template depth (500)',
    )
  })

  test.each([
    '{{range 1000000000}}{{end}}',
    '{{range 100000}}{{range 100000}}{{end}}{{end}}',
    '{{define "x"}}{{range 1000}}{{template "y"}}{{end}}{{end}}{{define "y"}}{{range 1000}}{{template "z"}}{{end}}{{end}}{{define "z"}}{{range 1000}}{{end}}{{end}}{{template "x"}}',
    '{{$s := "xxxxxxxxxx"}}{{range 40}}{{$s = print $s $s}}{{end}}{{$s}}',
    '{{range 1000}}{{printf "%900000d" 1}}{{end}}',
    '{{pad "a" 999999999 0}}',
    `${'{{if true}}'.repeat(5000)}${'{{end}}'.repeat(5000)}`,
    `{{${'('.repeat(5000)}1${')'.repeat(5000)}}}`,
  ])('ends with an error before %.40j takes long', (template) => {
    const began = performance.now()
    expect(failureOf(template).message).toStartWith('template parsing error: ')
    expect(performance.now() - began).toBeLessThan(5000)
  })

  test('either renders any template or fails with a USAGE error', () => {
    const piece = fc.constantFrom(
      '{{',
      '}}',
      '{{- ',
      ' -}}',
      '{{if ',
      '{{else}}',
      '{{else if ',
      '{{end}}',
      '{{range ',
      '{{with ',
      '{{define "x"}}',
      '{{template "x" .}}',
      '{{block "x" .}}',
      '{{break}}',
      '{{continue}}',
      '/*',
      '*/',
      '$x',
      ' := ',
      ' = ',
      ', ',
      '|',
      '.',
      '.Name',
      '.Map.a',
      '(',
      ')',
      '"s"',
      '`r`',
      "'c'",
      '1',
      '-1.5e3',
      '0x1F',
      'true',
      'nil',
      ' ',
      '\n',
      'text',
      'index ',
      'slice ',
      'printf ',
      '"%*d %[9]q %v"',
      'len ',
      'eq ',
      'lt ',
      'and ',
      'json ',
      'split ',
      'pad ',
      'call ',
    )
    const template = fc.oneof(
      fc.array(piece, { maxLength: 25 }).map((pieces) => pieces.join('')),
      fc.array(piece, { maxLength: 8 }).map((pieces) => `{{${pieces.join(' ')}}}`),
      fc.string({ unit: 'binary' }),
    )
    const data = fc.anything({ withMap: true, withBigInt: true, withDate: true, withNullPrototype: true })
    fc.assert(
      fc.property(template, data, (text, value) => {
        try {
          expect(typeof compileTemplate(text).render({ Name: value, Map: { a: [value] } })).toBe('string')
        } catch (error) {
          if (!isCairnError(error, 'USAGE')) throw error
          expect(error.message).toStartWith('template parsing error: template: ')
        }
      }),
      { numRuns: 3000 },
    )
  })
})
