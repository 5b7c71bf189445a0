import type { BuildCacheRecord } from '../../engine/store/build-cache-records.ts'
import { formatGoTime } from '../go-template/go-time.ts'
import type { Listing } from '../printer.ts'
import { formatAge, formatByteSize } from '../units.ts'

/**
 * Records of the build cache as `docker buildx du` lists them: a star behind an ID says that later builds write to it,
 * in a table without a template one behind a size that an image has it too.
 *
 * @param now - milliseconds since 1970
 */
export function buildCacheListing(now: number, isPlainTable: boolean): Listing<BuildCacheRecord> {
  return {
    columns: {
      ID: { heading: 'ID', value: ({ id, isMutable }) => `${id}${isMutable ? '*' : ''}` },
      Parents: { heading: 'PARENTS', value: ({ parents }) => parents.join(',') },
      CreatedAt: { heading: 'CREATED AT', value: ({ createdAt }) => formatGoTime(createdAt) },
      Mutable: { heading: 'MUTABLE', value: ({ isMutable }) => isMutable },
      Reclaimable: { heading: 'RECLAIMABLE', value: ({ isInUse }) => !isInUse },
      Shared: { heading: 'SHARED', value: ({ isShared }) => isShared },
      Size: {
        heading: 'SIZE',
        value: ({ size, isShared }) => `${formatByteSize(size)}${isPlainTable && isShared ? '*' : ''}`,
      },
      Description: { heading: 'DESCRIPTION', value: ({ description }) => description },
      LastUsedAt: { heading: 'LAST ACCESSED', value: ({ usedAt }) => formatAge(usedAt, now) },
      Type: { heading: 'TYPE', value: ({ type }) => type },
    },
    shown: ['ID', 'Reclaimable', 'Size', 'LastUsedAt'],
  }
}

/** Characters of an ID that the table of `system df -v` shows. */
const shortId = 12

/**
 * Records of the build cache as `docker system df -v` lists them; IDs are cut short with `trunc`. How often each was
 * used is not counted.
 */
export function buildCacheUsageListing(now: number, trunc: boolean): Listing<BuildCacheRecord> {
  const shown = (id: string): string => (trunc ? id.slice(0, shortId) : id)
  return {
    columns: {
      ID: { heading: 'CACHE ID', value: ({ id }) => shown(id) },
      Parent: { heading: 'PARENT', value: ({ parents }) => parents.map(shown).join(',') },
      CacheType: { heading: 'CACHE TYPE', value: ({ type }) => type },
      Size: { heading: 'SIZE', value: ({ size }) => formatByteSize(size, 3) },
      CreatedAt: { heading: 'CREATED', value: ({ createdAt }) => formatGoTime(createdAt) },
      CreatedSince: { heading: 'CREATED', value: ({ createdAt }) => formatAge(createdAt, now) },
      LastUsedAt: { heading: 'LAST USED', value: ({ usedAt }) => formatGoTime(usedAt) },
      LastUsedSince: { heading: 'LAST USED', value: ({ usedAt }) => formatAge(usedAt, now) },
      UsageCount: { heading: 'USAGE', value: () => 'N/A' },
      InUse: { heading: 'IN USE', value: ({ isInUse }) => String(isInUse) },
      Shared: { heading: 'SHARED', value: ({ isShared }) => String(isShared) },
      Description: { heading: 'DESCRIPTION', value: ({ description }) => description },
    },
    shown: ['ID', 'CacheType', 'Size', 'CreatedSince', 'LastUsedSince', 'UsageCount', 'Shared'],
  }
}

/** One JSON object a line, as `docker buildx du --format json` has it. */
export function buildCacheJson(record: BuildCacheRecord, now: number): string {
  const { id, type, description, parents, createdAt, usedAt, size, isShared, isInUse, isMutable } = record
  return JSON.stringify({
    CreatedAt: new Date(createdAt).toISOString(),
    Description: description,
    ID: id,
    LastUsedAt: formatAge(usedAt, now),
    Mutable: isMutable,
    Parents: parents.length === 0 ? null : parents,
    Reclaimable: !isInUse,
    Shared: isShared,
    Size: formatByteSize(size),
    Type: type,
  })
}

/** Everything about records, a block each: `docker buildx du --verbose`. */
export function buildCacheDetails(records: readonly BuildCacheRecord[], now: number): string {
  return records
    .map((record) => {
      const { id, type, description, parents, createdAt, usedAt, size, isShared, isInUse, isMutable } = record
      const rows: readonly (readonly [string, string])[] = [
        ['Created at', formatGoTime(createdAt)],
        ['Mutable', String(isMutable)],
        ['Reclaimable', String(!isInUse)],
        ['Shared', String(isShared)],
        ['Size', formatByteSize(size)],
        ['Description', description],
        ['Last used', formatAge(usedAt, now)],
        ['Type', type],
      ]
      const above = parents.length === 0 ? '' : `Parents:\n${parents.map((parent) => ` - ${parent}\n`).join('')}`
      const below = rows.map(([name, value]) => `${`${name}:`.padEnd(14)}${value}\n`).join('')
      return `${'ID:'.padEnd(14)}${id}\n${above}${below}\n`
    })
    .join('')
}

/** Removed records as `docker buildx prune` shows them, with tabs between the columns. */
export function prunedRecordsTable(records: readonly BuildCacheRecord[], now: number): string {
  const lines = records.map(({ id, isInUse, isMutable, size, usedAt }, index) => {
    const name = `${id}${isMutable ? '*' : ''}`.padEnd(40)
    // The first line is aligned with the heading.
    const gap = index === 0 ? '\t\t' : '\t'
    return `${name}\t${!isInUse} ${gap}${formatByteSize(size).padEnd(10)}\t${formatAge(usedAt, now)}\n`
  })
  return `ID\t\t\t\t\t\tRECLAIMABLE\tSIZE\t\tLAST ACCESSED\n${lines.join('')}`
}

/** As {@link prunedRecordsTable} with everything about them: `docker buildx prune --verbose`. */
export function prunedRecordDetails(records: readonly BuildCacheRecord[], now: number): string {
  return records
    .map((record) => {
      const { id, description, parents, createdAt, usedAt, size, isShared, isInUse, isMutable } = record
      const rows: readonly (readonly [string, string])[] = [
        ['ID:\t', id],
        ...parents.map((parent) => ['Parent:\t', parent] as const),
        ['Created at:', formatGoTime(createdAt)],
        ['Mutable:', String(isMutable)],
        ['Reclaimable:', String(!isInUse)],
        ['Shared:\t', String(isShared)],
        ['Size:\t', formatByteSize(size)],
        ['Description:', description],
        ['Last used:', formatAge(usedAt, now)],
      ]
      return `${rows.map(([name, value]) => `${name}\t${value}\n`).join('')}\n`
    })
    .join('')
}

/** The sums below a list of all records. */
export function buildCacheSummary(records: readonly BuildCacheRecord[]): string {
  const sum = (some: readonly BuildCacheRecord[]): string =>
    formatByteSize(some.reduce((total, { size }) => total + size, 0))
  const own = records.filter(({ isShared }) => !isShared)
  const shared = records.filter(({ isShared }) => isShared)
  const split = shared.length === 0 ? '' : `Shared:\t\t${sum(shared)}\nPrivate:\t${sum(own)}\n`
  return `${split}Reclaimable:\t${sum(own.filter(({ isInUse }) => !isInUse))}\nTotal:\t\t${sum(records)}\n`
}
