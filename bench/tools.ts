import { cp, rm } from 'node:fs/promises'
import { type Command, output } from './measurement.ts'

/** One of the programs that are compared: how it is asked for what a workload does. */
export interface Tool {
  readonly name: string
  build(context: string, tag: string, flags?: readonly string[]): Command
  run(image: string, ...command: string[]): Command
  push(tag: string): Command
  pull(tag: string): Command
  save(tag: string, path: string): Command
  load(path: string): Command
  /** Forgets every image but the base and all that was cached. */
  forget(): Promise<void>
  /** Number of layers and the command of an image: equal for all tools, else one of them built something else. */
  describe(image: string): Promise<string>
}

const buildFlags = ['--network', 'host', '--provenance=false']
const shape = '{{len .RootFS.Layers}} layers, {{json .Config.Cmd}}'

/** docker with the daemon that the environment names. */
export class Docker implements Tool {
  readonly name = 'docker'
  readonly #base: string

  /** `base` is the one image that {@link forget} keeps. */
  constructor(base: string) {
    this.#base = base
  }

  build(context: string, tag: string, flags: readonly string[] = []): Command {
    return {
      argv: ['docker', 'build', ...buildFlags, ...flags, '-t', tag, context],
      env: { DOCKER_BUILDKIT: '1', BUILDKIT_PROGRESS: 'plain' },
    }
  }

  run(image: string, ...command: string[]): Command {
    return { argv: ['docker', 'run', '--rm', image, ...command] }
  }

  push(tag: string): Command {
    return { argv: ['docker', 'push', '-q', tag] }
  }

  pull(tag: string): Command {
    return { argv: ['docker', 'pull', '-q', tag] }
  }

  save(tag: string, path: string): Command {
    return { argv: ['docker', 'save', '-o', path, tag] }
  }

  load(path: string): Command {
    return { argv: ['docker', 'load', '-q', '-i', path] }
  }

  async forget(): Promise<void> {
    const listed = await output({ argv: ['docker', 'images', '--format', '{{.Repository}}:{{.Tag}}'] })
    const own = listed.split('\n').filter((name) => name.includes(tagPrefix))
    if (own.length > 0) await output({ argv: ['docker', 'rmi', '-f', ...own] })
    await output({ argv: ['docker', 'image', 'prune', '-f'] })
    await output({ argv: ['docker', 'builder', 'prune', '-af'] })
    await output({ argv: ['docker', 'image', 'inspect', this.#base] })
  }

  async describe(image: string): Promise<string> {
    return (await output({ argv: ['docker', 'image', 'inspect', '--format', shape, image] })).trim()
  }
}

/** cairn with a store of its own. */
export class Cairn implements Tool {
  readonly name = 'cairn'
  readonly #binary: string
  readonly #root: string

  /** The store is made at `root`. */
  constructor(binary: string, root: string) {
    this.#binary = binary
    this.#root = root
  }

  #command(...args: string[]): Command {
    return { argv: [this.#binary, ...args], env: { CAIRN_ROOT: this.#root, BUILDKIT_PROGRESS: 'plain' } }
  }

  /** Loads the base image and keeps the store as it is then for {@link forget}. */
  async prepare(archive: string): Promise<void> {
    await output(this.load(archive))
    await cp(this.#root, `${this.#root}.pristine`, { recursive: true })
  }

  build(context: string, tag: string, flags: readonly string[] = []): Command {
    return this.#command('build', ...buildFlags, ...flags, '-t', tag, context)
  }

  run(image: string, ...command: string[]): Command {
    return this.#command('run', '--rm', image, ...command)
  }

  push(tag: string): Command {
    return this.#command('push', '-q', tag)
  }

  pull(tag: string): Command {
    return this.#command('pull', '-q', tag)
  }

  save(tag: string, path: string): Command {
    return this.#command('save', '-o', path, tag)
  }

  load(path: string): Command {
    return this.#command('load', '-q', '-i', path)
  }

  async forget(): Promise<void> {
    await rm(this.#root, { recursive: true, force: true })
    await cp(`${this.#root}.pristine`, this.#root, { recursive: true })
  }

  async describe(image: string): Promise<string> {
    return (await output(this.#command('image', 'inspect', '--format', shape, image))).trim()
  }
}

/** What the tags of the benchmark's own images have, after the registry where there is one. */
export const tagPrefix = 'cairn-bench/'
