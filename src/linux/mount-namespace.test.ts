import { expect, test } from 'bun:test'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
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

test('inMountNamespaceCopy() and inOuterMounts() leave the thread where its root directory was, also in a chroot', () => {
  const directory = mkdtempSync(join(tmpdir(), 'cairn-chroot-'))
  try {
    for (const name of ['root', 'inside']) mkdirSync(join(directory, name))
    writeFileSync(
      join(directory, 'program.ts'),
      `import { existsSync } from 'node:fs'
       import { inMountNamespaceCopy, inOuterMounts } from '${join(import.meta.dir, 'mount-namespace.ts')}'
       const isInside = () => existsSync('${directory}/inside/file')
       const seen = [isInside()]
       inMountNamespaceCopy(() => seen.push(isInside()), () => seen.push(isInside()))
       seen.push(isInside())
       inOuterMounts(() => seen.push(isInside()))
       seen.push(isInside())
       console.log(seen.join(' '), process.cwd())`,
    )
    // The same tree as outside, but for one directory.
    const script = `set -e
      mount --rbind / "$1/root"
      mount -t tmpfs none "$1/root$1/inside"
      touch "$1/root$1/inside/file"
      exec chroot "$1/root" sh -c 'cd "$1/inside" && exec "$2" ../program.ts' sh "$1" "$2"`
    const { stdout, stderr } = Bun.spawnSync([
      'unshare',
      '--mount',
      '--propagation',
      'private',
      'sh',
      '-c',
      script,
      'sh',
      directory,
      process.execPath,
    ])
    expect(stderr.toString()).toBe('')
    expect(stdout.toString()).toBe(`true true true true true true ${directory}/inside\n`)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
})
