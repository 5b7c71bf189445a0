import type { CheckOptions, Instruction, SourceRange } from '../../dockerfile/instruction.ts'
import type { Platform } from '../../oci/platform.ts'
import type { BaseImage, FileSource } from '../graph.ts'
import { StageOutline } from './outline.ts'
import type { StageState } from './stage-state.ts'

/** An instruction of a stage, of the file or of an ONBUILD trigger that fires there. */
export interface StageInstruction {
  readonly instruction: Instruction
  readonly onbuild: boolean
  /** Its lines; those of the FROM for a trigger. */
  readonly range: SourceRange
}

/**
 * One stage of the file, or an image that a COPY or a mount names (`declared` is false then). Links to other stages
 * are found once for the whole file; base image and state are filled in while planning.
 */
export class StageNode {
  readonly declared: boolean
  /** Stage name, lower case. */
  readonly name: string | undefined
  readonly baseName: string
  readonly platform: Platform | undefined
  readonly range: SourceRange
  /** The `# check=` above the stage's FROM. */
  readonly check?: CheckOptions
  readonly base: StageNode | undefined
  /** What to show in step titles. */
  title: string
  instructions: StageInstruction[]
  /** The stages and images that COPY --from and RUN --mount read, by the name written there. */
  readonly sources = new Map<string, StageNode>()
  /** Where each of them was first named. */
  readonly sourceRanges = new Map<StageNode, SourceRange>()
  image: BaseImage | undefined
  /** The `--build-context` that stands in place of the stage; its instructions are dropped then. */
  readonly replacedBy: string | undefined
  /** The `--build-context` whose files are the base. */
  context: string | undefined
  /** The base as steps show it, where a `--build-context` gave it. */
  contextTitle: string | undefined
  /** True once the base is known. */
  isResolved = false
  /** True where the base image is only a stand-in: then its variables are not known. */
  hasUnknownBase = false
  /** What is known of it for an outline. */
  readonly outline = new StageOutline()
  state: StageState | undefined
  /** True when one of its instructions, or of what it is made of, could not be planned. */
  isBroken = false
  /** True once the ONBUILD triggers of its base stand in front of its instructions. */
  isUnfolded = false

  constructor(init: {
    declared: boolean
    name: string | undefined
    baseName: string
    platform: Platform | undefined
    range: SourceRange
    base: StageNode | undefined
    title: string
    instructions: StageInstruction[]
    check?: CheckOptions | undefined
    replacedBy?: string | undefined
  }) {
    this.declared = init.declared
    this.name = init.name
    this.baseName = init.baseName
    this.platform = init.platform
    this.range = init.range
    this.base = init.base
    this.title = init.title
    this.instructions = init.instructions
    this.replacedBy = init.replacedBy
    if (init.check !== undefined) this.check = init.check
  }

  /** The files of the stage once it is planned; `label` is the name they were asked for by. */
  fileSource(label: string): FileSource | undefined {
    // Files that nothing is done to are read where they are.
    if (this.context !== undefined && this.instructions.length === 0) return { from: 'context', name: this.context }
    return this.state === undefined ? undefined : { from: 'op', op: this.state.tip, label }
  }

  /** How many numbered steps the stage has, FROM included. */
  stepCount(): number {
    if (!this.declared || this.replacedBy !== undefined) return 0
    const steps = this.instructions.filter(({ instruction }) =>
      ['RUN', 'COPY', 'ADD', 'WORKDIR'].includes(instruction.kind),
    ).length
    return steps + (this.base === undefined && this.baseName !== 'scratch' ? 1 : 0)
  }
}
