import { CairnError } from '../errors/error.ts'
import { close, open, openFlags, read } from '../linux/files.ts'

/** Where a build secret's value is. */
export type SecretSource =
  /** Read only when a step asks for it. */
  | { readonly from: 'file'; readonly path: string }
  | { readonly from: 'env'; readonly value: string }
  /** `cache=key`: read before anything runs, since steps that mount it depend on it. */
  | { readonly from: 'memory'; readonly value: Uint8Array }

/** Bytes; a secret that is larger is refused, as BuildKit does. */
const largestSecret = 500 * 1024

/** The bytes of a secret. Throws FILE_UNKNOWN and the like, LIMIT_EXCEEDED. */
export function secretBytes(source: SecretSource): Uint8Array {
  switch (source.from) {
    case 'file':
      return readSecretFile(source.path)
    case 'env':
      return new TextEncoder().encode(source.value)
    case 'memory':
      return source.value
    default:
      return source satisfies never
  }
}

function readSecretFile(path: string): Uint8Array {
  const fd = open(path, openFlags.O_RDONLY)
  try {
    const bytes = new Uint8Array(largestSecret + 1)
    let length = 0
    for (let count = -1; count !== 0 && length < bytes.length; length += count)
      count = read(fd, bytes.subarray(length), path)
    if (length > largestSecret)
      throw new CairnError('LIMIT_EXCEEDED', `secret ${path} too big. max size ${largestSecret / 1024}KiB`)
    return bytes.slice(0, length)
  } finally {
    close(fd)
  }
}
