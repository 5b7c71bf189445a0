import type { TarSink } from '../../tar/writer.ts'
import { DirectoryPacker } from './directory-packer.ts'
import { LayerWriter, type LayerWriterOptions, type WrittenLayer } from './layer-writer.ts'

export interface PackOptions extends LayerWriterOptions {
  /** Paths relative to the directory (`var/cache`) that are left out with all below them. */
  readonly exclude?: ReadonlySet<string>
}

/**
 * Writes what is in `directory`, which gets no entry itself, as a layer to the file `target` or into a sink: entries sorted, hard links by inode,
 * xattrs and devices kept, sockets left out. Removes the file again when it fails. Throws FILE_CHANGED, LAYER_UNSAFE,
 * SystemCallError.
 */
export function packDirectory(directory: string, target: string | TarSink, options: PackOptions = {}): WrittenLayer {
  const writer = new LayerWriter(target, options)
  try {
    using packer = new DirectoryPacker(writer, directory)
    packChildren(packer, '', options.exclude)
    return writer.finish()
  } finally {
    writer.abort()
  }
}

function packChildren(packer: DirectoryPacker, directory: string, exclude: ReadonlySet<string> | undefined): void {
  for (const name of packer.list(directory)) {
    const path = directory === '' ? name : `${directory}/${name}`
    if (exclude?.has(path) === true) continue
    const status = packer.status(path)
    packer.add(path, status, packer.xattrs(path).kept)
    if (status.type === 'directory') packChildren(packer, path, exclude)
  }
}
