import { describe, expect, test } from 'bun:test'
import { alignColumns, ellipsis, type Listing, renderListing, renderObjects } from './printer.ts'

interface Row {
  readonly name: string
  readonly description: string
  readonly endpoint: string
}

const listing: Listing<Row> = {
  columns: {
    Name: { heading: 'NAME', value: (row) => row.name },
    Description: { heading: 'DESCRIPTION', value: (row) => row.description },
    DockerEndpoint: { heading: 'DOCKER ENDPOINT', value: (row) => row.endpoint },
    Error: { heading: 'ERROR', value: () => '' },
  },
  shown: ['Name', 'Description', 'DockerEndpoint', 'Error'],
  labels: (row) => ({ 'com.example.tier': row.name }),
}
const rows: readonly Row[] = [
  {
    name: 'default *',
    description: 'Current DOCKER_HOST based configuration',
    endpoint: 'unix:///var/run/docker.sock',
  },
]
const table = `NAME        DESCRIPTION                               DOCKER ENDPOINT               ERROR
default *   Current DOCKER_HOST based configuration   unix:///var/run/docker.sock   \n`

describe('renderListing()', () => {
  test.each(['', 'table', 'table '])('lays %p out as docker 28 does', (format) => {
    expect(renderListing(listing, rows, format)).toBe(table)
  })

  test('prints headings alone when there are no rows', () => {
    expect(renderListing(listing, [], 'table')).toBe('NAME      DESCRIPTION   DOCKER ENDPOINT   ERROR\n')
    expect(renderListing(listing, [], '{{.Name}}')).toBe('')
  })

  test('takes headings from the fields of a table template, whatever functions change the rows', () => {
    expect(renderListing(listing, rows, 'table {{.Name}}\\t{{upper .Description | printf "%.7s"}}')).toBe(
      'NAME        DESCRIP\ndefault *   CURRENT\n',
    )
    expect(renderListing(listing, rows, 'table {{truncate .Name 3}}\t{{.Label "com.example.the-tier"}}')).toBe(
      'NAME      the tier\ndef       \n',
    )
  })

  test('prints one object a line with sorted keys as json, with the bytes docker prints', () => {
    const row = { name: '<none>', description: 'a & b', endpoint: '' }
    const line = String.raw`{"Description":"a \u0026 b","DockerEndpoint":"","Error":"","Name":"\u003cnone\u003e"}`
    expect(renderListing(listing, [row, row], 'json')).toBe(`${line}\n${line}\n`)
    expect(renderListing(listing, [row], '{{json .}}')).toBe(`${line}\n`)
    expect(renderListing(listing, [row], '{{json .Name}}')).toBe('"<none>"\n')
  })

  test('takes all that begins with table for one, as docker does', () => {
    expect(renderListing(listing, rows, 'table{{.Name}}')).toBe('NAME\ndefault *\n')
    expect(renderListing(listing, rows, 'tablex')).toBe('x\nx\n')
  })

  test('runs a template once for each row and gives it labels', () => {
    expect(renderListing(listing, rows, '{{.Name}}: {{.Label "com.example.tier"}}{{.Label "none"}}')).toBe(
      'default *: default *\n',
    )
  })

  test('asks only for the columns that are shown', () => {
    const asked: string[] = []
    const column = (name: string) => ({ heading: name, value: () => asked.push(name) })
    renderListing({ columns: { Cheap: column('CHEAP'), Costly: column('COSTLY') }, shown: ['Cheap'] }, [1], 'table')
    expect(asked).toEqual(['CHEAP'])
  })

  test('refuses an unknown field', () => {
    expect(() => renderListing(listing, rows, '{{.Foo}}')).toThrow(
      `template parsing error: template: :1:2: executing "" at <.Foo>: can't evaluate field Foo in type object`,
    )
  })
})

describe('alignColumns()', () => {
  test('aligns wide characters by the cells they take', () => {
    expect(alignColumns('日本語です\tx\na\ty\n')).toBe('日本語です   x\na            y\n')
  })

  test('aligns each run of lines that have the column by itself', () => {
    expect(alignColumns('a\tb\nlong long long\nc\td\n')).toBe('a         b\nlong long long\nc         d\n')
  })
})

describe('renderObjects()', () => {
  const objects = [{ Id: 'a', Labels: new Map([['x', 'y']]) }, { Id: 'b' }]

  test('prints an array indented by four spaces', () => {
    expect(renderObjects(objects)).toBe(`[
    {
        "Id": "a",
        "Labels": {
            "x": "y"
        }
    },
    {
        "Id": "b"
    }
]
`)
    expect(renderObjects([])).toBe('[]\n')
  })

  test('prints json on one line, and a template once for each', () => {
    expect(renderObjects(objects, 'json')).toBe('[{"Id":"a","Labels":{"x":"y"}},{"Id":"b"}]\n')
    expect(renderObjects(objects, '{{.Id}}')).toBe('a\nb\n')
  })
})

describe('ellipsis()', () => {
  test.each([
    ['abcdef', 6, 'abcdef'],
    ['abcdef', 4, 'abc…'],
    ['abc', 1, 'a'],
    ['日本語', 5, '日本…'],
    ['日本語', 4, '日…'],
  ])('cuts %p to %p cells as %p', (text, width, cut) => {
    expect(ellipsis(text, width)).toBe(cut)
  })
})
