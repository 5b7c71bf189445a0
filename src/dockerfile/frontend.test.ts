import { describe, expect, test } from 'bun:test'
import { detectSyntax, frontendLanguage } from './frontend.ts'

describe('detectSyntax()', () => {
  test.each([
    ['# syntax = a/b:1 x y\nFROM a', 'a/b:1', 'a/b:1 x y', 1],
    ['\ufeff#!/bin/x\n# escape=`\n# syntax=a\n', 'a', 'a', 3],
    ['// syntax=a\n{}', 'a', 'a', 1],
    ['#!/bin/x\n{"syntax": "a b"}', 'a b', 'a b', 1],
  ])('%j', (text, frontend, commandLine, line) => {
    expect(detectSyntax(text)).toEqual({ frontend, commandLine, range: { start: line, end: line } })
  })
  test.each(['', 'FROM a\n# syntax=b', '# comment\n# syntax=b', '{"syntax": 1}', '{"syntax"', '[]', '# syntax='])(
    '%j asks for none',
    (text) => {
      expect(detectSyntax(text)).toBeUndefined()
      expect(detectSyntax(new TextEncoder().encode(text))).toBeUndefined()
    },
  )
})

test.each([
  ['docker/dockerfile', 'docker'],
  ['docker/dockerfile:1.7-labs', 'docker'],
  ['docker.io/docker/dockerfile-upstream:master@sha256:00', 'docker'],
  ['mirror.example:5000/hub/docker/dockerfile:1', 'docker'],
  ['dockerfile.v0', 'docker'],
  ['cairn/dockerfile:1', 'cairn'],
  ['cairn/dockerfile', 'unknown'],
  ['cairn/dockerfile:2', 'unknown'],
  ['nodocker/dockerfile', 'unknown'],
  ['docker/dockerfile/x', 'unknown'],
  ['', 'unknown'],
] as const)('frontendLanguage() takes %j for %s', (frontend, language) => {
  expect(frontendLanguage(frontend)).toBe(language)
})
