import type { TreeEntry } from '../layers/tree.ts'

const letters: Readonly<Record<TreeEntry['type'], string>> = {
  file: '-',
  directory: 'd',
  symlink: 'l',
  fifo: 'p',
  'character-device': 'c',
  'block-device': 'b',
}

/** Type and permissions as `ls -l` shows them: `-rwsr-xr-x`. */
export function formatMode(type: TreeEntry['type'], mode: number): string {
  const triple = (shift: number, special: boolean, letter: string): string => {
    const bits = mode >> shift
    const isExecutable = (bits & 1) !== 0
    const plain = isExecutable ? 'x' : '-'
    const last = special ? (isExecutable ? letter : letter.toUpperCase()) : plain
    return `${(bits & 4) !== 0 ? 'r' : '-'}${(bits & 2) !== 0 ? 'w' : '-'}${last}`
  }
  return (
    letters[type] +
    triple(6, (mode & 0o4000) !== 0, 's') +
    triple(3, (mode & 0o2000) !== 0, 's') +
    triple(0, (mode & 0o1000) !== 0, 't')
  )
}
