import type { BuildContexts } from '../../build/context/context.ts'
import type { NamedContexts, OpenedContext } from '../../build/plan/named-contexts.ts'
import { formatPlatform, type Platform } from '../../oci/platform.ts'
import type { ProgressListener } from '../../progress/events.ts'
import type { RemoteAccess } from '../../remote/access.ts'
import { archiveContext, archiveFile } from './archive-context.ts'
import { type BaseImageAccess, resolveBaseImage } from './base-images.ts'
import { localContext, readIgnoreFile } from './local-context.ts'
import type { NamedSource } from './named-context-flags.ts'
import { shown } from '../shown-work.ts'

export interface NamedContextOptions {
  readonly sources: ReadonlyMap<string, NamedSource>
  /** Where contexts of files go. */
  readonly contexts: BuildContexts
  readonly access: RemoteAccess
  /** Where images come from; the store alone if absent. */
  readonly bases?: BaseImageAccess
  readonly progress: ProgressListener
}

/** The `--build-context`s of a build, each opened when the Dockerfile comes to need it. */
export class BuildNamedContexts implements NamedContexts {
  readonly #options: NamedContextOptions
  /** Contexts of files are the same on every platform. */
  readonly #files = new Map<string, Promise<OpenedContext>>()

  constructor(options: NamedContextOptions) {
    this.#options = options
  }

  has(name: string): boolean {
    return this.#options.sources.has(name)
  }

  async open(name: string, platform: Platform): Promise<OpenedContext> {
    const source = this.#options.sources.get(name)
    if (source === undefined) throw new Error(`there is no build context ${name}`)
    if (source.kind === 'image' || source.kind === 'layout') return await this.#image(name, source, platform)
    let opened = this.#files.get(name)
    if (opened === undefined) this.#files.set(name, (opened = this.#openFiles(name, source)))
    return await opened
  }

  async #image(
    name: string,
    source: Extract<NamedSource, { kind: 'image' | 'layout' }>,
    platform: Platform,
  ): Promise<OpenedContext> {
    const { access, bases = access, progress } = this.#options
    const { store, lease } = access
    if (source.kind === 'layout') {
      const work = {
        id: `metadata ${name} ${formatPlatform(platform)}`,
        name: `[context ${name}] load metadata for ${source.text}`,
        status: 'resolving',
      }
      const { resolveLayoutImage } = await import('../images/layout-image.ts')
      const image = await shown(progress, work, () => resolveLayoutImage(store, lease, source, name, platform))
      return { kind: 'image', image, title: `[context ${name}] OCI load from client` }
    }
    const { reference } = source
    if (reference === 'scratch') return { kind: 'empty' }
    const title = `[context ${name}] load metadata for ${reference}`
    const image = await resolveBaseImage(bases, reference, platform, progress, title)
    return { kind: 'image', image, title: `[context ${name}] ${reference}` }
  }

  async #openFiles(name: string, source: Exclude<NamedSource, { kind: 'image' | 'layout' }>): Promise<OpenedContext> {
    const { contexts, access, progress } = this.#options
    const { store } = access
    const title = `[context ${name}] load from client`
    switch (source.kind) {
      case 'directory': {
        const work = { name: `[context ${name}] load .dockerignore`, status: `transferring ${name}:` }
        const ignore = await readIgnoreFile(`${source.path}/.dockerignore`, work, progress)
        contexts.add(name, await localContext(store, source.path, source.path, ignore))
        return { kind: 'files', name, title }
      }
      case 'archive': {
        const { path } = source
        const work = { name: `[context ${name}] load archive`, status: path }
        contexts.add(name, await shown(progress, work, () => archiveContext(store, path, archiveFile(path), path)))
        return { kind: 'files', name, title }
      }
      default: {
        const shownAs = `[context ${name}] load remote build context`
        const { openRemoteContext } = await import('./remote-context.ts')
        const remote = await openRemoteContext(source, { access, progress, keepGitDir: false, title: shownAs })
        contexts.add(name, remote.context)
        return { kind: 'files', name, title }
      }
    }
  }
}
