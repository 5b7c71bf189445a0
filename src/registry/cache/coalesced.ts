/** Work by key: while it goes on, whoever wants the same waits for the same. */
export class Coalesced<Result> {
  readonly #underWay = new Map<string, Promise<Result>>()

  async run(key: string, work: () => Promise<Result>): Promise<Result> {
    const known = this.#underWay.get(key)
    if (known !== undefined) return await known
    const own = work().finally(() => this.#underWay.delete(key))
    this.#underWay.set(key, own)
    return await own
  }
}
