import { afterAll, describe, expect, test } from 'bun:test'
import { CairnError } from '../../errors/error.ts'
import { replyTo, ThreadPool } from './thread-pool.ts'

/** A thread that answers with which one it is, once it is told to; `throw` ends it. */
const script = URL.createObjectURL(
  new Blob(
    [
      `const name = Math.random()
       self.onmessage = ({ data: { id, kind } }) => {
         if (kind === 'throw') throw new Error('the thread is broken')
         if (kind === 'refuse')
           self.postMessage({ kind: 'failed', id, code: 'LAYER_UNSAFE', message: 'no layer', hint: 'Get another.' })
         if (kind === 'answer') self.postMessage({ kind: 'done', id, result: name })
       }`,
    ],
    { type: 'application/javascript' },
  ),
)
afterAll(() => URL.revokeObjectURL(script))

interface Request {
  readonly id: number
  readonly kind: 'answer' | 'refuse' | 'throw' | 'wait'
}

function poolOf(size: number): ThreadPool<Request, number> {
  return new ThreadPool(() => new Worker(script), size)
}

describe('ThreadPool', () => {
  test('starts as many threads as have work at once, and no more than its size', async () => {
    using pool = poolOf(2)
    const answer = (): Promise<number> => pool.run((id, post) => post({ id, kind: 'answer' }))
    const first = await answer()
    expect(await answer()).toBe(first)
    expect(new Set(await Promise.all([answer(), answer(), answer(), answer()])).size).toBe(2)
  })

  test('lets more be told of a job that has begun', async () => {
    using pool = poolOf(1)
    let more: (() => void) | undefined
    const job = pool.run((id, post) => {
      post({ id, kind: 'wait' })
      more = () => post({ id, kind: 'answer' })
    })
    expect(await Promise.race([job, Bun.sleep(20)])).toBeUndefined()
    more?.()
    expect(await job).toBeNumber()
  })

  test('fails a job with the code and the hint of what the thread failed with', async () => {
    using pool = poolOf(1)
    const failure = await pool.run((id, post) => post({ id, kind: 'refuse' })).catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(CairnError)
    expect(failure).toMatchObject({ code: 'LAYER_UNSAFE', message: 'no layer', hint: 'Get another.' })
  })

  test('fails the jobs of a thread that ended, and gives the next one to another', async () => {
    using pool = poolOf(1)
    const first = await pool.run((id, post) => post({ id, kind: 'answer' }))
    const broken = pool.run((id, post) => post({ id, kind: 'throw' }))
    expect(broken).rejects.toThrow('a thread failed: ')
    await broken.catch(() => {})
    expect(await pool.run((id, post) => post({ id, kind: 'answer' }))).not.toBe(first)
  })
})

describe('replyTo()', () => {
  test('gives the parts of what the work threw', async () => {
    const error = new CairnError('LAYER_UNSAFE', 'no layer', { hint: 'Get another.' })
    expect(await replyTo(7, () => Promise.reject(error))).toEqual({
      kind: 'failed',
      id: 7,
      code: 'LAYER_UNSAFE',
      message: 'no layer',
      hint: 'Get another.',
    })
    expect(await replyTo(8, () => 'made')).toEqual({ kind: 'done', id: 8, result: 'made' })
  })
})
