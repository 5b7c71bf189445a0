import { expect, test } from 'bun:test'
import { open, openFlags } from './files.ts'
import { errno, SystemCallError } from './errno.ts'

test('SystemCallError names the call, the path and the reason, and what to do where there is a limit', () => {
  expect(() => open('/nonexistent/file', openFlags.O_RDONLY)).toThrow(
    'open /nonexistent/file: no such file or directory',
  )
  const { message, hint } = new SystemCallError('open', errno.EMFILE, '/f')
  expect(message).toBe('open /f: too many open files')
  expect(hint).toContain('ulimit -n')
  expect(new SystemCallError('write', errno.EFBIG, '/f', { hint: 'Other.' }).hint).toBe('Other.')
  expect(new SystemCallError('open', errno.EISDIR, '/f').hint).toBeUndefined()
})
