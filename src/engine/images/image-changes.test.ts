import { describe, expect, test } from 'bun:test'
import type { ContainerConfig } from '../../oci/config.ts'
import { applyChanges } from './image-changes.ts'

const platform = { os: 'linux', architecture: 'amd64' }
const changed = (changes: string[], config: ContainerConfig = {}): ContainerConfig =>
  applyChanges(config, changes, platform)

describe('applyChanges()', () => {
  test('gives what docker import -c gives for each instruction', () => {
    // Each line was compared with docker 28.5.
    expect(changed([])).toEqual({})
    expect(changed(['CMD echo hi'])).toEqual({ Cmd: ['/bin/sh', '-c', 'echo hi'] })
    expect(changed(['CMD ["a","b"]'])).toEqual({ Cmd: ['a', 'b'] })
    expect(changed(['ENTRYPOINT ls'])).toEqual({ Entrypoint: ['/bin/sh', '-c', 'ls'] })
    expect(changed(['ENV A=1 B=$A'])).toEqual({ Env: ['A=1', 'B='] })
    expect(changed(['EXPOSE 80 90/udp'])).toEqual({ ExposedPorts: { '80/tcp': {}, '90/udp': {} } })
    expect(changed(['HEALTHCHECK CMD true'])).toEqual({ Healthcheck: { Test: ['CMD-SHELL', 'true'] } })
    expect(changed(['LABEL a=b'])).toEqual({ Labels: { a: 'b' } })
    expect(changed(['ONBUILD RUN x'])).toEqual({ OnBuild: ['RUN x'] })
    expect(changed(['STOPSIGNAL SIGUSR1'])).toEqual({ StopSignal: 'SIGUSR1' })
    expect(changed(['USER me'])).toEqual({ User: 'me' })
    expect(changed(['VOLUME /a'])).toEqual({ Volumes: { '/a': {} } })
    expect(changed(['WORKDIR /w'])).toEqual({ WorkingDir: '/w' })
    expect(changed(['WORKDIR rel'])).toEqual({ WorkingDir: '/rel' })
  })

  test('lets a change see what those before it set', () => {
    expect(changed(['ENV A=/x', 'WORKDIR $A', 'WORKDIR y', 'LABEL at=${A}'])).toEqual({
      Env: ['A=/x'],
      WorkingDir: '/x/y',
      Labels: { at: '/x' },
    })
    expect(changed(['ENV A=1\nENV B=2'])).toEqual({ Env: ['A=1', 'B=2'] })
  })

  test('changes a given config and leaves the given object as it is', () => {
    const config = { Env: ['PATH=/bin', 'A=1'], Cmd: ['sh'], Labels: { a: '1' } }
    const copy = structuredClone(config)
    expect(changed(['ENV A=$A$A', 'LABEL b=2', 'CMD ["x"]', 'ENTRYPOINT ["y"]'], config)).toEqual({
      Env: ['PATH=/bin', 'A=11'],
      Labels: { a: '1', b: '2' },
      Cmd: ['x'],
      Entrypoint: ['y'],
    })
    expect(config).toEqual(copy)
  })

  test('refuses what docker refuses, naming the change', () => {
    for (const word of ['SHELL ["a"]', 'ARG x', 'RUN x', 'COPY a b', 'FROM x', 'MAINTAINER x', 'foo bar'])
      expect(() => changed([word])).toThrow(`${word.split(' ')[0]} is not a valid change command`)
    const refusals = [
      ['ENV', 'ENV requires at least one argument'],
      ['ENV A', 'ENV must have two arguments'],
      ['', 'file with no instructions'],
      ['STOPSIGNAL foo', 'invalid signal: foo'],
      ['EXPOSE x', 'invalid containerPort: x'],
      ['HEALTHCHECK x', 'Unknown type "X" in HEALTHCHECK (try CMD)'],
      ['ONBUILD ONBUILD RUN x', "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"],
    ] as const
    for (const [change, message] of refusals)
      expect(() => changed(['USER me', change])).toThrow(
        expect.objectContaining({ message, hint: `That was the change ${JSON.stringify(change)}.` }),
      )
  })
})
