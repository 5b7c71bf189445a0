import { describe, expect, test } from 'bun:test'
import { CairnError } from '../../errors/error.ts'
import { parsePorts } from './port-flags.ts'

const tcp = (port: number, hostPorts?: readonly [number, number], hostAddress = '') => ({
  protocol: 'tcp',
  port,
  hostAddress,
  ...(hostPorts === undefined ? {} : { hostPorts }),
})

describe('parsePorts()', () => {
  test.each([
    ['80', [tcp(80)]],
    ['8080:80', [tcp(80, [8080, 8080])]],
    ['8080:80/UDP', [{ ...tcp(80, [8080, 8080]), protocol: 'udp' }]],
    ['127.0.0.1:8080:80', [tcp(80, [8080, 8080], '127.0.0.1')]],
    ['127.0.0.1::80', [tcp(80, undefined, '127.0.0.1')]],
    ['[::1]:8080:80', [tcp(80, [8080, 8080], '::1')]],
    ['8000-8001:80-81', [tcp(80, [8000, 8000]), tcp(81, [8001, 8001])]],
    ['8000-8005:80', [tcp(80, [8000, 8005])]],
    ['80-81', [tcp(80), tcp(81)]],
    ['published=8080,target=80,protocol=udp', [{ ...tcp(80, [8080, 8080]), protocol: 'udp' }]],
  ])('reads %p', (text, expected) => {
    expect(parsePorts([text])).toEqual(expected as unknown as ReturnType<typeof parsePorts>)
  })

  test.each([
    ['abc', 'USAGE: invalid containerPort: abc'],
    ['80:', 'USAGE: no port specified: 80:<empty>'],
    ['x:80', 'USAGE: invalid hostPort: x'],
    ['80:70000', 'USAGE: invalid containerPort: 70000'],
    ['1.2.3:80:80', 'USAGE: invalid IP address: 1.2.3'],
    ['1-3:80-81', 'USAGE: invalid ranges specified for container and host Ports: 80-81 and 1-3'],
    ['80/foo', 'USAGE: invalid proto: foo'],
    ['80/sctp', 'NOT_SUPPORTED: ports of sctp cannot be published'],
    ['target=80,x=1', 'USAGE: invalid publish option: x'],
  ])('refuses %p in docker’s words', (text, expected) => {
    let message = ''
    try {
      parsePorts([text])
    } catch (error) {
      if (error instanceof CairnError) message = `${error.code}: ${error.message}`
    }
    expect(message).toBe(expected)
  })
})
