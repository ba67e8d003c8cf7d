/** Imports that are dropped without a cancel: they are given back when they have been collected. */

import { sourceOf } from '../../lib/boundary.ts'
import type { CancelableContext } from '../../lib/context.ts'
import type { RemoteSource } from './remote-source.ts'

const yielded = Promise.resolve()

// A source does not hold its context, unless somebody observes that.
const dropped = new FinalizationRegistry<RemoteSource>((source) => source.giveBack())

/** Those of this turn. To register one takes longer than all else of an import; and whoever gives it back before the thread yields needs none. */
let fresh: CancelableContext[] = []

/** Sees to it that a context is given back when it is collected. */
export function registerSoon(ctx: CancelableContext): void {
  if (fresh.push(ctx) > 1) return
  void yielded.then(() => {
    const kept = fresh
    fresh = []
    for (const each of kept) {
      const source = sourceOf(each) as RemoteSource
      if (!source.givenBack) dropped.register(each, source)
    }
  })
}
