/**
 * One of each kind of object that an end meets on its way from thread to thread, kept for as long as the thread lives.
 *
 * V8 compiles code for the hidden classes of the objects that it meets. A full collection that finds no object of such a class alive throws the class away, and all code with it that was compiled for it.
 * Contexts come and go with their jobs, and between two jobs there is none: so each cancel after a collection would run as slowly as the first one. What is kept here prevents that (docs/performance.md,
 * "Idle worker"); and the first cancel of a thread finds code that ran before.
 */

import { listen, sourceOf } from '../../lib/boundary.ts'
import { forNobody } from '../../lib/clock.ts'
import { afterFunc, background, withCancel } from '../../lib/context.ts'
import { LinkLostError } from '../../lib/errors.ts'
import { scopeOf } from '../../lib/foreign.ts'
import type { Listener } from '../../lib/observers.ts'
import { Exporter } from './exporter.ts'
import { type ParsedHandle, parseHandle } from './handle.ts'
import { Importer } from './importer.ts'

const kept: unknown[] = []
/** Those who go by messages alone, and those who share memory, are of different kinds. */
const made = new Set<boolean>()

/** To be called with the first link of a thread, and of each kind. Leaves memory alone: no slot, no port, nobody who waits. */
export function keepSpecimens(shared: boolean): void {
  if (made.has(shared)) return
  made.add(shared)
  // What is kept must not keep what is current in whoever happens to be first.
  forNobody(() => {
    exportToItself(shared)
    // What an AbortSignal is before it is one, and one of ours before it is that.
    kept.push(new EventTarget(), new AbortController().signal)
  })
}

/** A context goes out and comes in, is observed in every way, and ends. */
function exportToItself(shared: boolean): void {
  let importer!: Importer
  const exporter = Exporter.over((attach) => (importer = new Importer(attach, nothing)), nothing, nothing, shared)
  const ctx = withCancel(withCancel(background()))
  const grant = exporter.exportForCall(ctx)
  const handle = parseHandle(grant.handle) as ParsedHandle
  const imported = importer.import(handle, background(), undefined, false)
  const { signal } = imported
  signal.addEventListener('abort', (event) => kept.push(event), { once: true })
  void imported.done
  listen(imported, nothing)
  afterFunc(imported, nothing)
  // All that they hold only as long as they live.
  kept.push(grant, handle, ctx, imported, sourceOf(imported))
  for (const each of [ctx, imported]) {
    const { watch } = scopeOf(each, 'keepSpecimens')
    kept.push(watch)
    for (let o = watch?.listeners; o !== undefined; o = o.next as Listener | undefined) kept.push(o)
  }
  ctx.cancel()
  kept.push(imported.err())
  // Never called, and so kept by it.
  signal.addEventListener('abort', nothing)
  importer.close(new LinkLostError('It was a specimen.'))
  exporter.close()
}

function nothing(): void {}
