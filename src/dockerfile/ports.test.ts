import { describe, expect, test } from 'bun:test'
import { parsePorts, type WrittenPort } from './ports.ts'

describe('parsePorts()', () => {
  test('adds the protocol and opens ranges', () => {
    expect(parsePorts(['80', '53/udp', '8000-8002/SCTP', '9-9', '0', '65535'])).toEqual([
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
  test('drops addresses and host ports, and tells how each word was written', () => {
    const written: WrittenPort[] = []
    const words = ['127.0.0.1:8080:80', '8000-8005:90', '[::1]:1:2/TCP', '::1:3:4', '5']
    expect(parsePorts(words, (port) => written.push(port))).toEqual(['80/tcp', '90/tcp', '2/tcp', '4/tcp', '5/tcp'])
    expect(written).toEqual([
      { word: '127.0.0.1:8080:80', protocol: 'tcp', mapped: true },
      { word: '8000-8005:90', protocol: 'tcp', mapped: true },
      { word: '[::1]:1:2/TCP', protocol: 'TCP', mapped: true },
      { word: '::1:3:4', protocol: 'tcp', mapped: true },
      { word: '5', protocol: 'tcp', mapped: false },
    ])
  })
  test('tells of a word whose numbers are wrong', () => {
    const written: string[] = []
    expect(() => parsePorts(['1/UDP', 'x:2/TCP'], ({ word }) => written.push(word))).toThrow('invalid hostPort')
    expect(written).toEqual(['1/UDP', 'x:2/TCP'])
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
