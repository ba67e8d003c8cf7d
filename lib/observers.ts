/**
 * Who observes a context, and how that links it into the tree: a context that nobody observes has nothing of this. Whoever observes one is in its list; a
 * context that is observed is itself in the lists of its parents, up to the root. When the last observer goes, that is taken back.
 */
import { Alarm } from './clock.ts'
import type { ContextError, Kind } from './errors.ts'
import type { Scope } from './scope.ts'

/** A place in the list of those who observe a scope. */
export class Observer {
  /** Whose list it is in. */
  of: Watch | undefined = undefined
  next: Observer | undefined = undefined
  /** The first one's is the last one. */
  previous: Observer | undefined = undefined
}

/** Somebody to tell, once, right after everything is marked. */
export abstract class Listener extends Observer {
  abstract run(): void

  /**
   * For those who pass an end on to elsewhere, where nobody must wait for what is done here: called at a cancel of the very context, before anything of it is done,
   * where all who listen before it pass it on as well. Runs nobody else's code; `run` is called after that as for all listeners. Returns whether it passes ends on.
   * Asked in place of `instanceof`, whose walk takes longer than all that it does, where it has not run for a while.
   */
  announce(_kind: Kind, _cause: unknown): boolean {
    return false
  }
}

/** Stands for the context where somebody polls it, as another thread does. It comes before all others of its context, so that it always announces. */
export abstract class Herald extends Listener {
  abstract override announce(kind: Kind, cause: unknown): boolean
}

/** A function to call then. */
export class Hook extends Listener {
  readonly f: () => void
  constructor(f: () => void) {
    super()
    this.f = f
  }

  override run(): void {
    const { f } = this
    f()
  }
}

/** A function to start, once, in a microtask: in one with all whom the same end is told to. */
export class Follower extends Hook {}

/** A linked child in the list of a parent that is not its `up`: of the several parents of a merge, or of a wrapper's inside. */
export class Child extends Observer {
  readonly watch: Watch
  constructor(watch: Watch) {
    super()
    this.watch = watch
  }
}

/** What few watches have. */
class Extras {
  /** What users were given. Whoever has one may still be listening. */
  controller: AbortController | undefined = undefined
  done: Promise<ContextError> | undefined = undefined
  resolve: ((error: ContextError) => void) | undefined = undefined
  /** The places with further parents. */
  places: Child[] | undefined = undefined
}

/**
 * What a scope has while it is observed, or when it was given away as a signal or a promise. It is itself an observer of the scope's `up`; where there is
 * none, of itself: so `of` tells whether it is linked.
 */
export class Watch extends Observer {
  readonly scope: Scope
  /** Lists, in the order of registration: of those who are marked, and of those who are told. Each is gone through without the other. */
  children: Watch | Child | undefined = undefined
  listeners: Listener | undefined = undefined
  alarm: Alarm<Scope> | undefined = undefined
  extras: Extras | undefined = undefined

  constructor(scope: Scope) {
    super()
    this.scope = scope
  }

  extend(): Extras {
    return (this.extras ??= new Extras())
  }

  add(observer: Observer): void {
    observer.of = this
    const first = firstLike(this, observer)
    if (first === undefined) {
      observer.previous = observer
      setFirstLike(this, observer, observer)
      return
    }
    observer.previous = first.previous as Observer
    observer.previous.next = first.previous = observer
  }

  addFirst(herald: Herald): void {
    const { listeners } = this
    if (listeners === undefined) return this.add(herald)
    herald.of = this
    herald.next = listeners
    herald.previous = listeners.previous
    listeners.previous = herald
    this.listeners = herald
  }

  /** Before anything is marked. */
  announce(kind: Kind, cause: unknown): void {
    let o = this.listeners
    while (o !== undefined && o.announce(kind, cause)) o = o.next as Listener | undefined
  }

  remove(observer: Observer): void {
    const { next, previous } = observer
    let first = firstLike(this, observer)
    if (observer === first) setFirstLike(this, observer, (first = next))
    else (previous as Observer).next = next
    const after = next ?? first
    if (after !== undefined) after.previous = previous
    observer.of = observer.previous = observer.next = undefined
  }

  /** Takes all children, to be gone through once. */
  takeChildren(): Watch | Child | undefined {
    const { children } = this
    this.children = undefined
    return children
  }

  /** Takes all listeners, to be gone through once. */
  takeListeners(): Listener | undefined {
    const { listeners } = this
    this.listeners = undefined
    return listeners
  }

  get needed(): boolean {
    return (
      this.children !== undefined ||
      this.listeners !== undefined ||
      this.extras?.controller !== undefined ||
      this.extras?.done !== undefined
    )
  }

  /** Sets the alarm for a deadline of its scope. */
  arm(at: number): void {
    this.scope.time.set((this.alarm = new Alarm<Scope>(at, this.scope)))
  }

  /** Gives back what observing took, beside the places in lists. */
  detach(): void {
    if (this.alarm !== undefined) this.scope.time.unset(this.alarm)
    this.alarm = undefined
    this.scope.rule.detach()
  }

  /** The places with further parents, which are the caller's to take back from now on. */
  takePlaces(): readonly Child[] {
    const { extras } = this
    if (extras?.places === undefined) return nowhere
    const { places } = extras
    extras.places = undefined
    return places
  }
}

const nowhere: readonly Child[] = []

// Not private methods of a watch, which would cost each a word that says that it has them.

/** The first one of the list that an observer is for. */
function firstLike(watch: Watch, observer: Observer): Observer | undefined {
  return observer instanceof Listener ? watch.listeners : watch.children
}

function setFirstLike(watch: Watch, observer: Observer, first: Observer | undefined): void {
  if (observer instanceof Listener) watch.listeners = first as Listener | undefined
  else watch.children = first as Watch | Child | undefined
}

/** The watch of a scope; made where there is none. */
export function watchOf(scope: Scope): Watch {
  return (scope.watch ??= new Watch(scope))
}

/** How many listeners and linked children there are, for tests. */
export function observersOf({ children, listeners }: Watch): number {
  let count = 0
  for (const first of [children, listeners]) for (let o: Observer | undefined = first; o !== undefined; o = o.next) count++
  return count
}

/** Registers an observer with a live scope, and links the scope up to the root, where it is not yet. */
export function observe(scope: Scope, observer: Observer): void {
  const watch = watchOf(scope)
  if (observer instanceof Herald) watch.addFirst(observer)
  else watch.add(observer)
  link(watch)
}

/** Links a scope that has a watch up to the root. Does not recurse. */
export function link(start: Watch): void {
  let todo: Watch[] | undefined
  for (let watch: Watch | undefined = start; watch !== undefined; watch = todo?.pop()) {
    // Up as far as it goes; further parents wait their turn.
    while (watch.of === undefined) {
      const { scope }: Watch = watch
      const { up }: Scope = scope
      const above: Watch = up === undefined ? watch : watchOf(up)
      if (above === watch) watch.of = watch
      else above.add(watch)
      scope.rule.attach(scope, watch)
      // What it asked, to be told of an end, may have told it of one at once.
      if (scope.end !== undefined) break
      for (const other of scope.rule.others) {
        const place = new Child(watch)
        ;(watch.extend().places ??= []).push(place)
        const beside = watchOf(other)
        beside.add(place)
        ;(todo ??= []).push(beside)
      }
      watch = above
    }
  }
}

/** Takes an observer of a live scope back, and unlinks upwards what nobody needs any more. Does not recurse. */
export function unobserve(observer: Observer): void {
  let todo: Observer[] | undefined
  for (let next: Observer | undefined = observer; next !== undefined; next = todo?.pop()) {
    for (;;) {
      const watch: Watch | undefined = next.of
      if (watch === next) {
        next.of = undefined
        break
      }
      // A scope that has ended drops its whole list by itself.
      if (watch === undefined || watch.scope.end !== undefined) break
      watch.remove(next)
      if (watch.needed) break
      watch.detach()
      const places = watch.takePlaces()
      if (places.length > 0) (todo ??= []).push(...places)
      watch.scope.watch = undefined
      next = watch
    }
  }
}
