import { expect, test } from 'bun:test'
import { mountNamespace, processInMounts } from './mount-namespace.ts'

/** A process in a mount namespace of its own, whose identity is given with it. */
async function apart(): Promise<{ readonly child: Bun.Subprocess; readonly identity: string }> {
  const child = Bun.spawn(['unshare', '--mount', 'sh', '-c', 'echo ready; exec sleep 100'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  for await (const _ of child.stdout) break
  return { child, identity: mountNamespace(child.pid) ?? '' }
}

async function end({ child }: { readonly child: Bun.Subprocess }): Promise<void> {
  child.kill('SIGKILL')
  await child.exited
}

test('processInMounts() finds nobody in a namespace that is gone, whoever has its number then', async () => {
  const first = await apart()
  await end(first)
  const others = [await apart(), await apart(), await apart()]
  try {
    expect(first.identity).toMatch(/^mnt:\[\d+\]/)
    expect(processInMounts(first.identity)).toBeUndefined()
    // Before Linux 6.11 the number is all there is, and no proof.
    for (const { child, identity } of others)
      expect(processInMounts(identity)).toBe(identity.includes('#') ? child.pid : undefined)
    for (const { identity } of others) expect(processInMounts(identity.replace(/#.*/, ''))).toBeUndefined()
  } finally {
    for (const other of others) await end(other)
  }
})
