/** One context under several: what Go has no function for. */
import type { CancelableContext, Context } from './context.ts'
import { Bounds } from './deadline.ts'
import { nodeOf, scopeOf } from './foreign.ts'
import { boundsBelow, CancelScope, ContextNode, isAbove, orNone, Rule, type Scope } from './scope.ts'
import { isCurrent } from './spread.ts'
import { endOf, keepTime } from './tree.ts'

/** The first of several parents ends it. Where one of them may end without telling, it is asked at every look. */
class ByFirst extends Rule {
  readonly #names: readonly Context[]
  #pass: object | undefined

  constructor(others: readonly Scope[], names: readonly Context[]) {
    super()
    this.others = others
    this.#names = names
    for (const other of others) isAbove(other)
  }

  override stirred(): boolean {
    return this.others.some((s) => s.end !== undefined || !isCurrent(s) || s.live !== undefined)
  }

  override entered(pass: object): boolean {
    const before = this.#pass === pass
    this.#pass = pass
    return before
  }

  /** Each parent is shown by its last parts: a path is no place for a whole graph. */
  override label(_scope: Scope, brief: boolean): string {
    if (brief) return 'Merge(…)'
    const shown = this.#names.slice(0, 8).map((other) => ContextNode.path(other, true))
    return `Merge(${shown.join(', ')}${this.#names.length > shown.length ? ', …' : ''})`
  }
}

/**
 * A context that ends with whichever of its parents ends first, and with that one's error; or by its own `cancel`. Of several that have ended
 * already, it is the first one named. Its deadline is the earliest of theirs. Its values are the first one's alone.
 *
 * @throws TypeError when one of them is no context, or when they do not share a clock
 */
export function merge(first: Context, ...others: readonly Context[]): CancelableContext {
  const { scope, bindings } = nodeOf(first, 'merge')
  const scopes = others.map((other) => scopeOf(other, 'merge')).filter((other) => !other.endless)
  if (scopes.some((other) => other.time !== scope.time)) throw new TypeError('merge() needs contexts that share a clock.')
  let due = scope.due
  for (const other of scopes) if (other.due !== undefined && (due === undefined || other.due.at < due.at)) due = other.due
  const merged = new CancelScope(first, orNone(scope), bindings, boundsBelow(scope), new ByFirst(scopes, others))
  const silent = scopes.some((other) => other.live !== undefined)
  if (silent || due !== scope.due) merged.bounds = new Bounds(scope.time, due, silent ? merged : scope.live)
  for (const s of [scope, ...scopes]) {
    const end = endOf(s)
    if (merged.end === undefined) merged.state = end
    keepTime(s)
  }
  endOf(merged)
  return merged
}
