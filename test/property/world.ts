/**
 * Does the same to the library and to the model, and compares all that can be seen. What a listener of the library does is done
 * to the model at that moment, so the model need not know when listeners run; that they do run, and when, is checked here.
 */
import assert from 'node:assert/strict'
import { getEventListeners } from 'node:events'
import {
  afterFunc,
  type CancelFunc,
  type CancelableContext,
  CanceledError,
  cause,
  type Context,
  type ContextError,
  createKey,
  createRoot,
  DeadlineExceededError,
  isCanceled,
  isDeadlineExceeded,
  merge,
  race,
  sleep,
  withCancel,
  withDeadline,
  withoutCancel,
  withSignal,
  withTimeout,
  withValue,
} from 'ctxbridge'
import { createFakeClock } from 'ctxbridge/testing'
import { EndWrapper, Wrapper } from '../support/foreign.ts'
import { Model, type ModelContext, type ModelEnd, ModelSignal } from './model.ts'
import { type CauseName, type Look, type Operation, type Pick, show } from './operations.ts'

const keys = [createKey<unknown>('a'), createKey<unknown>('b')]
const lastDate = 8.64e15

/** A context of the library and the model's of the same operation. */
interface Pair {
  readonly name: string
  readonly real: Context
  readonly model: ModelContext
  readonly cancel: CancelFunc | undefined
  readonly parents: readonly Pair[]
  readonly children: Pair[]
  /** Whether the library was asked since the end. */
  known: boolean
  error: ContextError | undefined
  signal: AbortSignal | undefined
  done: { readonly promise: Promise<ContextError>; outcome: ContextError | undefined } | undefined
}

/** A listener of the library. */
interface Observer {
  readonly kind: 'onAbort' | 'afterFunc'
  readonly pair: Pair
  ran: boolean
  stopped: boolean
  stop: () => boolean
}

/** A sleep or a race. */
interface Waiting {
  readonly kind: 'sleep' | 'race'
  readonly pair: Pair
  /** When a sleep ends; Infinity for a race. */
  readonly at: number
  /** Lets the promise of a race be fulfilled. */
  readonly settle: () => void
  settled: boolean
  outcome: 'fulfilled' | 'rejected' | undefined
  error: unknown
}

interface Joined {
  readonly name: string
  readonly controller: AbortController
  readonly model: ModelSignal
  readonly pairs: Pair[]
}

export class World {
  readonly clock = createFakeClock()
  readonly pairs: Pair[] = []
  /** What was done, a line each, those of listeners indented. */
  readonly log: string[] = []
  readonly #model = new Model(this.clock.now())
  readonly #observers: Observer[] = []
  readonly #waiting: Waiting[] = []
  readonly #joined: Joined[] = []
  readonly #errorOf = new Map<ModelEnd, ContextError>()
  readonly #endOf = new Map<ContextError, ModelEnd>()
  /** Cancels that were called, but have not been seen to take effect: what was due before comes first, with its listeners. */
  readonly #called: { apply: (() => void) | undefined }[] = []
  #dispatching: Joined | undefined
  #depth = 0
  #errors = 0
  #failure: unknown
  #wallStepped = false
  /** Then listeners act no more. */
  #over = false
  /** Up to when timers have fired. */
  #heard = this.clock.now()
  /** When a listener last took its time: what is armed afterwards is late by as much. */
  #busyUntil = -Infinity
  /** How late an alarm can be, by the host's habits so far. */
  #slack = 2

  constructor() {
    this.#pair(createRoot({ clock: this.clock }), this.#model.root(), [])
  }

  /** Does all of a list, then looks at everything, newest first: nobody has looked at what is above. A failure tells what was done. */
  static async run(list: readonly Operation[]): Promise<World> {
    const world = new World()
    await world.tell(async () => {
      for (const operation of list) await world.do(operation)
      await world.lookAtAll()
    })
    return world
  }

  /** Adds what was done to the message of a failure. */
  async tell(f: () => Promise<void>): Promise<void> {
    try {
      await f()
    } catch (error) {
      throw new Error(`${error instanceof Error ? error.message : String(error)}\nafter\n${this.log.join('\n')}`, {
        cause: error,
      })
    }
  }

  /** One operation from outside of any listener. */
  async do(operation: Operation): Promise<void> {
    if (operation.do === 'flush') await this.#flush()
    else this.#act(operation, undefined)
    this.#rethrow()
    this.#checkPushed()
  }

  /** Looks at all contexts, newest first, and lets everything that was told settle. From now on listeners only listen. */
  async lookAtAll(): Promise<void> {
    this.#over = true
    await this.do({ do: 'flush' })
    for (const pair of this.pairs.toReversed()) this.#look(pair)
    await this.do({ do: 'flush' })
  }

  /** Ends all that can end. Then no timer is armed but those of sleepers on what never ends, and no listener is left on a joined signal. */
  async cancelAll(order: 'oldest first' | 'newest first'): Promise<void> {
    for (const pair of order === 'oldest first' ? this.pairs : this.pairs.toReversed()) this.#cancel(pair, 'none')
    await this.lookAtAll()
    const asleep = this.#waiting.filter(({ kind, outcome }) => kind === 'sleep' && outcome === undefined).length
    assert.equal(this.clock.timers, asleep, 'timers are left')
    for (const { name, controller } of this.#joined)
      assert.equal(this.#listenersOn(controller), 0, `listeners are left on ${name}`)
  }

  /** Takes back every observer that can be. */
  async stopAll(): Promise<void> {
    for (const observer of this.#observers) this.#stop(observer)
    for (const waiting of this.#waiting) waiting.settle()
    await this.lookAtAll()
  }

  /** What is registered outside of the tree at present. */
  get registered(): string[] {
    return [
      `${this.clock.timers} timers`,
      ...this.#joined.map((j) => `${this.#listenersOn(j.controller)} listeners on ${j.name}`),
    ].sort()
  }

  /** How many listeners the library has on a signal: not counting the one of this class. */
  #listenersOn(controller: AbortController): number {
    return getEventListeners(controller.signal, 'abort').length - (controller.signal.aborted ? 0 : 1)
  }

  /** How all contexts ended, for comparison with another world. */
  get ends(): string[] {
    return this.pairs.map(({ name, real }) => {
      const error = real.err()
      return `${name}: ${error === undefined ? 'live' : `${error.name} ${Object.hasOwn(error, 'cause') ? String(error.cause) : 'without cause'}`}`
    })
  }

  // What the operations do

  #act(operation: Operation, self: Pair | undefined): void {
    const pair = (pick: Pick): Pair => this.#pick(pick, self)
    const before = this.pairs.length
    const line = `${'  '.repeat(this.#depth)}${show(operation, (pick) => pair(pick).name)}`
    const place = this.log.push(line) - 1
    this.#sync()
    const { clock } = this
    switch (operation.do) {
      case 'withCancel':
      case 'withTimeout':
      case 'withDeadline':
      case 'withValue':
      case 'withoutCancel':
      case 'withSignal':
      case 'merge':
      case 'wrap':
      case 'wrapOwnEnd':
        this.#derive(operation, pair(operation.of), self)
        break
      case 'cancel':
        this.#cancel(pair(operation.of), operation.cause)
        break
      case 'abort':
        this.#abort(this.#signal(operation.signal), operation.cause)
        break
      case 'look':
        this.#look(pair(operation.of), operation.by)
        break
      case 'lookAtAll':
        for (const each of this.pairs) this.#look(each)
        break
      case 'onAbort':
        this.#onAbort(pair(operation.of), operation.then)
        break
      case 'afterFunc':
        this.#afterFunc(pair(operation.of), operation.then)
        break
      case 'done':
        this.#done(pair(operation.of))
        break
      case 'race':
        this.#race(pair(operation.of))
        break
      case 'sleep':
        this.#sleep(pair(operation.of), operation.ms)
        break
      case 'stop': {
        const observer = this.#observers.at(-1 - (operation.which % (this.#observers.length || 1)))
        if (observer !== undefined) this.#stop(observer)
        break
      }
      case 'settle':
        this.#waiting.at(-1 - (operation.which % (this.#waiting.length || 1)))?.settle()
        break
      case 'advance':
        clock.advanceSync(operation.ms)
        this.#sync()
        if (clock.now() >= this.#busyUntil + this.#slack) this.#heard = clock.now()
        break
      case 'block':
        clock.block(operation.ms)
        if (self !== undefined) this.#busyUntil = clock.now()
        this.#sync()
        break
      case 'timers':
        clock.early = operation.early
        clock.late = operation.late
        this.#slack = Math.max(this.#slack, 2 + 2 * operation.late)
        break
      case 'stepWall':
        clock.setWall(clock.wall() + operation.ms)
        this.#wallStepped = true
        break
      case 'flush':
        break
    }
    const made = this.pairs[before]
    if (made !== undefined && place === this.log.length - 1)
      this.log[place] = line.replace(/\S/, (first) => `${made.name} = ${first}`)
  }

  #derive(operation: Operation & { of: Pick }, of: Pair, self: Pair | undefined): void {
    const model = this.#model
    const { now } = model
    switch (operation.do) {
      case 'withCancel': {
        const made = model.withCancel(of.model)
        const real = withCancel(of.real)
        return this.#pair(real, made, [of], real.cancel)
      }
      case 'withTimeout': {
        const { ms } = operation
        const why = this.#value(operation.cause)
        const made = model.withDeadline(of.model, ms > lastDate ? Infinity : now + ms, undefined, why)
        const [real, cancel] = withTimeout(of.real, ms, why)
        return this.#pair(real, made, [of], cancel)
      }
      case 'withDeadline': {
        const wall = this.clock.wall()
        const at = wall + operation.ms
        const date = operation.date && at < lastDate ? new Date(at) : at
        const why = this.#value(operation.cause)
        const made = model.withDeadline(of.model, at > lastDate ? Infinity : now + (Number(date) - wall), Number(date), why)
        const real = withDeadline(of.real, date, why)
        return this.#pair(real, made, [of], real.cancel)
      }
      case 'withValue': {
        const key = keys[operation.key] ?? keys[0]
        assert(key)
        const value = this.#value(operation.value)
        return this.#pair(withValue(of.real, key, value), model.withValue(of.model, key, value), [of])
      }
      case 'withoutCancel':
        return this.#pair(withoutCancel(of.real), model.withoutCancel(of.model), [of])
      case 'withSignal': {
        const joined = this.#signal(operation.signal)
        const made = model.withSignal(of.model, joined.model)
        const real = withSignal(of.real, joined.controller.signal)
        this.#pair(real, made, [of], real.cancel)
        const pair = this.pairs.at(-1)
        assert(pair)
        joined.pairs.push(pair)
        return undefined
      }
      case 'merge': {
        const others = operation.others.map((other) => this.#pick(other, self))
        const made = model.merge(
          of.model,
          others.map((other) => other.model),
        )
        const real = merge(of.real, ...others.map((other) => other.real))
        return this.#pair(real, made, [of, ...others], real.cancel)
      }
      case 'wrap':
        return this.#pair(new Wrapper(of.real), model.withValue(of.model, undefined, undefined), [of])
      case 'wrapOwnEnd': {
        const real = new EndWrapper(of.real)
        return this.#pair(real, model.wrapOwnEnd(of.model), [of], (why) => real.end(why))
      }
      default:
        return undefined
    }
  }

  #pair(real: Context, model: ModelContext, parents: Pair[], cancel?: CancelFunc): void {
    const pair = {
      name: `c${this.pairs.length}`,
      real,
      model,
      cancel,
      parents,
      children: [],
      known: false,
      error: undefined,
      signal: undefined,
      done: undefined,
    }
    this.pairs.push(pair)
    for (const parent of parents) parent.children.push(pair)
  }

  #cancel(pair: Pair, name: CauseName): void {
    const { cancel } = pair
    if (cancel === undefined) return
    const why = this.#value(name)
    const call: { apply: (() => void) | undefined } = { apply: () => this.#model.cancel(pair.model, why) }
    this.#called.push(call)
    if (name !== 'none') cancel(why)
    // Of every two contexts one is disposed of, which is the same by another way.
    else if (Symbol.dispose in pair.real && this.pairs.indexOf(pair) % 2 === 0) (pair.real as CancelableContext)[Symbol.dispose]()
    else cancel()
    this.#called.pop()
    this.#sync()
    call.apply?.()
  }

  #abort({ controller }: Joined, name: CauseName): void {
    if (name === 'none') controller.abort()
    else controller.abort(this.#value(name))
  }

  #onAbort(pair: Pair, then: readonly Operation[]): void {
    const { signal } = pair.real
    assert.equal(signal, (pair.signal ??= signal), `${pair.name}: another signal`)
    if (signal.aborted) return this.#look(pair)
    const observer: Observer = { kind: 'onAbort', pair, ran: false, stopped: false, stop: () => false }
    const listener = (): void => this.#heardOf(observer, then)
    observer.stop = () => {
      signal.removeEventListener('abort', listener)
      return true
    }
    signal.addEventListener('abort', listener)
    this.#observers.push(observer)
  }

  #afterFunc(pair: Pair, then: readonly Operation[]): void {
    const observer: Observer = { kind: 'afterFunc', pair, ran: false, stopped: false, stop: () => false }
    observer.stop = afterFunc(pair.real, () => this.#heardOf(observer, then))
    assert(!observer.ran, `${pair.name}: afterFunc ran at once`)
    this.#observers.push(observer)
  }

  #stop(observer: Observer): void {
    const { kind, pair, stopped } = observer
    const result = observer.stop()
    this.#sync()
    if (kind === 'onAbort') {
      observer.stopped ||= !observer.ran
      return
    }
    assert.equal(result, !stopped && pair.model.end === undefined, `${pair.name}: stop() returned ${result}`)
    observer.stopped ||= result
  }

  #done(pair: Pair): void {
    const { done } = pair.real
    if (pair.done !== undefined) return assert.equal(done, pair.done.promise, `${pair.name}: another done`)
    const state: Pair['done'] = { promise: done, outcome: undefined }
    pair.done = state
    void done.then((error) => (state.outcome = error))
    return undefined
  }

  #race(pair: Pair): void {
    let settle = (): void => {}
    const promise = new Promise<void>((resolve) => (settle = resolve))
    const waiting = this.#wait('race', pair, Infinity, () => {
      waiting.settled = true
      settle()
    })
    this.#follow(waiting, race(pair.real, promise))
  }

  #sleep(pair: Pair, ms: number): void {
    const waiting = this.#wait('sleep', pair, this.clock.now() + Math.max(0, ms), () => {})
    this.#follow(waiting, sleep(pair.real, ms))
  }

  #wait(kind: Waiting['kind'], pair: Pair, at: number, settle: () => void): Waiting {
    const waiting: Waiting = { kind, pair, at, settle, settled: false, outcome: undefined, error: undefined }
    this.#waiting.push(waiting)
    return waiting
  }

  #follow(waiting: Waiting, promise: Promise<void>): void {
    promise.then(
      () => (waiting.outcome = 'fulfilled'),
      (error: unknown) => {
        waiting.outcome = 'rejected'
        waiting.error = error
      },
    )
  }

  /** The library has called a listener. */
  #heardOf(observer: Observer, then: readonly Operation[]): void {
    const { pair, kind } = observer
    this.#depth++
    try {
      this.#sync()
      this.log.push(`${'  '.repeat(this.#depth)}${kind} of ${pair.name}:`)
      // Which of those who joined one signal hears first is the platform's affair: before one of them acts, all are told.
      const joined = this.#dispatching
      this.#dispatching = undefined
      for (const { real } of joined?.pairs ?? []) real.err()
      // If it has not ended yet in the model, then the cancel that was called last takes effect now.
      for (let i = this.#called.length - 1; i >= 0 && pair.model.end === undefined; i--) {
        this.#called[i]?.apply?.()
        ;(this.#called[i] as { apply: undefined }).apply = undefined
      }
      assert(pair.model.end, `${pair.name}: ${kind} ran, but it has not ended`)
      assert(!observer.ran, `${pair.name}: ${kind} ran twice`)
      assert(!observer.stopped, `${pair.name}: ${kind} ran after stop()`)
      observer.ran = true
      if (!this.#over) for (const operation of then) this.#act(operation, pair)
    } catch (error) {
      this.#failure ??= error
    } finally {
      this.#depth--
    }
  }

  // Comparing

  #look(pair: Pair, by: Look = 'err'): void {
    const { real, model, name } = pair
    // The signal of another maker's context need not know what nobody has told it.
    if ((by === 'aborted' || by === 'reason') && !(real instanceof Wrapper)) {
      const signal = (pair.signal ??= real.signal)
      const seen: unknown = signal[by]
      this.#sync()
      assert.equal(
        by === 'aborted' ? seen : seen !== undefined,
        model.end !== undefined,
        `${name}: signal.${by} is ${String(seen)}`,
      )
    } else if (by === 'throwIfDone') {
      let thrown: unknown
      try {
        real.throwIfDone()
      } catch (error) {
        thrown = error
      }
      this.#sync()
      this.#sameEnd(pair, thrown)
    } else if (by === 'cause') {
      const seen = cause(real)
      this.#sync()
      this.#sameCause(pair, seen)
    }
    const error = real.err()
    this.#sync()
    this.#sameEnd(pair, error)
    this.#sameCause(pair, cause(real))
    if (pair.signal !== undefined) {
      assert.equal(pair.signal.aborted, error !== undefined, `${name}: signal.aborted`)
      assert.equal(pair.signal.reason, error, `${name}: signal.reason`)
    }
    assert.equal(
      real.remaining(),
      model.deadline === Infinity ? Infinity : Math.max(0, model.deadline - this.clock.now()),
      `${name}: remaining()`,
    )
    if (!this.#wallStepped) this.#sameDate(pair)
    for (const key of keys) assert.equal(real.value(key), model.value(key), `${name}: value(${key.name})`)
    pair.known = model.end !== undefined
    if (pair.known && this.#depth === 0) {
      for (const { kind, pair: of, ran, stopped } of this.#observers) {
        if (of === pair && kind === 'onAbort') assert(ran || stopped, `${name}: it has ended, but no listener ran`)
      }
    }
  }

  #sameEnd(pair: Pair, error: unknown): void {
    const { name, model } = pair
    if (model.end === undefined)
      return assert.equal(error, undefined, `${name}: has ended with ${String(error)}, but should be live`)
    const end = this.#expected(model, error)
    const expected = `${end.kind} at ${end.at} with ${String(end.cause)}`
    assert(error !== undefined, `${name}: is live, but should have ended: ${expected}`)
    const type = end.kind === 'deadline' ? DeadlineExceededError : CanceledError
    assert(error instanceof type, `${name}: has ended with ${String(error)}, but should have: ${expected}`)
    assert.equal(isCanceled(error), end.kind === 'canceled')
    assert.equal(isDeadlineExceeded(error), end.kind === 'deadline')
    assert.equal(Object.hasOwn(error, 'cause'), end.cause !== undefined, `${name}: whether err() has a cause`)
    assert.equal(error.cause, end.cause, `${name}: err().cause is ${String(error.cause)}, but should be ${String(end.cause)}`)
    assert.equal(error, (pair.error ??= error), `${name}: err() has changed`)

    // Two contexts have one error exactly when one end has ended both.
    if (model.foreign && end.kind === 'deadline') return undefined
    const other = this.#endOf.get(error)
    if (model.mixed && end.event.ends > 1)
      return assert(other === undefined || other.event === end.event, `${name}: err() is another's`)
    const known = this.#errorOf.get(end)
    assert(other === undefined || other === end, `${name}: shares its err() with a context that another end has ended`)
    assert(known === undefined || known === error, `${name}: err() is not that of others that the same end has ended`)
    this.#endOf.set(error, end)
    this.#errorOf.set(end, error)
    return undefined
  }

  /** The end that the model says; below another maker's context, any of several deadlines. */
  #expected({ end, ends, foreign }: ModelContext, error: unknown): ModelEnd {
    const first = end as ModelEnd
    if (!foreign || first.kind !== 'deadline') return first
    const { cause } = (error ?? {}) as { cause?: unknown }
    const may = (other: ModelEnd): boolean => other.cause === cause && (this.#errorOf.get(other) ?? error) === error
    return ends.find((other) => other.kind === 'deadline' && may(other)) ?? first
  }

  #sameCause({ name, real, model }: Pair, seen: unknown): void {
    const error = real.err()
    const given = model.end === undefined ? undefined : this.#expected(model, error).cause
    const expected = given === undefined ? error : given
    assert.equal(seen, expected, `${name}: cause() is ${String(seen)}, but should be ${String(expected)}`)
  }

  #sameDate({ name, real, model }: Pair): void {
    const date = real.deadline
    if (model.deadline === Infinity) return assert.equal(date, undefined, `${name}: deadline`)
    assert(date, `${name}: has no deadline`)
    // A Date has no fractions.
    const expected = this.clock.wall() + model.deadline - this.clock.now()
    assert(Math.abs(date.getTime() - expected) <= 1, `${name}: deadline is ${date.getTime()}, but should be ${expected}`)
    return undefined
  }

  /** Whether those who only listen must have been told. */
  #told({ known, model: { end } }: Pair): boolean {
    return end !== undefined && (known || end.kind === 'canceled' || end.at + this.#slack <= this.#heard)
  }

  #checkPushed(): void {
    for (const { kind, pair, ran, stopped } of this.#observers) {
      if (kind === 'onAbort' && !stopped && this.#told(pair)) assert(ran, `${pair.name}: nobody has told its listener of the end`)
    }
  }

  async #flush(): Promise<void> {
    this.log.push('flush')
    this.#sync()
    const before = new Map(this.#waiting.map(({ pair }) => [pair, pair.model.end !== undefined]))
    for (let i = 0; i < 20; i++) await undefined
    for (const { kind, pair, ran, stopped } of this.#observers) {
      if (kind === 'afterFunc' && !stopped && this.#told(pair)) assert(ran, `${pair.name}: afterFunc has not run`)
    }
    for (const pair of this.pairs) {
      if (pair.done?.outcome !== undefined) this.#sameEnd(pair, pair.done.outcome)
      else if (pair.done !== undefined) assert(!this.#told(pair), `${pair.name}: done is pending`)
    }
    for (const waiting of this.#waiting) this.#checkWaiting(waiting, before.get(waiting.pair) === true)
  }

  #checkWaiting({ kind, pair, at, settled, outcome, error }: Waiting, endedBefore: boolean): void {
    const { name, model } = pair
    const what = `${name}: a ${kind} on it`
    if (outcome === 'rejected') {
      assert(model.end, `${what} was rejected, but it has not ended`)
      this.#sameEnd(pair, error)
    } else if (outcome === 'fulfilled') {
      assert(settled || at <= this.clock.now(), `${what} was fulfilled too soon`)
      assert(kind === 'race' || model.end === undefined || model.end.at >= at, `${what} was fulfilled, but it had ended before`)
    } else {
      assert(!this.#told(pair), `${what} is pending, but it has ended`)
      assert(!settled || endedBefore, `${what} is pending, but its promise is fulfilled`)
      assert(at + this.#slack > this.#heard, `${what} is pending, but its time is over`)
    }
  }

  // Small things

  #sync(): void {
    this.#model.advanceTo(this.clock.now())
  }

  #rethrow(): void {
    const failure = this.#failure
    this.#failure = undefined
    if (failure !== undefined) throw failure
  }

  #pick(pick: Pick, self: Pair | undefined): Pair {
    const own = self ?? this.pairs[0]
    assert(own)
    const parent = own.parents.at(-1)
    if (typeof pick === 'number') return this.pairs.at(-1 - (pick % this.pairs.length)) ?? own
    if (pick === 'parent') return parent ?? own
    if (pick === 'child') return own.children.at(-1) ?? own
    if (pick === 'sibling') return parent?.children.findLast((child) => child !== own) ?? own
    return own
  }

  #signal(index: number): Joined {
    const known = this.#joined.find(({ name }) => name === `s${index}`)
    if (known !== undefined) return known
    const joined = { name: `s${index}`, controller: new AbortController(), model: new ModelSignal(), pairs: [] }
    // The first listener of all: so the model knows before anybody acts.
    const { signal } = joined.controller
    const tell = (): void => {
      this.#sync()
      this.#dispatching = joined
      this.#model.abort(joined.model, signal.reason)
    }
    signal.addEventListener('abort', tell, { once: true })
    this.#joined.push(joined)
    return joined
  }

  #value(name: CauseName): unknown {
    switch (name) {
      case 'none':
      case 'undefined':
        return undefined
      case 'null':
        return null
      case 'zero':
        return 0
      case 'text':
        return 'why'
      case 'error':
        return new Error(`#${++this.#errors}`)
    }
  }
}
