declare const CAIRN_COMMIT: string | undefined
declare const CAIRN_BUILT: string | undefined

/** This release; the same as in package.json. */
export const version = '0.1.0'

/** The version of docker's Engine API whose fields and texts the commands give; `version` tells it. */
export const apiVersion = '1.51'

/** The commit the binary was built from, which the release build defines; `source` when run from a checkout. */
export const commit = typeof CAIRN_COMMIT === 'string' ? CAIRN_COMMIT : 'source'

/** When the binary was built (ISO 8601), which the release build defines; empty when run from a checkout. */
export const built = typeof CAIRN_BUILT === 'string' ? CAIRN_BUILT : ''
