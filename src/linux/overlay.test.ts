import { describe, expect, test } from 'bun:test'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { enterPrivateMounts, inMountNamespaceCopy } from './mount-namespace.ts'
import { bindMount, mountTmpfs, unmount } from './mounts.ts'
import { type OverlayMount, mountOverlay, overlayObstacle, overlaySupported } from './overlay.ts'

/** A directory with a tmpfs of its own, gone at the end with everything mounted below. */
class Sandbox {
  readonly path: string

  constructor(name = 'cairn-overlay') {
    enterPrivateMounts()
    this.path = mkdtempSync(`/tmp/${name}-`)
    mountTmpfs(this.path)
  }

  directory(name: string, files: Record<string, string> = {}): string {
    const path = `${this.path}/${name}`
    mkdirSync(path, { recursive: true })
    for (const [file, text] of Object.entries(files)) writeFileSync(`${path}/${file}`, text)
    return path
  }

  /** Mounts with upper, work and target made here, and gives the target. */
  mount(lowers: string[], more: Partial<OverlayMount> = {}, way: 'newest' | 'mount' = 'newest'): string {
    const target = this.directory('root')
    mountOverlay({ lowers, upper: this.directory('upper'), work: this.directory('work'), target, ...more }, way)
    return target
  }

  [Symbol.dispose](): void {
    unmount(`${this.path}/root`, { lazy: true })
    unmount(this.path, { lazy: true })
    rmSync(this.path, { recursive: true, force: true })
  }
}

const mounts = (): string => readFileSync('/proc/thread-self/mountinfo', 'utf8')

describe.each(['newest', 'mount'] as const)('mountOverlay() by way of %s', (way) => {
  test('`mountOverlay()` shows the topmost file and takes changes into the upper', () => {
    using box = new Sandbox()
    const lowers = [box.directory('top', { same: 'top' }), box.directory('bottom', { same: 'bottom', old: 'old' })]
    const root = box.mount(lowers, {}, way)
    expect(readdirSync(root).toSorted()).toEqual(['old', 'same'])
    expect(readFileSync(`${root}/same`, 'utf8')).toBe('top')
    writeFileSync(`${root}/new`, 'new')
    rmSync(`${root}/old`)
    expect(readFileSync(`${box.path}/upper/new`, 'utf8')).toBe('new')
    expect(readdirSync(lowers[1] as string).toSorted()).toEqual(['old', 'same'])
    expect(unmount(root)).toBe(true)
    expect(readdirSync(root)).toEqual([])
  })

  test('`mountOverlay()` takes 300 layers with names of 230 characters', () => {
    using box = new Sandbox()
    const parent = `${'long'.repeat(30)}/${'name'.repeat(25)}`
    const lowers = Array.from({ length: 300 }, (_, index) =>
      box.directory(`${parent}/${index}`, { [`f${index}`]: '', same: `${index}` }),
    )
    const root = box.mount(lowers, {}, way)
    expect(readdirSync(root)).toHaveLength(301)
    expect(readFileSync(`${root}/same`, 'utf8')).toBe('0')
  })

  test('`mountOverlay()` takes paths with commas, colons, backslashes, quotes and blanks', () => {
    using box = new Sandbox('cairn,ov:er\\lay "\'')
    const lowers = [box.directory('a:b,c\\d', { a: 'a' }), box.directory('x=y, z', { b: 'b' })]
    const more = { upper: box.directory('up:,per\\'), work: box.directory('wo:,rk\\') }
    const root = box.mount(lowers, more, way)
    expect(readdirSync(root).toSorted()).toEqual(['a', 'b'])
    writeFileSync(`${root}/c`, '')
    expect(existsSync(`${more.upper}/c`)).toBe(true)
  })

  test('`mountOverlay()` without an upper is read-only, nodev and volatile where asked', () => {
    using box = new Sandbox()
    const lowers = [box.directory('a', { a: '' }), box.directory('b', { b: '' })]
    const target = box.directory('root')
    mountOverlay({ lowers, target, nodev: true }, way)
    expect(() => writeFileSync(`${target}/x`, '')).toThrow('EROFS')
    expect(mounts()).toMatch(new RegExp(`${target} ro,nodev`))
    unmount(target)
    box.mount(lowers, { volatile: true }, way)
    const line = mounts()
      .split('\n')
      .find((text) => text.includes(target))
    expect(line).toMatch(/volatile/)
    expect(line).not.toMatch(/redirect_dir=on|metacopy=on|index=on|userxattr/)
  })

  test('`mountOverlay()` names a directory that is missing', () => {
    using box = new Sandbox()
    const lowers = [box.directory('a'), `${box.path}/missing`]
    expect(() => box.mount(lowers, {}, way)).toThrow(`${box.path}/missing: no such file`)
    expect(process.cwd()).toBe(process.env['PWD'] ?? process.cwd())
    expect(existsSync('package.json')).toBe(true)
  })

  test('`mountOverlay()` on an upper that is itself an overlay tells what to do', () => {
    using box = new Sandbox()
    const root = box.mount([box.directory('a')], {}, way)
    for (const name of ['upper', 'work', 'root']) mkdirSync(`${root}/${name}`)
    const inner = { lowers: [box.directory('b')], upper: `${root}/upper`, work: `${root}/work`, target: `${root}/root` }
    try {
      mountOverlay(inner, way)
      throw new Error('mounted')
    } catch (error) {
      expect(error).toMatchObject({ code: 'OVERLAY_UNSUPPORTED' })
      expect((error as { hint?: string }).hint).toContain('CAIRN_ROOT')
    }
    expect(overlaySupported(root)).toBe(false)
    expect(overlayObstacle(root)?.code).toBe('OVERLAY_UNSUPPORTED')
    expect(readdirSync(root).toSorted()).toEqual(['root', 'upper', 'work'])
  })
})

describe('mountOverlay()', () => {
  test('`mountOverlay()` of one layer is a read-only bind mount, of an upper alone a bind mount', () => {
    using box = new Sandbox()
    const target = box.directory('root')
    mountOverlay({ lowers: [box.directory('a', { a: '' })], target })
    expect(readdirSync(target)).toEqual(['a'])
    expect(() => writeFileSync(`${target}/x`, '')).toThrow('EROFS')
    unmount(target)
    mountOverlay({ lowers: [], upper: box.directory('upper'), target })
    writeFileSync(`${target}/x`, '')
    expect(readdirSync(`${box.path}/upper`)).toEqual(['x'])
  })

  test('`mountOverlay()` refuses more layers than the kernel takes', () => {
    using box = new Sandbox()
    const lowers = Array.from({ length: 501 }, () => box.directory('a'))
    expect(() => box.mount(lowers)).toThrow('501 layers')
  })

  test('`overlaySupported()` is true on a file system that can, and leaves nothing there', () => {
    using box = new Sandbox()
    expect(overlaySupported(box.path)).toBe(true)
    expect(overlayObstacle(box.path)).toBeUndefined()
    expect(readdirSync(box.path)).toEqual([])
    expect(() => overlayObstacle('/no/such/directory/at/all/\0')).toThrow()
  })
})

describe('enterPrivateMounts()', () => {
  test('`enterPrivateMounts()` hides mounts from the host and shows them to children', () => {
    using box = new Sandbox()
    box.directory('inside')
    expect(readFileSync('/proc/1/mountinfo', 'utf8')).not.toContain(box.path)
    expect(Bun.spawnSync(['ls', box.path]).stdout.toString()).toBe('inside\n')
  })

  test('mounts of a killed process are gone', async () => {
    const path = mkdtempSync('/tmp/cairn-killed-')
    const code = `
      import { enterPrivateMounts } from '${import.meta.dir}/mount-namespace.ts'
      import { mountTmpfs } from '${import.meta.dir}/mounts.ts'
      enterPrivateMounts(); mountTmpfs('${path}'); require('fs').writeFileSync('${path}/x', ''); console.log('mounted')
      setInterval(() => {}, 1000)`
    const child = Bun.spawn([process.execPath, '-e', code], { stdout: 'pipe' })
    try {
      const reader = child.stdout.getReader()
      expect(new TextDecoder().decode((await reader.read()).value)).toBe('mounted\n')
      expect(readdirSync(path)).toEqual([])
    } finally {
      child.kill('SIGKILL')
      await child.exited
      // Fails as busy while any namespace has a mount here.
      rmSync(path, { recursive: true })
    }
    expect(existsSync(path)).toBe(false)
  })

  test('`inMountNamespaceCopy()` changes mounts for a child alone and comes back to the working directory', () => {
    using box = new Sandbox()
    const target = box.directory('target')
    const source = box.directory('source', { file: '' })
    const seen = inMountNamespaceCopy(
      () => bindMount(source, target),
      () => Bun.spawnSync(['ls', target]).stdout.toString(),
    )
    expect(seen).toBe('file\n')
    expect(readdirSync(target)).toEqual([])
    expect(existsSync('package.json')).toBe(existsSync(`${process.cwd()}/package.json`))
    expect(() =>
      inMountNamespaceCopy(
        () => bindMount('/no/such', target),
        () => 0,
      ),
    ).toThrow('/no/such')
    expect(readdirSync(box.path).toSorted()).toEqual(['source', 'target'])
  })
})

describe('bindMount(), unmount()', () => {
  test('`bindMount()` of a directory or a file is read-only where asked', () => {
    using box = new Sandbox()
    const source = box.directory('source', { file: 'text' })
    const root = box.directory('root', { single: '' })
    bindMount(`${source}/file`, `${root}/single`, { readonly: true, nodev: true })
    expect(readFileSync(`${root}/single`, 'utf8')).toBe('text')
    expect(() => writeFileSync(`${root}/single`, 'x')).toThrow('EROFS')
    unmount(`${root}/single`)
    expect(() => bindMount(source, `${root}/single`)).toThrow(`${source} on ${root}/single: not a directory`)
  })

  test('`unmount()` tells whether there was a mount; a busy one goes lazily', () => {
    using box = new Sandbox()
    const target = box.directory('busy')
    expect(unmount(target)).toBe(false)
    expect(unmount(`${box.path}/missing`)).toBe(false)
    mountTmpfs(target, { size: 1 << 20, mode: 0o700 })
    const holder = Bun.spawn(['sleep', '60'], { cwd: target })
    try {
      expect(() => unmount(target)).toThrow('busy')
      expect(unmount(target, { lazy: true })).toBe(true)
      expect(unmount(target)).toBe(false)
    } finally {
      holder.kill()
    }
  })

  test('without root it says so', () => {
    const code = `
      import { enterPrivateMounts } from '${import.meta.dir}/mount-namespace.ts'
      try { enterPrivateMounts() } catch (error) { console.log(error.code, error.hint) }`
    const ordinary = [
      'setpriv',
      '--reuid=65534',
      '--regid=65534',
      '--clear-groups',
      '--bounding-set=-all',
      '--inh-caps=-all',
    ]
    const child = Bun.spawnSync([...ordinary, process.execPath, '-e', code])
    expect(child.stdout.toString()).toStartWith('NOT_ROOT Run cairn as root')
  })
})
