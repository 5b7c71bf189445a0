import { utimes } from 'node:fs/promises'
import * as contexts from './contexts.ts'
import { type Command, measureTime } from './measurement.ts'
import type { BenchRegistry } from './registry.ts'
import { type Tool, tagPrefix } from './tools.ts'

/** One thing that is measured. */
export interface Phase {
  readonly name: string
  /** How often each tool is measured. */
  readonly runs: number
  /** Ratio cairn : docker that must be reached. */
  readonly bar: number
  /** True where each run starts with nothing but the base image. */
  readonly forgetful?: boolean
  /** Changes the context before each round of the tools. */
  readonly change?: (run: number) => Promise<void>
  /** What is done for a tool before it is measured. */
  readonly before?: (tool: Tool) => Promise<void>
  readonly command: (tool: Tool) => Command
  /** Undefined where nothing is built. */
  readonly image?: string
}

export interface Workload {
  readonly name: string
  readonly title: string
  /** Makes what the phases read below the directory given. */
  readonly prepare: () => Promise<void>
  readonly phases: readonly Phase[]
}

/**
 * Every workload, with its files below `directory`, on the image `base` that has a shell. Whoever measures stops `registry`
 * in the end.
 */
export function workloads(directory: string, base: string, registry: BenchRegistry): readonly Workload[] {
  const corpus = once(() => contexts.text(300_000_000, 1))
  return [
    small(directory, base),
    steps(directory, base),
    stages(directory, base),
    container(base),
    application(directory, base),
    wide(directory, base, corpus),
    large(directory, corpus),
    exchange(directory, corpus, registry),
  ]
}

function small(directory: string, base: string): Workload {
  const context = `${directory}/small`
  const image = `${tagPrefix}small`
  return {
    name: 'small',
    title: 'small image: 2 COPY, 2 RUN',
    prepare: () => contexts.smallContext(context, base),
    phases: [
      {
        name: 'cold (--no-cache)',
        runs: 9,
        bar: 1,
        image,
        command: (tool) => tool.build(context, image, ['--no-cache']),
      },
      {
        name: 'nothing changed',
        runs: 15,
        bar: 0.15,
        image,
        command: (tool) => tool.build(context, image),
      },
    ],
  }
}

function steps(directory: string, base: string): Workload {
  const context = `${directory}/steps`
  const image = `${tagPrefix}steps`
  return {
    name: 'steps',
    title: '40 RUN steps',
    prepare: () => contexts.stepsContext(context, base),
    phases: [
      {
        name: 'cold (--no-cache)',
        runs: 5,
        bar: 0.35,
        image,
        command: (tool) => tool.build(context, image, ['--no-cache']),
      },
      {
        name: 'nothing changed',
        runs: 11,
        bar: 0.15,
        image,
        command: (tool) => tool.build(context, image),
      },
    ],
  }
}

function stages(directory: string, base: string): Workload {
  const context = `${directory}/stages`
  const image = `${tagPrefix}stages`
  return {
    name: 'stages',
    title: '8 stages of a second',
    prepare: () => contexts.stagesContext(context, base),
    phases: [
      {
        name: 'cold (--no-cache)',
        runs: 5,
        bar: 0.85,
        image,
        command: (tool) => tool.build(context, image, ['--no-cache']),
      },
    ],
  }
}

function container(base: string): Workload {
  return {
    name: 'run',
    title: 'container',
    prepare: () => Promise.resolve(),
    phases: [
      {
        name: `run --rm ${base} true`,
        runs: 15,
        bar: 0.3,
        command: (tool) => tool.run(base, 'true'),
      },
    ],
  }
}

function application(directory: string, base: string): Workload {
  const context = `${directory}/application`
  const image = `${tagPrefix}application`
  const build = (tool: Tool): Command => tool.build(context, image)
  return {
    name: 'application',
    title: 'application: RUN makes 20,000 files',
    prepare: () => contexts.applicationContext(context, base),
    phases: [
      { name: 'cold', runs: 5, bar: 1, image, forgetful: true, command: build },
      {
        name: 'one line changed',
        runs: 7,
        bar: 0.4,
        image,
        change: (run) => contexts.write(`${context}/src/index.js`, `console.log('v${run + 1}')\n`),
        command: build,
      },
      { name: 'nothing changed', runs: 11, bar: 0.15, image, command: build },
    ],
  }
}

function wide(directory: string, base: string, corpus: () => Uint8Array): Workload {
  const context = `${directory}/wide`
  const image = `${tagPrefix}wide`
  const build = (tool: Tool): Command => tool.build(context, image)
  const changed = `${context}/src/d50/f5000.txt`
  return {
    name: 'wide',
    title: 'COPY of 40,000 files, half ignored',
    prepare: () => contexts.wideContext(context, base, corpus()),
    phases: [
      { name: 'cold', runs: 5, bar: 0.5, image, forgetful: true, command: build },
      { name: 'nothing changed', runs: 9, bar: 0.3, image, command: build },
      {
        name: 'one file touched',
        runs: 7,
        bar: 0.3,
        image,
        change: () => utimes(changed, new Date(), new Date()),
        command: build,
      },
      {
        name: 'one file changed',
        runs: 5,
        bar: 0.2,
        image,
        change: (run) => contexts.write(changed, `changed ${run}\n`),
        command: build,
      },
    ],
  }
}

function large(directory: string, corpus: () => Uint8Array): Workload {
  const context = `${directory}/large`
  const image = `${tagPrefix}large`
  const archive = (tool: Tool): string => `${directory}/large-${tool.name}.tar`
  return {
    name: 'large',
    title: '600 MB in 3 COPY layers',
    prepare: () => contexts.largeContext(context, corpus()),
    phases: [
      {
        name: 'cold',
        runs: 5,
        bar: 0.6,
        image,
        forgetful: true,
        command: (tool) => tool.build(context, image),
      },
      { name: 'save', runs: 5, bar: 0.6, command: (tool) => tool.save(image, archive(tool)) },
      {
        name: 'load',
        runs: 5,
        bar: 0.5,
        image,
        forgetful: true,
        command: (tool) => tool.load(archive(tool)),
      },
    ],
  }
}

function exchange(directory: string, corpus: () => Uint8Array, registry: BenchRegistry): Workload {
  const context = `${directory}/exchange`
  const image = `${registry.host}/${tagPrefix}exchange:1`
  return {
    name: 'exchange',
    title: 'registry: 600 MB in 3 layers',
    prepare: () => contexts.largeContext(context, corpus()),
    phases: [
      {
        name: 'push what was just built to an empty one',
        runs: 3,
        bar: 0.5,
        before: async (tool) => {
          await registry.restart()
          await tool.forget()
          await measureTime(tool.build(context, image))
        },
        command: (tool) => tool.push(image),
      },
      { name: 'push again', runs: 9, bar: 1, command: (tool) => tool.push(image) },
      {
        name: 'pull into an empty store',
        runs: 3,
        bar: 0.5,
        image,
        forgetful: true,
        command: (tool) => tool.pull(image),
      },
      { name: 'pull again', runs: 9, bar: 1, image, command: (tool) => tool.pull(image) },
    ],
  }
}

function once<Value>(make: () => Value): () => Value {
  let made: { readonly value: Value } | undefined
  return () => (made ??= { value: make() }).value
}
