import { describe, expect, test } from 'bun:test'
import { exposedPorts, parsePorts } from './ports.ts'

describe('parsePorts()', () => {
  test('adds the protocol and opens ranges', () => {
    expect(exposedPorts(['80', '53/udp', '8000-8002/SCTP', '9-9', '0', '65535'])).toEqual([
      '80/tcp',
      '53/udp',
      '8000/sctp',
      '8001/sctp',
      '8002/sctp',
      '9/tcp',
      '0/tcp',
      '65535/tcp',
    ])
  })
  test('drops addresses and host ports with a warning', () => {
    expect(parsePorts(['127.0.0.1:8080:80', '8000-8005:90', '[::1]:1:2/TCP', '::1:3:4'])).toEqual({
      ports: ['80/tcp', '90/tcp', '2/tcp', '4/tcp'],
      warnings: [
        {
          rule: 'ExposeInvalidFormat',
          detail: "EXPOSE instruction should not define an IP address or host-port mapping, found '127.0.0.1:8080:80'",
        },
        {
          rule: 'ExposeInvalidFormat',
          detail: "EXPOSE instruction should not define an IP address or host-port mapping, found '8000-8005:90'",
        },
        {
          rule: 'ExposeProtoCasing',
          detail: "Defined protocol '[::1]:1:2/TCP' in EXPOSE instruction should be lowercase",
        },
        {
          rule: 'ExposeInvalidFormat',
          detail: "EXPOSE instruction should not define an IP address or host-port mapping, found '[::1]:1:2/TCP'",
        },
        {
          rule: 'ExposeInvalidFormat',
          detail: "EXPOSE instruction should not define an IP address or host-port mapping, found '::1:3:4'",
        },
      ],
    })
  })
  test.each([
    ['', 'invalid port: "": no port specified'],
    ['/tcp', 'invalid port: "/tcp": no port specified'],
    ['80/xyz', 'invalid port: "80/xyz": invalid proto: xyz'],
    ['x', 'invalid containerPort: x'],
    ['-1', 'invalid containerPort: -1'],
    ['65536', 'invalid containerPort: 65536'],
    ['10-9', 'invalid containerPort: 10-9'],
    ['1-', 'invalid containerPort: 1-'],
    ['x:80', 'invalid hostPort: x'],
    ['1.2.3:1:80', 'invalid IP address: 1.2.3'],
    ['1-3:5-6', 'invalid ranges specified for container and host Ports: 5-6 and 1-3'],
  ])('refuses %j', (word, message) => {
    expect(() => parsePorts([word])).toThrow(expect.objectContaining({ code: 'DOCKERFILE_INVALID', message }))
  })
})
