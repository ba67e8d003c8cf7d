/** What the far side tells of each event, and how the near side waits for it. */

/** That it is ready for the next event, or when and why it has seen one. */
export type Report =
  | { readonly ready: true }
  /** `at`: ns by the machine's clock; `name` and `cause`: of the error, where the way carries one. */
  | { readonly ready: false; readonly at: number; readonly name?: string; readonly cause?: string }

export type Seen = Extract<Report, { ready: false }>

/** ms; no event takes nearly as long. */
const patience = 20_000

/** Reports of one far side, in order. */
export class Reports {
  readonly #arrived: Report[] = []
  #waiting: { resolve: (report: Report) => void; reject: (error: Error) => void; silent: NodeJS.Timeout } | undefined
  #failed: Error | undefined

  add(report: Report): void {
    const waiting = this.#forget()
    if (waiting === undefined) this.#arrived.push(report)
    else waiting.resolve(report)
  }

  fail(error: Error): void {
    this.#failed = error
    this.#forget()?.reject(error)
  }

  #forget(): { resolve: (report: Report) => void; reject: (error: Error) => void } | undefined {
    const waiting = this.#waiting
    this.#waiting = undefined
    clearTimeout(waiting?.silent)
    return waiting
  }

  async #next(): Promise<Report> {
    const next = this.#arrived.shift()
    if (next !== undefined) return next
    if (this.#failed !== undefined) throw this.#failed
    // Whoever waited before has given up: a race was won by something else.
    this.#forget()
    return new Promise((resolve, reject) => {
      const silence = (): void => this.fail(new Error(`The far side said nothing for ${patience / 1_000} s.`))
      this.#waiting = { resolve, reject, silent: setTimeout(silence, patience) }
    })
  }

  async ready(): Promise<void> {
    if (!(await this.#next()).ready) throw new Error('The far side saw an event before it was to come.')
  }

  async seen(): Promise<Seen> {
    const report = await this.#next()
    if (report.ready) throw new Error('The far side was ready twice.')
    return report
  }
}
