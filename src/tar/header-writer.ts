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
const zero = 0x30
const space = 0x20
const noBytes = new Uint8Array(0)
const plainBlock = new Uint8Array(BLOCK_SIZE)

/**
 * The headers of one member, as Go's archive/tar writes them: one ustar block where all values fit it, else a pax header
 * with just the records needed, sorted by key, before it. The same entry gives the same bytes everywhere.
 * They are valid until the next call. Throws TAR_INVALID for what no header can say.
 */
export function formatHeaders(entry: TarEntry): Uint8Array<ArrayBuffer> {
  checkEntry(entry)
  const path = entry.type === 'directory' && !entry.path.endsWith('/') ? `${entry.path}/` : entry.path
  const split = splitPath(path)
  if (split !== undefined && fitsUstar(entry)) {
    const block = plainBlock.fill(0)
    putText(block, fields.prefix, split.prefix)
    putText(block, fields.name, split.name)
    fillBlock(block, entry)
    return block
  }
  const paxBytes = Buffer.concat(paxRecords(entry, path, split === undefined))
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
  const reason = whyImpossible(entry)
  if (reason !== undefined)
    throw new CairnError('TAR_INVALID', `${JSON.stringify(entry.path)} cannot be archived: ${reason}`)
}

function whyImpossible(entry: TarEntry): string | undefined {
  const { type, path, linkname, uid, gid, size, devMajor, devMinor, mtimeSeconds } = entry
  if (path === '') return 'it has no name'
  if (path.includes('\0') || linkname.includes('\0')) return 'a name has a NUL in it'
  if ((type === 'symlink' || type === 'hardlink') && linkname === '') return 'a link has no target'
  if (!isCount(uid)) return `${uid} is out of range`
  if (!isCount(gid)) return `${gid} is out of range`
  if (!isCount(size)) return `${size} is out of range`
  if (!isCount(devMajor)) return `${devMajor} is out of range`
  if (!isCount(devMinor)) return `${devMinor} is out of range`
  if (devMajor > largestId || devMinor > largestId) return 'its device number is out of range'
  return Number.isSafeInteger(mtimeSeconds) ? undefined : 'its modification time is out of range'
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0
}

interface UstarPath {
  readonly prefix: string
  readonly name: string
}

/** `path` as ustar's prefix and name, or undefined where they cannot hold it: then a pax record does. */
function splitPath(path: string): UstarPath | undefined {
  if (!isAscii(path)) return undefined
  if (path.length <= 100) return { prefix: '', name: path }
  if (path.length > 256) return undefined
  const end = path.endsWith('/') ? path.length - 1 : path.length
  const slash = path.slice(0, Math.min(end, 156)).lastIndexOf('/')
  const nameLength = path.length - slash - 1
  if (slash <= 0 || slash > 155 || nameLength > 100 || nameLength === 0) return undefined
  return { prefix: path.slice(0, slash), name: path.slice(slash + 1) }
}

/** True where the ustar fields hold all but the path. */
function fitsUstar(entry: TarEntry): boolean {
  const { linkname, uid, gid, size, xattrs } = entry
  const isLarge = uid > largestId || gid > largestId || size > largestSize
  return !isLarge && !isTimeLarge(entry) && !isLinkLong(linkname) && xattrs.size === 0
}

function isTimeLarge({ mtimeSeconds, mtimeNanoseconds }: TarEntry): boolean {
  return mtimeNanoseconds !== 0 || mtimeSeconds < 0 || mtimeSeconds > largestSize
}

function isLinkLong(linkname: string): boolean {
  return linkname.length > 100 || !isAscii(linkname)
}

/** The records the ustar fields cannot hold, sorted by key. */
function paxRecords(entry: TarEntry, path: string, isPathLong: boolean): Uint8Array[] {
  const { linkname, uid, gid, size, mtimeSeconds, mtimeNanoseconds, xattrs } = entry
  const values = new Map<string, Uint8Array>()
  // Beside a pax header the name field stands alone: ustar's split of a long path is not looked for then.
  if (isPathLong || path.length > 100) values.set('path', encodePath(path))
  if (isLinkLong(linkname)) values.set('linkpath', encodePath(linkname))
  if (uid > largestId) values.set('uid', encodePath(String(uid)))
  if (gid > largestId) values.set('gid', encodePath(String(gid)))
  if (size > largestSize) values.set('size', encodePath(String(size)))
  if (isTimeLarge(entry)) values.set('mtime', encodePath(formatPaxTime(mtimeSeconds, mtimeNanoseconds)))
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
  const [offset] = fields.checksum
  putDigits(block, offset, 6, sum)
  block[offset + 6] = 0
  block[offset + 7] = space
}

/** Zero-padded octal and a NUL; a value too large stands as 0, as a pax record carries it. */
function putNumber(block: Uint8Array, field: Field, value: number): void {
  const [offset, length] = field
  const digits = length - 1
  putDigits(block, offset, digits, value >= 0 && value < 8 ** digits ? value : 0)
}

/** Octal. One by one, since a string for each number of each file is much to throw away. */
function putDigits(block: Uint8Array, offset: number, digits: number, value: number): void {
  let rest = value
  for (let index = offset + digits - 1; index >= offset; index--) {
    block[index] = zero + (rest % 8)
    rest = Math.floor(rest / 8)
  }
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
