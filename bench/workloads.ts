import { utimes } from 'node:fs/promises'
import * as contexts from './contexts.ts'
import type { Command } from './measurement.ts'
import { type Tool, tagPrefix } from './tools.ts'

/** One thing that is measured. */
export interface Phase {
  readonly name: string
  /** How often each tool is measured. */
  readonly runs: number
  /** Ratio cairn : docker that must be reached, and the one aimed at. */
  readonly bar: number
  readonly goal?: number
  /** True where each run starts with nothing but the base image. */
  readonly forgetful?: boolean
  /** Changes the context before each round of the tools. */
  readonly change?: (run: number) => Promise<void>
  readonly command: (tool: Tool) => Command
  /** Undefined where nothing is built. */
  readonly image?: string
  /** The command of cairn that this needs. */
  readonly needs?: string
}

export interface Workload {
  readonly name: string
  readonly title: string
  /** Makes what the phases read below the directory given. */
  readonly prepare: () => Promise<void>
  readonly phases: readonly Phase[]
}

/** Every workload, with its files below `directory`, on the image `base` that has a shell. */
export function workloads(directory: string, base: string): readonly Workload[] {
  const corpus = once(() => contexts.text(300_000_000, 1))
  return [
    small(directory, base),
    steps(directory, base),
    container(base),
    application(directory, base),
    wide(directory, base, corpus),
    large(directory, corpus),
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
        bar: 0.25,
        goal: 0.15,
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
        bar: 0.5,
        goal: 0.35,
        image,
        command: (tool) => tool.build(context, image, ['--no-cache']),
      },
      {
        name: 'nothing changed',
        runs: 11,
        bar: 0.25,
        goal: 0.15,
        image,
        command: (tool) => tool.build(context, image),
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
        bar: 0.4,
        goal: 0.3,
        needs: 'run',
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
      { name: 'cold', runs: 5, bar: 1, goal: 0.6, image, forgetful: true, command: build },
      {
        name: 'one line changed',
        runs: 7,
        bar: 0.5,
        image,
        change: (run) => contexts.write(`${context}/src/index.js`, `console.log('v${run + 1}')\n`),
        command: build,
      },
      { name: 'nothing changed', runs: 11, bar: 0.25, goal: 0.15, image, command: build },
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
      { name: 'cold', runs: 5, bar: 1, goal: 0.6, image, forgetful: true, command: build },
      { name: 'nothing changed', runs: 9, bar: 0.5, image, command: build },
      {
        name: 'one file touched',
        runs: 7,
        bar: 0.5,
        image,
        change: () => utimes(changed, new Date(), new Date()),
        command: build,
      },
      {
        name: 'one file changed',
        runs: 5,
        bar: 0.5,
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
        bar: 1,
        image,
        forgetful: true,
        command: (tool) => tool.build(context, image),
      },
      { name: 'save', runs: 5, bar: 1, command: (tool) => tool.save(image, archive(tool)) },
      {
        name: 'load',
        runs: 5,
        bar: 1,
        image,
        forgetful: true,
        command: (tool) => tool.load(archive(tool)),
      },
    ],
  }
}

function once<Value>(make: () => Value): () => Value {
  let made: { readonly value: Value } | undefined
  return () => (made ??= { value: make() }).value
}
