import { formatValue, isNil, sortedEntries, typeName } from './go-format.ts'
import { TemplateRunError } from './template-error.ts'
import { isTrue, type TemplateFunction } from './template-functions.ts'
import {
  type CommandNode,
  describeCommand,
  describeOperand,
  describePipeline,
  type Node,
  type Operand,
  type Pipeline,
  type TemplateSet,
} from './template-parser.ts'

/** Bounds on what one template may do, so that none can hang or fill the memory. */
const maximumSteps = 2_000_000
const maximumOutput = 64 << 20
const maximumDepth = 500

/** How a list of nodes was left. */
type Leaving = 'break' | 'continue' | undefined

interface Variable {
  readonly name: string
  value: unknown
}

/** Go counts the value a pipeline hands on as a last argument; none is not the same as nil. */
interface Handed {
  readonly value: unknown
}

/**
 * Runs the template `name` of a set over `data` (text/template, exec.go). Throws TemplateRunError; a template that runs
 * too long, nests too deep or writes too much is one.
 */
export function evaluate(
  templates: TemplateSet,
  name: string,
  functions: Readonly<Record<string, TemplateFunction>>,
  data: unknown,
): string {
  const budget = { steps: 0, characters: 0 }
  const evaluator = new Evaluator(templates, name, functions, data, budget, 0)
  evaluator.run()
  return evaluator.out.join('')
}

class Evaluator {
  readonly out: string[] = []
  readonly #templates: TemplateSet
  readonly #name: string
  readonly #functions: Readonly<Record<string, TemplateFunction>>
  readonly #data: unknown
  readonly #budget: { steps: number; characters: number }
  readonly #depth: number
  #variables: Variable[]

  constructor(
    templates: TemplateSet,
    name: string,
    functions: Readonly<Record<string, TemplateFunction>>,
    data: unknown,
    budget: { steps: number; characters: number },
    depth: number,
  ) {
    this.#templates = templates
    this.#name = name
    this.#functions = functions
    this.#data = data
    this.#budget = budget
    this.#depth = depth
    this.#variables = [{ name: '', value: data }]
  }

  run(): void {
    this.#list(this.#templates.get(this.#name) ?? [], this.#data)
  }

  #error(message: string, at: number, context: string, hint?: string): TemplateRunError {
    return new TemplateRunError(message, { at, context, template: this.#name, hint })
  }

  #step(at: number, context: () => string): void {
    if (++this.#budget.steps > maximumSteps)
      throw this.#error(`exceeded the limit of ${maximumSteps} steps`, at, context())
  }

  #write(text: string, at: number, context: string): void {
    this.#budget.characters += text.length
    if (this.#budget.characters > maximumOutput)
      throw this.#error(`exceeded the limit of ${maximumOutput} characters of output`, at, context)
    this.out.push(text)
  }

  #list(nodes: readonly Node[], dot: unknown): Leaving {
    for (const node of nodes) {
      const leaving = this.#node(node, dot)
      if (leaving !== undefined) return leaving
    }
    return undefined
  }

  #node(node: Node, dot: unknown): Leaving {
    switch (node.kind) {
      case 'text':
        this.#write(node.text, 0, node.text)
        return undefined
      case 'break':
      case 'continue':
        return node.kind
      case 'action': {
        const value = this.#pipeline(node.pipe, dot)
        if (node.pipe.variables.length > 0) return undefined
        this.#write(isNil(value) ? '<no value>' : formatValue(value), node.pipe.at, describePipeline(node.pipe))
        return undefined
      }
      case 'template':
        return this.#template(node, dot)
      case 'range':
        return this.#range(node, dot)
      default: {
        const known = this.#variables.length
        const value = this.#pipeline(node.pipe, dot)
        const chosen = isTrue(value)
        const leaving = this.#list(chosen ? node.body : node.otherwise, chosen && node.kind === 'with' ? value : dot)
        this.#variables.length = known
        return leaving
      }
    }
  }

  #template({ at, name, pipe }: Extract<Node, { kind: 'template' }>, dot: unknown): undefined {
    const context = `{{template ${JSON.stringify(name)}${pipe === undefined ? '' : ` ${describePipeline(pipe)}`}}}`
    if (!this.#templates.has(name)) throw this.#error(`template ${JSON.stringify(name)} not defined`, at, context)
    if (this.#depth >= maximumDepth) throw this.#error(`exceeded maximum template depth (${maximumDepth})`, at, context)
    this.#step(at, () => context)
    const value = pipe === undefined ? undefined : this.#pipeline(pipe, dot)
    const inner = new Evaluator(this.#templates, name, this.#functions, value, this.#budget, this.#depth + 1)
    inner.run()
    for (const text of inner.out) this.out.push(text)
  }

  #range({ pipe, body, otherwise }: Extract<Node, { body: readonly Node[] }>, dot: unknown): Leaving {
    const known = this.#variables.length
    const value = this.#pipeline({ ...pipe, variables: [] }, dot)
    let leaving: Leaving
    let empty = true
    for (const [key, item] of this.#items(value, pipe)) {
      empty = false
      this.#step(pipe.at, () => describePipeline(pipe))
      this.#bindRange(pipe, key, item)
      leaving = this.#list(body, item)
      this.#variables.length = known
      if (leaving === 'break') break
    }
    if (!empty) return undefined
    for (const name of pipe.assigns ? [] : pipe.variables) this.#variables.push({ name, value })
    leaving = this.#list(otherwise, dot)
    this.#variables.length = known
    return leaving
  }

  #bindRange({ variables, assigns }: Pipeline, key: unknown, item: unknown): void {
    const [first, second] = variables
    const values = second === undefined ? [[first, item] as const] : [[first, key] as const, [second, item] as const]
    for (const [name, value] of values) {
      if (name === undefined) continue
      if (assigns) this.#assign(name, value)
      else this.#variables.push({ name, value })
    }
  }

  *#items(value: unknown, pipe: Pipeline): Iterable<readonly [unknown, unknown]> {
    if (isNil(value)) return
    if (Array.isArray(value)) yield* value.entries()
    else if (typeof value === 'number' && Number.isInteger(value)) for (let at = 0; at < value; at++) yield [at, at]
    else if (typeof value === 'object' && !(value instanceof Date)) yield* sortedEntries(value)
    else {
      const [first] = pipe.commands
      const context = first === undefined || pipe.commands.length > 1 ? describePipeline(pipe) : describeCommand(first)
      throw this.#error(`range can't iterate over ${formatValue(value)}`, pipe.at, context)
    }
  }

  #assign(name: string, value: unknown): void {
    const variable = this.#variables.findLast((one) => one.name === name)
    if (variable !== undefined) variable.value = value
  }

  #pipeline(pipe: Pipeline, dot: unknown): unknown {
    let handed: Handed | undefined
    for (const command of pipe.commands) handed = { value: this.#command(command, dot, handed) }
    const value = handed?.value
    for (const name of pipe.variables) {
      if (pipe.assigns) this.#assign(name, value)
      else this.#variables.push({ name, value })
    }
    return value
  }

  #command(command: CommandNode, dot: unknown, handed: Handed | undefined): unknown {
    const [first, ...rest] = command.operands
    this.#step(command.at, () => describeCommand(command))
    const values = (): unknown[] => [
      ...rest.map((operand) => this.#operand(operand, dot)),
      ...(handed === undefined ? [] : [handed.value]),
    ]
    switch (first.kind) {
      case 'function':
        return this.#call(first, rest, command, dot, handed)
      case 'field':
        return this.#fields(first, dot, first.names, values())
      case 'variable':
        if (first.names.length > 0) return this.#fields(first, this.#variable(first.name), first.names, values())
        break
      case 'chain':
        return this.#fields(first, this.#operand(first.of, dot), first.names, values())
      case 'nil':
        throw this.#error('nil is not a command', first.at, 'nil')
      default:
    }
    if (rest.length > 0 || handed !== undefined) {
      const shown = first.kind === 'pipeline' ? describePipeline(first.pipe) : describeOperand(first)
      const context = first.kind === 'pipeline' ? describeCommand(command) : shown
      throw this.#error(`can't give argument to non-function ${shown}`, first.at, context)
    }
    return this.#operand(first, dot)
  }

  #operand(operand: Operand, dot: unknown): unknown {
    switch (operand.kind) {
      case 'dot':
        return dot
      case 'nil':
        return null
      case 'constant':
        return operand.value
      case 'field':
        return this.#fields(operand, dot, operand.names, [])
      case 'variable':
        return this.#fields(operand, this.#variable(operand.name), operand.names, [])
      case 'chain':
        return this.#fields(operand, this.#operand(operand.of, dot), operand.names, [])
      case 'pipeline': {
        const known = this.#variables.length
        const value = this.#pipeline(operand.pipe, dot)
        this.#variables.length = known
        return value
      }
      case 'function':
        return this.#call(operand, [], { at: operand.at, operands: [operand] }, dot, undefined)
      default:
        return operand satisfies never
    }
  }

  #variable(name: string): unknown {
    return this.#variables.findLast((one) => one.name === name)?.value
  }

  /** Follows `.a.b.c`; `values` are the arguments of the last one. */
  #fields(operand: Operand, receiver: unknown, names: readonly string[], values: readonly unknown[]): unknown {
    let value = receiver
    names.forEach((name, index) => {
      value = this.#field(operand, value, name, index === names.length - 1 ? values : [])
    })
    return value
  }

  #field(operand: Operand, receiver: unknown, name: string, values: readonly unknown[]): unknown {
    const fail = (message: string, hint?: string): TemplateRunError =>
      this.#error(message, operand.at, describeOperand(operand), hint)
    if (isNil(receiver)) throw fail(`nil pointer evaluating interface {}.${name}`)
    if (typeof receiver !== 'object' || Array.isArray(receiver))
      throw fail(`can't evaluate field ${name} in type ${typeName(receiver)}`)
    if (receiver instanceof Map) {
      if (values.length > 0) throw fail(`${name} is not a method but has arguments`)
      return receiver.get(name)
    }
    if (!isField(receiver, name)) {
      const fields = fieldNames(receiver)
      const hint = fields.length === 0 ? undefined : `Fields: ${fields.map((field) => `.${field}`).join(' ')}`
      throw fail(`can't evaluate field ${name} in type object`, hint)
    }
    const value = (receiver as Readonly<Record<string, unknown>>)[name]
    const wanted = typeof value === 'function' ? value.length : 0
    if (wanted !== values.length) throw fail(`wrong number of args for ${name}: want ${wanted} got ${values.length}`)
    if (typeof value !== 'function') return value
    try {
      return Reflect.apply(value, receiver, values) as unknown
    } catch (error) {
      throw fail(`error calling ${name}: ${messageOf(error)}`)
    }
  }

  #call(
    callee: Extract<Operand, { kind: 'function' }>,
    operands: readonly Operand[],
    command: CommandNode,
    dot: unknown,
    handed: Handed | undefined,
  ): unknown {
    const { name, at } = callee
    const count = operands.length + (handed === undefined ? 0 : 1)
    if (name === 'and' || name === 'or') {
      if (count === 0) throw this.#error(`wrong number of args for ${name}: want at least 1 got 0`, at, name)
      return this.#shortCircuit(name, operands, dot, handed)
    }
    const known = Object.hasOwn(this.#functions, name) ? this.#functions[name] : undefined
    if (known === undefined) throw this.#error(`${JSON.stringify(name)} is not a defined function`, at, name)
    const { parameters, variadic } = known
    const least = variadic === true ? parameters.length - 1 : parameters.length
    if (count < least || (variadic !== true && count > least))
      throw this.#error(
        `wrong number of args for ${name}: want ${variadic === true ? 'at least ' : ''}${least} got ${count}`,
        at,
        name,
      )
    const values = operands.map((operand, index) =>
      this.#checked(parameters[index] ?? parameters.at(-1), this.#operand(operand, dot), operand),
    )
    if (handed !== undefined) {
      const wanted = parameters[operands.length] ?? parameters.at(-1)
      values.push(this.#checkedHanded(wanted, handed.value, command))
    }
    try {
      return known.call(...(values as never[]))
    } catch (error) {
      throw this.#error(`error calling ${name}: ${messageOf(error)}`, at, describeCommand(command))
    }
  }

  #shortCircuit(name: 'and' | 'or', operands: readonly Operand[], dot: unknown, handed: Handed | undefined): unknown {
    let value: unknown
    for (const operand of operands) {
      value = this.#operand(operand, dot)
      if (isTrue(value) === (name === 'or')) return value
    }
    return handed === undefined ? value : handed.value
  }

  /** A written argument, which must be of the parameter's type. */
  #checked(wanted: string | undefined, value: unknown, operand: Operand): unknown {
    if (suits(wanted, value)) return value
    const shown = describeOperand(operand)
    let message = mismatch(wanted, value)
    if (operand.kind === 'constant' && wanted === 'strings') message = `can't handle ${shown} for arg of type []string`
    else if (operand.kind === 'constant') message = `expected ${wanted === 'int' ? 'integer' : wanted}; found ${shown}`
    throw this.#error(message, operand.at, shown)
  }

  #checkedHanded(wanted: string | undefined, value: unknown, command: CommandNode): unknown {
    if (suits(wanted, value)) return value
    throw this.#error(mismatch(wanted, value), command.at, describeCommand(command))
  }
}

function suits(wanted: string | undefined, value: unknown): boolean {
  switch (wanted) {
    case 'string':
      return typeof value === 'string'
    case 'int':
      return typeof value === 'number' && Number.isInteger(value)
    case 'strings':
      return Array.isArray(value) && value.every((item) => typeof item === 'string')
    default:
      return true
  }
}

function mismatch(wanted: string | undefined, value: unknown): string {
  return `wrong type for value; expected ${wanted === 'strings' ? '[]string' : wanted}; got ${typeName(value)}`
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** True for an own property, or a getter or method of the object's class. */
function isField(receiver: object, name: string): boolean {
  if (name === 'constructor' || name === '__proto__') return false
  for (let at: unknown = receiver; at !== null && at !== Object.prototype; at = Object.getPrototypeOf(at))
    if (Object.hasOwn(at as object, name)) return true
  return false
}

function fieldNames(receiver: object): readonly string[] {
  const names = new Set<string>()
  for (let at: unknown = receiver; at !== null && at !== Object.prototype; at = Object.getPrototypeOf(at))
    for (const name of Object.getOwnPropertyNames(at)) if (name !== 'constructor') names.add(name)
  return [...names].sort()
}
