/**
 * How an end spreads, once it is found. What is observed is marked and told (the push of `tree.ts`); all else finds out at its next look, since there is a
 * new epoch (the pull).
 */
import type { End } from './end.ts'
import { type Child, Follower, type Listener, unobserve, Watch } from './observers.ts'
import type { Scope } from './scope.ts'

/**
 * Changes with every end of a scope that something was derived from, except where that only takes over an end that was found above: then it has changed
 * for that one. A scope that has seen the present one has no ended ancestor. An object, so that it never wraps.
 */
export class Epoch {}

export let epoch: Epoch = new Epoch()

/** Whether no scope that something was derived from has ended since this one was looked at. */
export function isCurrent(scope: Scope): boolean {
  return scope.state === epoch
}

/** Notes that a scope is live as of now; unless it was ended by whoever was asked about it. */
export function isLive(scope: Scope): void {
  if (scope.end === undefined) scope.state = epoch
}

/** Marks a scope that nobody observes, so that there is nobody to tell. Most end so, and it is short for their sake. */
export function markAlone(scope: Scope, end: End, isNew = true): void {
  scope.state = end
  if (isNew && scope.below > 0) epoch = new Epoch()
  scope.rule.ended()
}

/** The first phase: marks a scope and all its linked descendants. Runs nobody else's code. */
export function mark(top: Scope, end: End, wave: Watch[], isNew = true): void {
  if (top.watch === undefined) return markAlone(top, end, isNew)
  top.state = end
  if (isNew && top.below > 0) epoch = new Epoch()
  let next = wave.length
  wave.push(top.watch)
  for (; next < wave.length; next++) {
    const watch = wave[next] as Watch
    watch.detach()
    watch.scope.rule.ended()
    // Parents that have ended drop their lists as a whole: there is no unregistering one by one (C20).
    unobserve(watch)
    for (const place of watch.takePlaces()) unobserve(place)
    for (let o = watch.takeChildren(); o !== undefined; o = o.next as Watch | Child | undefined) {
      const child = o instanceof Watch ? o : o.watch
      if (child.scope.end !== undefined) continue
      child.scope.state = end
      wave.push(child)
    }
  }
}

/** The second phase: tells everybody, parents before children and in the order of registration. */
export function notify(wave: Watch[]): void {
  let followers: Follower[] | undefined
  for (const watch of wave) {
    const { scope, extras } = watch
    if (extras !== undefined) {
      const { error } = scope.end as End
      extras.controller?.abort(error)
      // Whoever awaits it hears of it later in any case.
      extras.resolve?.(error)
    }
    for (let o = watch.takeListeners(), next; o !== undefined; o = next) {
      // One that is kept for longer than its context leaves the list.
      next = o.next as Listener | undefined
      if (o instanceof Follower) {
        if (followers === undefined) follow((followers = []))
        followers.push(o)
      } else start(o)
    }
  }
}

const ready = Promise.resolve()

/** Starts followers in a microtask, those included that come until then. In Node `queueMicrotask` makes some objects for each. */
export function follow(followers: readonly Follower[]): void {
  void ready.then(() => {
    for (const follower of followers) start(follower)
  })
}

/** What it throws is reported, and stops nothing. */
function start(listener: Listener): void {
  try {
    listener.run()
  } catch (error) {
    report(error)
  }
}

/** An exception of somebody's listener: an uncaught exception in Node, an `error` event in a browser. It stops nothing here. */
export function report(error: unknown): void {
  queueMicrotask(() => {
    throw error
  })
}
