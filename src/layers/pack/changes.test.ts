import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { listOverlay, listTree } from '../../../test/fixtures/layers.ts'
import { setXattr } from '../../linux/xattrs.ts'
import { AT_FDCWD } from '../../linux/files.ts'
import { makeNodeAt, setTimesAt } from '../../linux/names.ts'
import { readTarFile } from '../../tar/reader.ts'
import { applyLayerFile } from '../unpack/apply.ts'
import { type ChangesOptions, packChanges } from './changes.ts'
import { directoryTree, overlayTree, stackTree, tarTree } from '../trees/layer-tree.ts'
import { packDirectory } from './pack.ts'

/** Upper directories of real overlay mounts, made into layers. */

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'cairn-changes-'))
  for (const name of ['lower', 'upper', 'work', 'merged']) mkdirSync(`${root}/${name}`)
})
afterEach(() => {
  rmSync(root, { recursive: true, force: true })
})

function shell(script: string, directory = root): void {
  const result = Bun.spawnSync(['sh', '-euc', script], { cwd: directory })
  if (result.exitCode !== 0) throw new Error(result.stderr.toString())
}

const base = `
  mkdir -p etc/conf.d usr/bin var/cache/old gone/deep replaced emptied same/dir
  echo passwd > etc/passwd; echo a > etc/conf.d/a; echo b > etc/conf.d/b
  echo tool > usr/bin/tool; chmod 4755 usr/bin/tool; ln usr/bin/tool usr/bin/alias; ln -s tool usr/bin/link
  echo x > gone/deep/x; echo y > replaced/y; echo z > emptied/z; echo c > var/cache/old/c; echo s > same/dir/s
  mknod etc/null c 1 3; mkfifo etc/fifo; chown 10:20 same
  find . -exec touch -h -d @1000000000 {} +
`
const changes = `
  echo changed >> etc/passwd; rm etc/conf.d/a; echo new > etc/conf.d/new; rm -r gone
  rm -r replaced; echo file > replaced; rm -r emptied; mkdir emptied; echo fresh > emptied/fresh
  chmod 700 var/cache; rm usr/bin/link; ln -s /etc/passwd usr/bin/link; mkdir -p brand/new; ln etc/passwd brand/passwd
  mknod brand/zero c 1 5; mkfifo brand/fifo; touch "brand/$(printf 'caf\\351')"; chown -h 7:8 usr/bin/link
  truncate -s 3M brand/sparse; echo tail >> brand/sparse; rm same/dir/s; echo s > same/dir/s; touch -d @1000000000 same/dir/s same/dir
  find . -newermt @1000000001 -exec touch -h -d @1100000000 {} +
`

/** Runs a script in an overlay over `root/lower`, its changes going to `root/upper`. */
function inOverlay(script: string, options = ''): void {
  const mount = `mount -t overlay overlay -o "lowerdir=lower,upperdir=upper,workdir=work${options}" merged && cd merged && eval "$1"`
  const result = Bun.spawnSync(['unshare', '-m', 'sh', '-euc', mount, 'sh', script], { cwd: root })
  if (result.exitCode !== 0) throw new Error(result.stderr.toString())
}

const pack = (options: ChangesOptions = {}): ReturnType<typeof packChanges> =>
  packChanges(`${root}/upper`, `${root}/changes.tar`, options)
const paths = (): string[] => [...readTarFile(`${root}/changes.tar`)].map(({ entry }) => entry.path)

describe('packChanges()', () => {
  test('makes a layer that shows the same tree again in every form when put on the same layers', async () => {
    shell(base, `${root}/lower`)
    inOverlay(changes)
    setXattr(`${root}/upper/brand`, 'user.kept', new Uint8Array([1]))
    const before = await listOverlay([`${root}/lower`, `${root}/upper`], `${root}/scratch`)
    const lower = directoryTree(`${root}/lower`)
    packDirectory(`${root}/lower`, `${root}/base.tar`)
    const written = pack({ lower })

    mkdirSync(`${root}/again`)
    const applied = applyLayerFile(`${root}/changes.tar`, `${root}/again`, {
      mode: 'overlay',
      lower,
      diffId: written.diffId,
    })
    expect(applied.entries).toBe(written.entries)
    expect(await listOverlay([`${root}/lower`, `${root}/again`], `${root}/scratch2`)).toEqual(before)
    expect(listTree(stackTree([lower, overlayTree(`${root}/again`)]))).toEqual(before)
    expect(listTree(stackTree([lower, overlayTree(`${root}/upper`)]))).toEqual(before)
    expect(listTree(stackTree([tarTree(`${root}/base.tar`), tarTree(`${root}/changes.tar`)]))).toEqual(before)

    mkdirSync(`${root}/flat`)
    applyLayerFile(`${root}/base.tar`, `${root}/flat`, { mode: 'plain' })
    applyLayerFile(`${root}/changes.tar`, `${root}/flat`, { mode: 'plain' })
    expect(listTree(directoryTree(`${root}/flat`))).toEqual(before)
    expect(before['/brand/caf\udce9']).toStartWith('file')
    expect(before['/etc/passwd']).toEndWith('=/brand/passwd')
  })

  test('says what is gone by whiteouts, and opaque first in its directory', () => {
    shell(base, `${root}/lower`)
    inOverlay('rm -r gone; rm -r emptied; mkdir emptied; echo a > emptied/a; rm etc/conf.d/a')
    pack({ lower: directoryTree(`${root}/lower`) })
    expect(paths()).toEqual([
      'emptied',
      'emptied/.wh..wh..opq',
      'emptied/a',
      'etc',
      'etc/conf.d',
      'etc/conf.d/.wh.a',
      '.wh.gone',
    ])
  })

  test('leaves out what was copied up but not changed when it knows the layers below', () => {
    shell(base, `${root}/lower`)
    inOverlay(
      'chown 0:0 etc/conf.d var; touch var/cache/old/new; rm var/cache/old/new; touch -d @1000000000 var/cache/old',
    )
    pack()
    expect(paths()).toContain('etc/conf.d')
    const written = pack({ lower: directoryTree(`${root}/lower`) })
    expect(paths()).toEqual([])
    expect(written).toMatchObject({ entries: 0, size: 1024 })
  })

  test('keeps unchanged parents of what changed, so that other tools keep their modes', () => {
    shell(base, `${root}/lower`)
    inOverlay('echo more >> var/cache/old/c')
    pack({ lower: directoryTree(`${root}/lower`) })
    expect(paths()).toEqual(['var', 'var/cache', 'var/cache/old', 'var/cache/old/c'])
  })

  test('leaves out excluded paths, and a directory that only they touched', () => {
    shell(base, `${root}/lower`)
    inOverlay('echo r > etc/resolv.conf; mkdir -p run/secrets; echo s > run/secrets/s')
    pack({ lower: directoryTree(`${root}/lower`), exclude: new Set(['etc/resolv.conf', 'run']) })
    expect(paths()).toEqual([])
    pack({ exclude: new Set(['etc/resolv.conf', 'run/secrets']) })
    expect(paths()).toEqual(['etc', 'run'])
  })

  test('keeps a changed mode of the root', () => {
    inOverlay('chmod 711 .')
    pack({ lower: directoryTree(`${root}/lower`) })
    expect(paths()).toEqual(['.'])
  })

  test('gives one content digest for the same changes made at another time', () => {
    shell(base, `${root}/lower`)
    inOverlay('mkdir d; echo a > d/a; rm etc/passwd')
    const first = pack()
    shell('find upper -exec touch -h -d @1234567890 {} +')
    const second = pack()
    expect(second.contentDigest).toBe(first.contentDigest)
    expect(second.diffId).not.toBe(first.diffId)
    expect(pack({ epoch: 1000 }).diffId).toBe(pack({ epoch: 1000 }).diffId)
    shell('echo b > upper/d/a')
    expect(pack().contentDigest).not.toBe(first.contentDigest)
  })

  test('never writes what overlayfs keeps for itself', () => {
    shell(base, `${root}/lower`)
    inOverlay('echo more >> etc/passwd; rm -r gone; mkdir gone')
    pack()
    const names = [...readTarFile(`${root}/changes.tar`)].flatMap(({ entry }) => [...entry.xattrs.keys()])
    expect(names).toEqual([])
  })

  test('refuses an upper directory made with redirect_dir on, naming the directory', () => {
    shell(base, `${root}/lower`)
    inOverlay('mv usr moved', ',redirect_dir=on')
    expect(() => pack()).toThrow(expect.objectContaining({ code: 'OVERLAY_UNSUPPORTED' }))
    expect(() => pack()).toThrow('moved')
    expect(existsSync(`${root}/changes.tar`)).toBe(false)
  })

  test('refuses a file whose name would be read as a whiteout, and removes the unfinished layer', () => {
    writeFileSync(`${root}/upper/.wh.fake`, '')
    expect(() => pack()).toThrow(expect.objectContaining({ code: 'LAYER_UNSAFE' }))
    expect(existsSync(`${root}/changes.tar`)).toBe(false)
  })

  test('takes whiteouts and attributes of overlays of ordinary users for what they are', () => {
    mkdirSync(`${root}/upper/d`)
    setXattr(`${root}/upper/d`, 'user.overlay.opaque', Buffer.from('y'))
    makeNodeAt(AT_FDCWD, `${root}/upper/d/f`, 'character-device', 0)
    setTimesAt(AT_FDCWD, `${root}/upper/d`, 5, 5)
    pack()
    expect(paths()).toEqual(['d', 'd/.wh..wh..opq', 'd/.wh.f'])
  })
})
