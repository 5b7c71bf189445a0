import { describe, expect, test } from 'bun:test'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { InstructionNode } from './ast.ts'
import { quoteGo } from './characters.ts'
import { parseHeredocOpening, heredocOpenings } from './heredoc.ts'
import { type LexedFile, lexDockerfile } from './lexer.ts'

const fixtures = join(import.meta.dir, '../../test/fixtures/dockerfile')
const read = (path: string): string => readFileSync(join(fixtures, path), 'utf8')

/** A node as BuildKit's parser prints it. */
function dump(node: InstructionNode): string {
  const flags = node.flags.length === 0 ? '' : ` [${node.flags.map(quoteGo).join(' ')}]`
  const args = node.trigger === undefined ? node.args.map(quoteGo) : [`(${dump(node.trigger)})`]
  return [`${node.keyword.toLowerCase()}${flags}`, ...args].join(' ')
}

const dumpFile = (lexed: LexedFile): string => lexed.nodes.map((node) => `(${dump(node)})\n`).join('')
const messages = (lexed: LexedFile): string[] => lexed.problems.map((problem) => problem.message)
const originals = (source: string): string[] => lexDockerfile(source).nodes.map((node) => node.original)

describe('the tree of', () => {
  const cases = readdirSync(join(fixtures, 'parser'))

  test('all 33 files is looked at', () => {
    expect(cases).toHaveLength(33)
  })

  test.each(cases)('%s is what BuildKit makes of it', (name) => {
    const lexed = lexDockerfile(readFileSync(join(fixtures, 'parser', name, 'Dockerfile')))
    expect(lexed.problems).toEqual([])
    expect(dumpFile(lexed)).toBe(read(`parser/${name}/result`))
  })
})

describe('line numbers', () => {
  test('of instructions begin after comments and end with the last continued line', () => {
    const { nodes } = lexDockerfile(read('parser-line/Dockerfile'))
    expect(nodes.map(({ range }) => [range.start, range.end])).toEqual([
      [5, 5],
      [11, 12],
      [17, 31],
    ])
  })
})

describe('here-documents', () => {
  interface HeredocRow {
    readonly name: string
    readonly content: string
    readonly expand: boolean
    readonly chomp: boolean
    readonly fd: number
  }
  const table = JSON.parse(read('heredoc-cases.json')) as {
    readonly dockerfile: string
    readonly heredocs_per_instruction_after_FROM_and_first: readonly (readonly HeredocRow[])[]
    readonly from_line: readonly { readonly line: string; readonly names: readonly string[] }[]
    readonly words: { readonly [key in 'valid_EOF' | 'error' | 'not_heredoc']: readonly string[] }
  }

  const nodes = lexDockerfile(table.dockerfile).nodes.slice(1)
  const expected = table.heredocs_per_instruction_after_FROM_and_first
  test('one list is there for each instruction', () => {
    expect(expected).toHaveLength(27)
    expect(nodes.length).toBe(expected.length)
  })
  test.each(expected.map((heredocs, index) => [index, nodes[index]?.original, heredocs] as const))(
    'instruction %d: %s',
    (index, _original, heredocs) => {
      const found = nodes[index]?.heredocs.map(({ name, raw, expand, chomp, fileDescriptor }) => {
        return { name, content: raw, expand, chomp, fd: fileDescriptor }
      })
      expect(found).toEqual([...heredocs])
    },
  )

  test('57 rows are looked at', () => {
    const { valid_EOF: valid, error, not_heredoc: none } = table.words
    expect([expected.length, table.from_line.length, valid.length + error.length + none.length]).toEqual([27, 10, 20])
  })
  test.each(table.from_line.map(({ line, names }) => [line, names] as const))('%s opens %j', (line, names) => {
    expect(heredocOpenings(line).map((opening) => opening.name)).toEqual([...names])
  })
  test.each(table.words.valid_EOF.map((word) => [word]))('%s is the delimiter EOF', (word) => {
    expect(parseHeredocOpening(word)?.name).toBe('EOF')
  })
  test.each(table.words.error.map((word) => [word]))('%s has an unclosed quote', (word) => {
    expect(() => parseHeredocOpening(word)).toThrow(expect.objectContaining({ code: 'WORD_INVALID' }))
  })
  test.each(table.words.not_heredoc.map((word) => [word]))('"%s" opens nothing', (word) => {
    expect(parseHeredocOpening(word)).toBeUndefined()
  })

  test('keep CRLF line ends in the body and know the terminator with one', () => {
    const [node] = lexDockerfile('RUN <<EOF\r\necho a\r\nEOF\r\nUSER x\r\n').nodes
    expect(node?.heredocs[0]?.content).toBe('echo a\r\n')
    expect(node?.original).toBe('RUN <<EOF')
  })
  test('with <<- lose leading tabs but no spaces, also before the terminator', () => {
    const [node] = lexDockerfile('RUN <<-EOF\n\t\ta\n\t  b\n  c\n\tEOF\n').nodes
    expect(node?.heredocs[0]).toMatchObject({ content: 'a\n  b\n  c\n', raw: '\t\ta\n\t  b\n  c\n' })
  })
  test('end only at a line that is the delimiter and nothing else', () => {
    const [node] = lexDockerfile('RUN <<EOF\nEOF \n EOF\nEOFX\nEOF').nodes
    expect(node?.heredocs[0]?.content).toBe('EOF \n EOF\nEOFX\n')
  })
  test('without an end are refused at the instruction that opens them', () => {
    const lexed = lexDockerfile('FROM a\nRUN <<EOF\nx\n')
    expect(lexed.problems).toEqual([
      { message: 'unterminated heredoc', range: { start: 2, end: 2 }, hint: 'No line below consists of EOF alone.' },
    ])
  })
  test('of an unknown instruction are passed where they end, else their lines are read', () => {
    const keywords = (source: string): string[] => lexDockerfile(source).nodes.map((node) => node.keyword)
    expect(keywords('RUM <<E <<E\nx\nE\ny\nE\nUSER a')).toEqual(['RUM', 'USER'])
    expect(keywords('RUM <<E <<E\nx\nE\nUSER a')).toEqual(['RUM', 'x', 'E', 'USER'])
  })
  test('are not looked for in a JSON list, in other instructions, or where quotes do not match', () => {
    for (const line of ['RUN ["cat", "<<EOF"]', 'CMD cat <<EOF', 'ENV a=<<EOF', "RUN echo it's <<EOF"]) {
      expect(lexDockerfile(line)).toMatchObject({ nodes: [{ heredocs: [] }], problems: [] })
    }
  })
  test('are found beside what only the shell can expand', () => {
    const [node] = lexDockerfile('RUN echo ${x:0:3} $(id) $((1<<3)) | cat <<EOF -\nx\nEOF').nodes
    expect(node?.heredocs.map(({ name }) => name)).toEqual(['EOF'])
  })
  test('hold comments and escape characters as they are', () => {
    const [node] = lexDockerfile('RUN <<EOF\n# c \\\n\\\nEOF').nodes
    expect(node?.heredocs[0]?.content).toBe('# c \\\n\\\n')
  })
})

describe('continuations', () => {
  test('keep the space a continued line begins with, but not that of the first', () => {
    expect(originals('  RUN a \\\n   b')).toEqual(['RUN a    b'])
  })
  test('need an escape character that is not itself escaped', () => {
    expect(originals('RUN a\\\\\nUSER b')).toEqual(['RUN a\\\\', 'USER b'])
    expect(originals('RUN a\\\\\\\nUSER b')).toEqual(['RUN a\\\\\\', 'USER b'])
  })
  test('may have blanks after the escape character, and end with the file', () => {
    expect(originals('RUN a \\ \t\nb\\')).toEqual(['RUN a b'])
  })
  test('drop comments, which continue nothing themselves', () => {
    expect(originals('RUN a \\\n  # comment \\\n  b \\\n# another\n c\nUSER d')).toEqual(['RUN a   b  c', 'USER d'])
  })
  test('skip blank lines with a warning at the last line', () => {
    const { nodes, warnings } = lexDockerfile('FROM a\nCOPY x \\\n\n  \n.\n')
    expect(nodes[1]?.original).toBe('COPY x .')
    expect(warnings).toEqual([
      { rule: 'NoEmptyContinuation', detail: 'Empty continuation line', range: { start: 5, end: 5 } },
    ])
  })
  test('may stand before the instruction', () => {
    expect(originals('\\\nRUN a')).toEqual(['RUN a'])
    expect(originals('\\\n')).toEqual([])
  })
  test('use the escape character of the file', () => {
    expect(originals('# escape=`\nRUN a `\n b\nRUN c:\\\nRUN d')).toEqual(['RUN a  b', 'RUN c:\\', 'RUN d'])
  })
})

describe('directives', () => {
  test('are read from the top until the first line that is none', () => {
    const lexed = lexDockerfile('# Syntax = docker/dockerfile:1 \n#escape=`\n# check=skip=all\nFROM a')
    expect(lexed.directives).toEqual([
      { name: 'syntax', value: 'docker/dockerfile:1', line: 1 },
      { name: 'escape', value: '`', line: 2 },
      { name: 'check', value: 'skip=all', line: 3 },
    ])
    expect(lexed.nodes[0]?.comments).toEqual([])
  })
  test.each(['\n', '# comment\n', '# unknown=x\n', 'ARG x\n', '# escape=\n'])('are none after %j', (first) => {
    expect(lexDockerfile(`${first}# escape=\`\nFROM a`).escape).toBe('\\')
  })
  test('are found after a byte order mark and a #! line', () => {
    expect(lexDockerfile(new TextEncoder().encode('\ufeff# escape=`\nFROM a')).escape).toBe('`')
    expect(lexDockerfile('#!/usr/bin/env cairn\n# escape=`\nFROM a').escape).toBe('`')
  })
  test('may stand once, and escape only for the two characters', () => {
    expect(messages(lexDockerfile('# escape=`\n# escape=`\nFROM a'))).toEqual([
      'only one escape parser directive can be used',
    ])
    expect(messages(lexDockerfile('# escape=x\nFROM a'))).toEqual(["invalid escape token 'x' does not match ` or \\"])
  })
})

describe('comments', () => {
  test('directly above an instruction belong to it, from the last empty comment on', () => {
    const { nodes } = lexDockerfile('# x\n# y\n#\n# base the base\n  # more\nFROM a AS base\nUSER b\n')
    expect(nodes.map((node) => node.comments)).toEqual([['base the base', 'more'], []])
  })
  test('need the # first; elsewhere it is text', () => {
    expect(originals('RUN a # b\n')).toEqual(['RUN a # b'])
  })
})

describe('flags', () => {
  test('resolve quotes and escapes and stop at -- or the first other word', () => {
    const [node] = lexDockerfile('RUN --a="x y" --b=\'p"q\' --c=\\"z --  --not a').nodes
    expect(node?.flags).toEqual(['--a=x y', '--b=p"q', '--c="z'])
    expect(node?.args).toEqual(['--not a'])
  })
  test('keep characters beyond ASCII', () => {
    expect(lexDockerfile('COPY --chown=jürgen\u00e0 a b').nodes[0]?.flags).toEqual(['--chown=jürgen\u00e0'])
  })
})

describe('limits', () => {
  const line = (bytes: number): string => `RUN ${'x'.repeat(bytes - 4)}`
  test('a line may have 65535 bytes, not one more, whatever ends it', () => {
    for (const end of ['\n', '']) {
      expect(messages(lexDockerfile(line(65535) + end))).toEqual([])
      expect(lexDockerfile(`FROM a\n${line(65536)}${end}`).problems).toEqual([
        { message: 'dockerfile line greater than max allowed size of 65535', range: { start: 2, end: 2 } },
      ])
    }
    expect(messages(lexDockerfile(`RUN ${'ü'.repeat(32766)}`))).toHaveLength(1)
  })
  test('bytes that are not UTF-8 are refused where they would end up in a layer', () => {
    const bytes = (text: string): Uint8Array => Uint8Array.from(text, (char) => char.charCodeAt(0))
    expect(
      lexDockerfile(bytes('# \xfc\nFROM a\nRUN a \\\n# \xfc\n b\nMAINTAINER \xfc\nRUN <<E\n\xfc\nE\n')),
    ).toMatchObject({
      problems: [{ message: 'the line is not valid UTF-8', range: { start: 8, end: 8 } }],
      warnings: [{ rule: 'InvalidEncoding', range: { start: 6, end: 6 } }],
    })
  })
})
