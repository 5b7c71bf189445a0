import { describe, expect, test } from 'bun:test'
import { parseDevice } from './device.ts'
import { checkMount, mountSource, parseMount, type RunMount } from './mount.ts'
import { expandWord } from './words.ts'

const parse = (text: string): RunMount =>
  parseMount(text, (word) => expandWord(word, (name) => (name === 'X' ? 'val' : undefined)))

describe('parseMount()', () => {
  test.each<[string, RunMount]>([
    ['target=/a', { type: 'bind', target: '/a', readOnly: true }],
    ['type=bind,from=x,src=/s,dst=$X,rw', { type: 'bind', from: 'x', source: '/s', target: 'val', readOnly: false }],
    ['TYPE=Bind,destination=/a,ro=0', { type: 'bind', target: '/a', readOnly: false }],
    ['target=/a,rw=false', { type: 'bind', target: '/a', readOnly: true }],
    ['type=cache,target=/a/../b/', { type: 'cache', id: '/b', target: '/a/../b/', readOnly: false, sharing: 'shared' }],
    [
      'type=cache,id=go-$X,target=/c,sharing=LOCKED,mode=0700,uid=1,gid=2,from=img,source=/s,readonly',
      {
        type: 'cache',
        id: 'go-val',
        target: '/c',
        sharing: 'locked',
        mode: 0o700,
        uid: 1,
        gid: 2,
        from: 'img',
        source: '/s',
        readOnly: true,
      },
    ],
    ['type=tmpfs,target=/t', { type: 'tmpfs', target: '/t', readOnly: false }],
    ['type=tmpfs,target=/t,size=1.5g', { type: 'tmpfs', target: '/t', readOnly: false, size: 1.5 * 1024 ** 3 }],
    ['size=10 KiB,type=tmpfs,target=/t', { type: 'tmpfs', target: '/t', readOnly: false, size: 10240 }],
    [
      'type=secret,id=a/b',
      { type: 'secret', id: 'a/b', target: '/run/secrets/b', required: false, mode: 0o400, uid: 0, gid: 0 },
    ],
    [
      'type=secret,target=/x/key,required',
      { type: 'secret', id: 'key', target: '/x/key', required: true, mode: 0o400, uid: 0, gid: 0 },
    ],
    ['type=secret,src=s,env=E', { type: 'secret', id: 's', env: 'E', required: false, mode: 0o400, uid: 0, gid: 0 }],
    [
      'type=secret,id=s,env=,target=/t,mode=0444,uid=5,gid=6,required=false',
      { type: 'secret', id: 's', env: 's', target: '/t', required: false, mode: 0o444, uid: 5, gid: 6 },
    ],
    ['required=true,type=ssh', { type: 'ssh', id: 'default', required: true, mode: 0o600, uid: 0, gid: 0 }],
    [
      'type=ssh,id=gh,target=/s,mode=0666',
      { type: 'ssh', id: 'gh', target: '/s', required: false, mode: 0o666, uid: 0, gid: 0 },
    ],
    ['"target=/a,b","source=c""d"', { type: 'bind', target: '/a,b', source: 'c"d', readOnly: true }],
    ['type=bind,id=unused,target=/a', { type: 'bind', target: '/a', readOnly: true }],
  ])('%s', (text, mount) => {
    if (text.includes('""')) expect(parseMount(text, (word) => word)).toEqual(mount)
    else expect(parse(text)).toEqual(mount)
  })

  test.each([
    ['', 'failed to parse csv mounts: EOF'],
    ['a"b', 'failed to parse csv mounts: parse error on line 1, column 2: bare " in non-quoted-field'],
    ['"a', 'failed to parse csv mounts: parse error on line 1, column 2: extraneous or missing " in quoted-field'],
    ['type=bund,target=/a', 'unsupported mount type "bund" (did you mean bind?)'],
    ['type=bind,targt=/a', "unexpected key 'targt' in 'targt=/a' (did you mean target?)"],
    ['target', "invalid field 'target' must be a key=value pair"],
    ['target=/a,ro=maybe', 'invalid value for ro: maybe'],
    ['target=/a,required', "unexpected key 'required' for mount type 'bind'"],
    ['target=/a,size=1', "unexpected key 'size' for mount type 'bind'"],
    ['type=tmpfs,target=/a,size=x', 'invalid value for size: x'],
    ['type=tmpfs,target=/a,size=-1', 'invalid value for size: -1'],
    ['type=cache,target=/a,sharing=lock', 'unsupported sharing value "lock" (did you mean locked?)'],
    ['type=cache,target=/a,mode=0x1', 'invalid value 0x1 for mode'],
    ['type=cache,target=/a,mode=999', 'invalid value 999 for mode'],
    ['type=cache,target=/a,uid=-1', 'invalid value -1 for uid'],
    ['type=cache,target=/a,gid=4294967296', 'invalid value 4294967296 for gid'],
    ['target=/a,mode=0700', 'mode not allowed for "bind" type mounts'],
    ['type=tmpfs,target=/a,uid=1', 'uid not allowed for "tmpfs" type mounts'],
    ['target=/a,gid=1', 'gid not allowed for "bind" type mounts'],
    ['target=/a,sharing=shared', 'invalid cache sharing set for bind mount'],
    ['type=secret', 'invalid secret mount. one of source, target required'],
    ['type=secret,id=a,src=b', "both source and id can't be set"],
    ['type=secret,id=a,from=b', 'secret mount should not have a from'],
    ['type=secret,id=a,sharing=shared', 'secret mount should not define sharing'],
    ['type=ssh,source=a', 'ssh does not support source'],
    ['target=/a/..', 'invalid mount target "/a/.."'],
  ])('refuses %j', (text, message) => {
    expect(() => parse(text)).toThrow(expect.objectContaining({ code: 'DOCKERFILE_INVALID', message }))
  })
})

describe('checkMount()', () => {
  test('refuses variables in from, and says how they become allowed', () => {
    const message = "'from' doesn't support variable expansion, define alias stage instead"
    const hint = 'This extension of the language needs "# syntax=cairn/dockerfile:1" as the first line.'
    expect(() => checkMount('target=/a,from=$X', { extensions: false })).toThrow(
      expect.objectContaining({ code: 'DOCKERFILE_INVALID', message, hint }),
    )
    expect(() => checkMount('target=/$X,from=x$', { extensions: false })).not.toThrow()
    expect(() => checkMount('target=/a,from=$X', { extensions: true })).not.toThrow()
  })
})

describe('mountSource()', () => {
  test('gives from, whatever else is there', () => {
    expect(mountSource('type=$T,target=/a,FROM=stage')).toBe('stage')
    expect(mountSource('target=/a')).toBeUndefined()
    expect(mountSource('target=/a,from=')).toBeUndefined()
  })
})

describe('parseDevice()', () => {
  test('reads a name and whether it is required', () => {
    expect(parseDevice('vendor1.com/device=foo')).toEqual({ name: 'vendor1.com/device=foo', required: false })
    expect(parseDevice('name=a,required')).toEqual({ name: 'a', required: true })
    expect(parseDevice('required=false,a')).toEqual({ name: 'a', required: false })
  })
  test.each([
    ['a,name=b', 'device name already set to a'],
    ['a,requird=1', "unexpected key 'requird' in 'requird=1' (did you mean required?)"],
    ['a,required=x', 'invalid value for required: x'],
    ['"a', 'failed to parse csv devices: parse error on line 1, column 2: extraneous or missing " in quoted-field'],
  ])('refuses %j', (text, message) => {
    expect(() => parseDevice(text)).toThrow(message)
  })
})
