import { CairnError } from '../errors/error.ts'
import { encodePath } from '../linux/path-bytes.ts'
import type { TarEntry } from './entry.ts'
import { BLOCK_SIZE, type Field, fields } from './header-block.ts'
import { formatPaxRecord, formatPaxTime } from './pax.ts'

const typeFlags: Record<TarEntry['type'], string> = {
  file: '0',
  hardlink: '1',
  symlink: '2',
  'character-device': '3',
  'block-device': '4',
  directory: '5',
  fifo: '6',
}

const largestId = 0o7777777
const largestSize = 0o77777777777
const noBytes = new Uint8Array(0)

/**
 * The headers of one member, as Go's archive/tar writes them: one ustar block where all values fit it, else a pax header
 * with just the records needed, sorted by key, before it. The same entry gives the same bytes everywhere.
 * Throws TAR_INVALID for what no header can say.
 */
export function formatHeaders(entry: TarEntry): Uint8Array<ArrayBuffer> {
  checkEntry(entry)
  const path = entry.type === 'directory' && !entry.path.endsWith('/') ? `${entry.path}/` : entry.path
  const split = splitPath(path)
  const records = paxRecords(entry, path, split === undefined)
  if (records.length === 0) {
    const block = new Uint8Array(BLOCK_SIZE)
    const [prefix, name] = split as readonly [string, string]
    putText(block, fields.prefix, prefix)
    putText(block, fields.name, name)
    fillBlock(block, entry)
    return block
  }
  const paxBytes = Buffer.concat(records)
  const paxBlocks = Math.ceil(paxBytes.length / BLOCK_SIZE)
  const bytes = new Uint8Array((paxBlocks + 2) * BLOCK_SIZE)
  fillPaxBlock(bytes.subarray(0, BLOCK_SIZE), path, paxBytes.length)
  bytes.set(paxBytes, BLOCK_SIZE)
  const block = bytes.subarray((paxBlocks + 1) * BLOCK_SIZE)
  putText(block, fields.name, asciiOf(path))
  fillBlock(block, entry)
  return bytes
}

function checkEntry(entry: TarEntry): void {
  const fail = (reason: string): never => {
    throw new CairnError('TAR_INVALID', `${JSON.stringify(entry.path)} cannot be archived: ${reason}`)
  }
  if (entry.path === '') fail('it has no name')
  if (entry.path.includes('\0') || entry.linkname.includes('\0')) fail('a name has a NUL in it')
  const isLink = entry.type === 'symlink' || entry.type === 'hardlink'
  if (isLink && entry.linkname === '') fail('a link has no target')
  for (const value of [entry.uid, entry.gid, entry.size, entry.devMajor, entry.devMinor])
    if (!Number.isSafeInteger(value) || value < 0) fail(`${value} is out of range`)
  if (entry.devMajor > largestId || entry.devMinor > largestId) fail('its device number is out of range')
  if (!Number.isSafeInteger(entry.mtimeSeconds)) fail('its modification time is out of range')
}

/** `path` as ustar's prefix and name, or undefined where they cannot hold it: then a pax record does. */
function splitPath(path: string): readonly [prefix: string, name: string] | undefined {
  if (!isAscii(path)) return undefined
  if (path.length <= 100) return ['', path]
  if (path.length > 256) return undefined
  const end = path.endsWith('/') ? path.length - 1 : path.length
  const slash = path.slice(0, Math.min(end, 156)).lastIndexOf('/')
  const nameLength = path.length - slash - 1
  if (slash <= 0 || slash > 155 || nameLength > 100 || nameLength === 0) return undefined
  return [path.slice(0, slash), path.slice(slash + 1)]
}

/** The records the ustar fields cannot hold, sorted by key. */
function paxRecords(entry: TarEntry, path: string, isPathLong: boolean): Uint8Array[] {
  const { linkname, uid, gid, size, mtimeSeconds, mtimeNanoseconds, xattrs } = entry
  const isTimeLarge = mtimeNanoseconds !== 0 || mtimeSeconds < 0 || mtimeSeconds > largestSize
  const isLinkLong = linkname.length > 100 || !isAscii(linkname)
  const isLarge = uid > largestId || gid > largestId || size > largestSize
  if (!isPathLong && !isTimeLarge && !isLinkLong && !isLarge && xattrs.size === 0) return []
  const values = new Map<string, Uint8Array>()
  // Beside a pax header the name field stands alone: ustar's split of a long path is not looked for then.
  if (isPathLong || path.length > 100) values.set('path', encodePath(path))
  if (isLinkLong) values.set('linkpath', encodePath(linkname))
  if (uid > largestId) values.set('uid', encodePath(String(uid)))
  if (gid > largestId) values.set('gid', encodePath(String(gid)))
  if (size > largestSize) values.set('size', encodePath(String(size)))
  if (isTimeLarge) values.set('mtime', encodePath(formatPaxTime(mtimeSeconds, mtimeNanoseconds)))
  for (const [name, value] of xattrs) {
    if (name === '' || name.includes('=') || name.includes('\0'))
      throw new CairnError(
        'TAR_INVALID',
        `${JSON.stringify(entry.path)} cannot be archived: attribute ${JSON.stringify(name)}`,
      )
    values.set(`SCHILY.xattr.${name}`, value)
  }
  return [...values.keys()].sort().map((key) => formatPaxRecord(encodePath(key), values.get(key) ?? noBytes))
}

function fillBlock(block: Uint8Array, entry: TarEntry): void {
  const isContentHere = entry.type === 'file'
  putNumber(block, fields.mode, entry.mode)
  putNumber(block, fields.uid, entry.uid)
  putNumber(block, fields.gid, entry.gid)
  putNumber(block, fields.size, isContentHere ? entry.size : 0)
  putNumber(block, fields.mtime, entry.mtimeSeconds)
  putText(block, fields.type, typeFlags[entry.type])
  putText(block, fields.linkname, asciiOf(entry.linkname))
  putNumber(block, fields.devMajor, entry.devMajor)
  putNumber(block, fields.devMinor, entry.devMinor)
  finishBlock(block)
}

function fillPaxBlock(block: Uint8Array, path: string, size: number): void {
  const trimmed = path.replace(/\/+$/, '')
  const slash = trimmed.lastIndexOf('/')
  const name = `${trimmed.slice(0, slash + 1)}PaxHeaders.0/${trimmed.slice(slash + 1)}`
  putText(block, fields.name, asciiOf(name).replace(/\/+$/, ''))
  putNumber(block, fields.mode, 0)
  putNumber(block, fields.uid, 0)
  putNumber(block, fields.gid, 0)
  putNumber(block, fields.size, size)
  putNumber(block, fields.mtime, 0)
  putText(block, fields.type, 'x')
  finishBlock(block)
}

/** Magic, version and checksum: six octal digits, NUL, space. */
function finishBlock(block: Uint8Array): void {
  putText(block, fields.magic, 'ustar\u000000')
  let sum = 8 * 0x20
  for (let index = 0; index < BLOCK_SIZE; index++) sum += block[index] as number
  putText(block, fields.checksum, `${sum.toString(8).padStart(6, '0')}\0 `)
}

/** Zero-padded octal and a NUL; a value too large stands as 0, as a pax record carries it. */
function putNumber(block: Uint8Array, field: Field, value: number): void {
  const digits = field[1] - 1
  const fits = value >= 0 && value < 8 ** digits
  putText(block, field, (fits ? value : 0).toString(8).padStart(digits, '0'))
}

/** ASCII text, cut to the field. */
function putText(block: Uint8Array, field: Field, text: string): void {
  const [offset, length] = field
  const end = Math.min(length, text.length)
  for (let index = 0; index < end; index++) block[offset + index] = text.charCodeAt(index)
}

function isAscii(text: string): boolean {
  for (let index = 0; index < text.length; index++) if (text.charCodeAt(index) >= 0x80) return false
  return true
}

function asciiOf(text: string): string {
  return isAscii(text) ? text : text.replace(/[^\0-\x7f]/gu, '')
}
