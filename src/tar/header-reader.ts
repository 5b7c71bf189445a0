import { CairnError } from '../errors/error.ts'
import { decodePath, pathByteLength } from '../linux/path-bytes.ts'
import type { TarEntry } from './entry.ts'
import { BLOCK_SIZE, fields, headerFormat, isZeroBlock, numberField, textField } from './header-block.ts'
import type { TarLimits } from './limits.ts'
import type { Extent, TarMember } from './member.ts'
import { type PaxRecords, decimal, parsePaxRecords, parsePaxTime } from './pax.ts'
import {
  SparseMapLines,
  type SparsePiece,
  isSparseMapValid,
  parseCommaMap,
  parseOldPieces,
  sparsePieces,
} from './sparse.ts'

/** A header while its extended records and its sparse map are gathered. */
interface Draft {
  readonly type: TarEntry['type']
  path: string
  linkname: string
  mode: number
  uid: number
  gid: number
  /** Bytes of the file. */
  size: number
  /** Bytes of it that the archive holds. */
  stored: number
  mtimeSeconds: number
  mtimeNanoseconds: number
  devMajor: number
  devMinor: number
  xattrs: ReadonlyMap<string, Uint8Array>
  pieces: SparsePiece[] | undefined
}

/** What the next bytes are. */
type Expectation = 'header' | 'long-name' | 'long-linkname' | 'pax' | 'pax-global' | 'sparse-table' | 'sparse-lines'

/** What a header led to: a member with this many bytes of content after it, or the end of the archive. */
export type HeaderResult = { readonly member: TarMember; readonly stored: number } | 'end' | undefined

const noXattrs: ReadonlyMap<string, Uint8Array> = new Map()
const noExtents: readonly Extent[] = []
const xattrPrefix = 'SCHILY.xattr.'

/**
 * Puts a member together from its headers: extended ones (pax, GNU long names), its own, and the sparse maps that
 * follow it. Knows nothing of content. Throws TAR_INVALID or LIMIT_EXCEEDED.
 */
export class HeaderReader {
  readonly #limits: TarLimits
  readonly #name: string
  #expect: Expectation = 'header'
  /** Bytes of the extended header to come that count. */
  #payload = 0
  /** Position in the archive after the bytes being taken. */
  #position = 0
  #sawZeroBlock = false
  /** Where the headers of the current member begin; -1 between members. */
  #headerPosition = -1
  #longName: string | undefined
  #longLinkname: string | undefined
  #pax: PaxRecords | undefined
  #draft: Draft | undefined
  #mapLines: SparseMapLines | undefined
  #mapBytes = 0
  #result: HeaderResult
  #entries = 0
  #contentBytes = 0
  #holeBytes = 0

  /** `name` names the archive in errors. */
  constructor(limits: TarLimits, name: string) {
    this.#limits = limits
    this.#name = name
  }

  /** How many bytes {@link take} needs next: a block, or all of an extended header with its padding. */
  get need(): number {
    return this.#expect === 'header' || this.#expect.startsWith('sparse') ? BLOCK_SIZE : padded(this.#payload)
  }

  /** True when no header of a member was taken that is still without the member. */
  get isBetween(): boolean {
    return this.#headerPosition < 0
  }

  /** Takes the {@link need}ed bytes, which end at `position` of the archive. They may be reused afterwards. */
  take(bytes: Uint8Array, position: number): HeaderResult {
    this.#position = position
    this.#result = undefined
    const expected = this.#expect
    this.#expect = 'header'
    switch (expected) {
      case 'header':
        this.#takeHeader(bytes)
        break
      case 'long-name':
        this.#longName = this.#textOf(bytes.subarray(0, this.#payload))
        break
      case 'long-linkname':
        this.#longLinkname = this.#textOf(bytes.subarray(0, this.#payload))
        break
      case 'pax':
        this.#pax = this.#paxOf(bytes)
        break
      case 'pax-global':
        this.#passGlobal(bytes)
        break
      case 'sparse-table':
        this.#takeSparseTable(bytes)
        break
      case 'sparse-lines':
        this.#takeSparseLines(bytes)
        break
      default:
        expected satisfies never
    }
    return this.#result
  }

  /** TAR_INVALID at the current member, or at `member`. */
  invalid(reason: string, path = this.#draft?.path, member?: TarMember): CairnError {
    const subject = path === undefined || path === '' ? '' : `, ${JSON.stringify(path)}`
    const position = member?.headerPosition ?? (this.isBetween ? this.#position : this.#headerPosition)
    return new CairnError('TAR_INVALID', `${this.#name} at byte ${position}${subject}: ${reason}`)
  }

  #takeHeader(block: Uint8Array): void {
    if (isZeroBlock(block)) {
      if (this.#headerPosition >= 0) throw this.invalid('an extended header is followed by the end of the archive')
      if (this.#sawZeroBlock) this.#result = 'end'
      this.#sawZeroBlock = true
      return
    }
    if (this.#headerPosition < 0) this.#headerPosition = this.#position - BLOCK_SIZE
    if (this.#sawZeroBlock) throw this.invalid('a block of zeros stands between members')
    const format = headerFormat(block)
    if (format === undefined) throw this.invalid('this is no tar header (its checksum is wrong)')
    const type = String.fromCharCode(block[fields.type[0]] as number)
    switch (type) {
      case 'x':
      case 'X':
        return this.#expectPayload('pax', block)
      case 'g':
        return this.#expectPayload('pax-global', block)
      case 'L':
        return this.#expectPayload('long-name', block)
      case 'K':
        return this.#expectPayload('long-linkname', block)
      case 'V':
        // GNU's volume label: a header alone.
        this.#forgetRecords()
        return
      default:
        return this.#takeMemberHeader(block, format, type)
    }
  }

  #forgetRecords(): void {
    this.#headerPosition = -1
    this.#longName = undefined
    this.#longLinkname = undefined
    this.#pax = undefined
    this.#draft = undefined
    this.#mapLines = undefined
  }

  #expectPayload(expect: Expectation, block: Uint8Array): void {
    const size = this.#number(block, 'size')
    if (size > this.#limits.headerBytes)
      throw this.#exceeded(`an extended header of ${size} bytes`, `${this.#limits.headerBytes} bytes`)
    this.#payload = size
    this.#expect = expect
    if (size === 0) {
      this.#expect = 'header'
      if (expect === 'pax') this.#pax = undefined
    }
  }

  #textOf(bytes: Uint8Array): string {
    const nul = bytes.indexOf(0)
    return decodePath(nul < 0 ? bytes : bytes.subarray(0, nul))
  }

  #paxOf(bytes: Uint8Array): PaxRecords {
    const records = parsePaxRecords(bytes.subarray(0, this.#payload))
    if (typeof records === 'string') throw this.invalid(records)
    return records
  }

  /**
   * A global header is no member, and what it says of those that follow is not applied: Go's archive/tar, with which
   * every other tool reads layers, does not either, and a layer must be the same to all.
   */
  #passGlobal(bytes: Uint8Array): void {
    this.#paxOf(bytes)
    if (this.#pax === undefined && this.#longName === undefined && this.#longLinkname === undefined)
      this.#headerPosition = -1
  }

  #takeMemberHeader(block: Uint8Array, format: string, flag: string): void {
    let path = textField(block, fields.name)
    if (format === 'ustar' || format === 'star') {
      const prefix = textField(block, format === 'star' ? [345, 131] : fields.prefix)
      if (prefix !== '') path = `${prefix}/${path}`
    }
    const hasDevice = format !== 'v7'
    const draft: Draft = {
      type: this.#typeOf(flag, this.#pathFromRecords() ?? path),
      path,
      linkname: textField(block, fields.linkname),
      mode: this.#number(block, 'mode') & 0o7777,
      uid: this.#number(block, 'uid'),
      gid: this.#number(block, 'gid'),
      size: this.#number(block, 'size'),
      stored: 0,
      mtimeSeconds: this.#number(block, 'mtime'),
      mtimeNanoseconds: 0,
      devMajor: 0,
      devMinor: 0,
      xattrs: noXattrs,
      pieces: undefined,
    }
    if (hasDevice && (draft.type === 'character-device' || draft.type === 'block-device')) {
      draft.devMajor = this.#number(block, 'devMajor')
      draft.devMinor = this.#number(block, 'devMinor')
    }
    this.#applyPax(draft)
    if (this.#longName !== undefined) draft.path = this.#longName
    if (this.#longLinkname !== undefined) draft.linkname = this.#longLinkname
    if (draft.type !== 'file') draft.size = 0
    draft.stored = draft.size
    this.#draft = draft
    this.#checkNames(draft)
    if (flag === 'S') return this.#beginOldSparse(draft, block)
    if (this.#beginPaxSparse(draft)) return
    this.#beginMember(draft)
  }

  #pathFromRecords(): string | undefined {
    const value = this.#record('path')
    return this.#longName ?? (value === undefined ? undefined : decodePath(value))
  }

  #typeOf(flag: string, path: string): TarEntry['type'] {
    switch (flag) {
      case '\0':
        // Archives older than the type field mark directories by a slash alone.
        return path.endsWith('/') ? 'directory' : 'file'
      case '0':
      case '7':
      case 'S':
        return 'file'
      case '1':
        return 'hardlink'
      case '2':
        return 'symlink'
      case '3':
        return 'character-device'
      case '4':
        return 'block-device'
      case '5':
        return 'directory'
      case '6':
        return 'fifo'
      default:
        throw this.invalid(`members of type ${JSON.stringify(flag)} are not supported`, path)
    }
  }

  /** The value of a pax record for this member; empty ones count as absent. */
  #record(key: string): Uint8Array | undefined {
    const value = this.#pax?.values.get(key)
    return value === undefined || value.length === 0 ? undefined : value
  }

  #applyPax(draft: Draft): void {
    if (this.#pax === undefined) return
    const path = this.#record('path')
    if (path !== undefined) draft.path = decodePath(path)
    const linkname = this.#record('linkpath')
    if (linkname !== undefined) draft.linkname = decodePath(linkname)
    draft.uid = this.#recordNumber('uid') ?? draft.uid
    draft.gid = this.#recordNumber('gid') ?? draft.gid
    draft.size = this.#recordNumber('size') ?? draft.size
    const mtime = this.#record('mtime')
    if (mtime !== undefined) {
      const time = parsePaxTime(mtime)
      if (time === undefined) throw this.invalid('pax record mtime is no time', draft.path)
      ;[draft.mtimeSeconds, draft.mtimeNanoseconds] = time
    }
    draft.xattrs = this.#xattrs()
  }

  #xattrs(): ReadonlyMap<string, Uint8Array> {
    let xattrs: Map<string, Uint8Array> | undefined
    for (const [key, value] of this.#pax?.values ?? noXattrs) {
      if (key.startsWith(xattrPrefix)) (xattrs ??= new Map()).set(key.slice(xattrPrefix.length), value)
    }
    return xattrs ?? noXattrs
  }

  #recordNumber(key: string): number | undefined {
    const value = this.#record(key)
    if (value === undefined) return undefined
    const number = decimal(value)
    if (number === undefined) throw this.invalid(`pax record ${key} is no number`)
    return number
  }

  #checkNames(draft: Draft): void {
    if (draft.type === 'directory') draft.path = draft.path.replace(/(?<=[^/])\/+$/, '')
    const isLink = draft.type === 'symlink' || draft.type === 'hardlink'
    if (!isLink) draft.linkname = ''
    else if (draft.linkname === '') throw this.invalid('a link has no target', draft.path)
    for (const name of [draft.path, draft.linkname]) {
      if (name.includes('\0')) throw this.invalid('a name has a NUL in it', draft.path)
      const { pathLength } = this.#limits
      if (name.length * 3 > pathLength && pathByteLength(name) > pathLength)
        throw this.#exceeded(`the name ${JSON.stringify(`${name.slice(0, 60)}…`)}`, `${pathLength} bytes`)
    }
  }

  /** GNU's old sparse format: four pieces in the header (at 386), more in blocks of 21 after it. */
  #beginOldSparse(draft: Draft, block: Uint8Array): void {
    const size = numberField(block, [483, 12])
    if (draft.type !== 'file' || size === undefined || size < 0)
      throw this.invalid('its sparse size is no number', draft.path)
    draft.size = size
    draft.pieces = this.#oldPieces(block, 386, 4)
    this.#mapBytes = 0
    if (block[482] !== 0) this.#expect = 'sparse-table'
    else this.#beginMember(draft)
  }

  #takeSparseTable(block: Uint8Array): void {
    const draft = this.#draft as Draft
    this.#countMapBlock()
    draft.pieces?.push(...this.#oldPieces(block, 0, 21))
    if (block[504] !== 0) this.#expect = 'sparse-table'
    else this.#beginMember(draft)
  }

  #oldPieces(block: Uint8Array, start: number, count: number): SparsePiece[] {
    const pieces = parseOldPieces(block, start, count)
    if (pieces === undefined) throw this.invalid('its sparse map is malformed', this.#draft?.path)
    return pieces
  }

  #countMapBlock(): void {
    this.#mapBytes += BLOCK_SIZE
    if (this.#mapBytes > this.#limits.headerBytes)
      throw this.#exceeded('a sparse map', `${this.#limits.headerBytes} bytes`)
  }

  /** GNU.sparse.* records: true when the map precedes the data (format 1.0) and is still to come. */
  #beginPaxSparse(draft: Draft): boolean {
    const records = this.#pax
    if (records === undefined || draft.type !== 'file') return false
    const isVersion1 = this.#recordNumber('GNU.sparse.major') === 1
    const map = this.#record('GNU.sparse.map')
    const size = this.#recordNumber('GNU.sparse.realsize') ?? this.#recordNumber('GNU.sparse.size')
    const hasMap =
      map !== undefined || records.sparsePairs.length > 0 || this.#recordNumber('GNU.sparse.numblocks') === 0
    if (size === undefined || !(isVersion1 || hasMap)) return false
    const name = this.#record('GNU.sparse.name')
    if (name !== undefined) draft.path = decodePath(name)
    draft.size = size
    this.#checkNames(draft)
    if (isVersion1) {
      this.#mapLines = new SparseMapLines()
      this.#mapBytes = 0
      if (draft.stored < BLOCK_SIZE) throw this.invalid('its sparse map is missing', draft.path)
      this.#expect = 'sparse-lines'
      return true
    }
    draft.pieces = map === undefined ? sparsePieces(records.sparsePairs) : parseCommaMap(map)
    if (draft.pieces === undefined) throw this.invalid('its sparse map is malformed', draft.path)
    return false
  }

  #takeSparseLines(block: Uint8Array): void {
    const draft = this.#draft as Draft
    const lines = this.#mapLines as SparseMapLines
    this.#countMapBlock()
    draft.stored -= BLOCK_SIZE
    const isComplete = lines.push(block)
    if (isComplete === undefined || draft.stored < 0 || (!isComplete && draft.stored < BLOCK_SIZE))
      throw this.invalid('its sparse map is malformed', draft.path)
    if (!isComplete) {
      this.#expect = 'sparse-lines'
      return
    }
    draft.pieces = lines.pieces
    this.#beginMember(draft)
  }

  #beginMember(draft: Draft): void {
    const member = { entry: entryOf(draft), headerPosition: this.#headerPosition, extents: this.#extentsOf(draft) }
    this.#count(draft)
    this.#forgetRecords()
    this.#result = { member, stored: draft.stored }
  }

  #extentsOf(draft: Draft): readonly Extent[] {
    const { pieces, size, stored } = draft
    if (pieces === undefined)
      return stored === 0 ? noExtents : [{ offset: 0, length: stored, position: this.#position }]
    if (!isSparseMapValid(pieces, size, stored))
      throw this.invalid(`its sparse map does not fit its ${stored} stored bytes`, draft.path)
    let position = this.#position
    const extents: Extent[] = []
    for (const { offset, length } of pieces) {
      if (length > 0) extents.push({ offset, length, position })
      position += length
    }
    return extents
  }

  #count(draft: Draft): void {
    this.#entries++
    this.#contentBytes += draft.size
    if (draft.pieces !== undefined) this.#holeBytes += draft.size - draft.stored
    const { entries, contentBytes, holeBytes, depth } = this.#limits
    if (this.#entries > entries) throw this.#exceeded('its number of members', String(entries))
    if (this.#contentBytes > contentBytes) throw this.#exceeded('the size of its files', `${contentBytes} bytes`)
    if (this.#holeBytes > holeBytes) throw this.#exceeded('the size of holes in its files', `${holeBytes} bytes`)
    if (draft.path.length > 2 * depth && draft.path.split('/').length > depth)
      throw this.#exceeded(`the depth of ${JSON.stringify(draft.path.slice(0, 60))}…`, `${depth} directories`)
  }

  #number(block: Uint8Array, field: keyof typeof fields): number {
    const value = numberField(block, fields[field])
    if (value === undefined || (value < 0 && field !== 'mtime'))
      throw this.invalid(`its header field ${field} is no number`, textField(block, fields.name))
    return value
  }

  #exceeded(what: string, limit: string): CairnError {
    return new CairnError(
      'LIMIT_EXCEEDED',
      `${this.#name} at byte ${this.#position}: ${what} exceeds the limit of ${limit}`,
    )
  }
}

/** `size` rounded up to whole blocks. */
export function padded(size: number): number {
  return Math.ceil(size / BLOCK_SIZE) * BLOCK_SIZE
}

function entryOf(draft: Draft): TarEntry {
  return {
    type: draft.type,
    path: draft.path,
    mode: draft.mode,
    uid: draft.uid,
    gid: draft.gid,
    size: draft.size,
    mtimeSeconds: draft.mtimeSeconds,
    mtimeNanoseconds: draft.mtimeNanoseconds,
    linkname: draft.linkname,
    devMajor: draft.devMajor,
    devMinor: draft.devMinor,
    xattrs: draft.xattrs,
  }
}
