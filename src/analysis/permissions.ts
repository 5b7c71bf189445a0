import { allCapabilities } from '../runtime/capabilities.ts'
import type { PermissionFinding, PermissionKind } from './analysis.ts'
import type { FileNode, FileTree, StoredFile } from './file-tree.ts'
import { walkTree } from './walk.ts'

const setuid = 0o4000
const setgid = 0o2000
const sticky = 0o1000
const othersWrite = 0o002

/**
 * Files of the final image that run with the rights of another user or with capabilities, and files and directories
 * everybody may write, but for what a sticky directory protects. By path.
 */
export function findPermissions(tree: FileTree): readonly PermissionFinding[] {
  const findings: PermissionFinding[] = []
  const add = (kind: PermissionKind, node: FileNode, file: StoredFile): void => {
    const { layer, mode, uid, gid } = file
    const capabilities = kind === 'capabilities' ? formatCapabilities(file.capabilities) : ''
    findings.push({ kind, path: `/${node.path}`, layer: layer + 1, mode, uid, gid, capabilities })
  }
  walkTree(tree.root, {
    directory(node) {
      const { file, parent } = node
      const isOpen = file !== undefined && (file.mode & othersWrite) !== 0 && (file.mode & sticky) === 0
      if (isOpen && !isSticky(parent)) add('world-writable', node, file)
    },
    file(node, parent) {
      const { file } = node
      if (file?.type !== 'file') return
      // On a file that nobody executes the bits mean nothing; setgid then asked for mandatory locks.
      const isExecutable = (file.mode & 0o111) !== 0
      if (isExecutable && (file.mode & setuid) !== 0) add('setuid', node, file)
      if (isExecutable && (file.mode & setgid) !== 0) add('setgid', node, file)
      if (file.capabilities !== undefined) add('capabilities', node, file)
      if ((file.mode & othersWrite) !== 0 && !isSticky(parent)) add('world-writable', node, file)
    },
  })
  return findings.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0))
}

function isSticky(directory: FileNode | undefined): boolean {
  return ((directory?.file?.mode ?? 0) & sticky) !== 0
}

/** The value of `security.capability` (linux/capability.h, struct vfs_cap_data) as getcap prints it: `cap_net_raw=ep`. */
export function formatCapabilities(value: Uint8Array | undefined): string {
  if (value === undefined || value.length < 12) return 'invalid'
  const view = new DataView(value.buffer, value.byteOffset, value.length)
  const isEffective = (view.getUint32(0, true) & 1) !== 0
  const words = value.length >= 20 ? 2 : 1
  const sets = { p: [] as string[], i: [] as string[] }
  for (const [number, name] of allCapabilities.entries()) {
    const word = number >> 5
    if (word >= words) break
    const bit = 1 << (number & 31)
    const lower = name.toLowerCase()
    if ((view.getUint32(4 + 8 * word, true) & bit) !== 0) sets.p.push(lower)
    if ((view.getUint32(8 + 8 * word, true) & bit) !== 0) sets.i.push(lower)
  }
  const flags = (set: 'p' | 'i'): string => (isEffective ? `e${set}` : set)
  return (['p', 'i'] as const)
    .filter((set) => sets[set].length > 0)
    .map((set) => `${sets[set].join(',')}=${flags(set)}`)
    .join(' ')
}
