/** A world: processes, what is between them, and what is known of every context in it. What must hold is asked after each event. */
import type { ServiceSettings } from '../../lib/bridge/link-service.ts'
import { linkLease } from '../../lib/bridge/link-liveness.ts'
import type { LinkCodec } from '../../lib/bridge/link-types.ts'
import type { Context } from '../../lib/context.ts'
import { createKey } from '../../lib/key.ts'
import { valueCodec } from '../../transports/testing/codec.ts'
import { Timeline } from '../../transports/testing/timeline.ts'
import type { Wire } from '../../transports/testing/wire.ts'
import { byteCodec } from '../../transports/websocket/msgpackr.ts'
import { Random } from '../fuzz/random.ts'
import { Bond, connect, Host, type Use } from './links.ts'
import { Log, must } from './log.ts'
import { Process } from './node.ts'
import type { Plan } from './plan.ts'
import { Workers } from './workers.ts'
import { attackedLimits, helloTimeout, stranger } from './attacks.ts'
import { WholeTime } from './whole-time.ts'
import { justify, type Kind, Rec, type RecOptions } from './records.ts'

const text = { encode: (value: string) => value, decode: (data: unknown) => String(data) }
/** One that crosses, and one that must not. */
export const open = createKey<string>('open', { portable: text })
export const secret = createKey<string>('secret')

/** A call that somebody made. */
export interface Call {
  readonly id: number
  readonly rec: Rec
  readonly use: Use
  readonly behaviour: number
  /** How often the method was started, and what it says. */
  started: number
  outcome: string | undefined
  /** Whether the reader of its stream left before the end. */
  left?: boolean
  settled: boolean
}

/** A handle on its way, in somebody's own message. */
export interface Handle {
  readonly rec: Rec
  readonly bond: Bond
  readonly from: Process<unknown>
  readonly data: unknown
  imports: number
}

const most = 40

export class World {
  readonly plan: Plan
  readonly time: Timeline
  /** In a world with attacks, or without them for comparison: all that those who do not attack can observe. */
  readonly notes: string[] = []
  /** The connections of those who attack. */
  readonly strangers = new Set<Wire<unknown>>()
  readonly log = new Log()
  readonly net: Random
  readonly codec: LinkCodec<unknown>
  readonly hosts: Host[] = []
  readonly recs = new Map<Process<unknown>, Rec[]>()
  readonly uses = new Map<Process<unknown>, Use[]>()
  readonly bonds: Bond[] = []
  readonly calls = new Map<number, Call>()
  readonly handles: Handle[] = []
  /** Methods that wait for somebody to let them end. */
  readonly held = new Map<Process<unknown>, (() => void)[]>()
  readonly workers = new Map<Process<unknown>, Workers>()
  /** What takes listeners back. */
  readonly stops: (() => void)[] = []
  /** Connections that lose what is sent: for good. */
  readonly lossy = new Set<Wire<unknown>>()
  /** How many generators are open. */
  streams = 0
  /** Nothing new comes any more. */
  closing = false
  /** Faults come no more. */
  healed = false
  failure: unknown
  /** Those whose end must have settled what waits for it. */
  #ended: Rec[] = []
  readonly #recent: Rec[] = []
  #ids = 0
  readonly #touched = new Set<Process<unknown>>()
  readonly #methods: (process: Process<unknown>) => object

  constructor(plan: Plan, methods: (world: World, process: Process<unknown>) => object) {
    this.plan = plan
    this.time = plan.attacks === undefined ? new Timeline() : new WholeTime()
    this.net = new Random(plan.seed ^ 0x2545f491)
    this.codec = plan.bytes ? byteCodec() : valueCodec
    this.#methods = (process) => methods(this, process)
    for (let i = 0; i < plan.nodes; i++) this.start(i, 0)
  }

  readonly latency = (): number => this.latencyOf(this.net)

  latencyOf(random: Random): number {
    const [least, more] = this.plan.latency
    return least + (more > 0 ? random.below(more * 1_000) / 1_000 : 0)
  }

  /** Chance of what happens on a link at this instant. Where times are whole it does not depend on what was drawn before, and so not on who was first. */
  chance(bond: Bond): Random {
    if (!this.isWhole) return this.net
    return new Random(this.plan.seed ^ Math.imul(bond.id + 1, 0x9e3779b1) ^ Math.imul(Math.floor(this.time.now * 2), 0x85ebca6b))
  }

  get lease(): number {
    return this.plan.lease
  }

  get isWhole(): boolean {
    return this.plan.attacks !== undefined
  }

  /** Something that one of those who do not attack observes. */
  note(what: () => string): void {
    if (this.isWhole) this.notes.push(`${this.time.now} ${what()}`)
  }

  settings(name: string): ServiceSettings {
    const { maxCalls, maxContexts, window, lease } = this.plan
    const { ping, imports, exports, resume } = linkLease
    return {
      name,
      keys: [open],
      limits: { maxCalls, maxContexts, window, ...(this.isWhole && attackedLimits) },
      ...(this.isWhole && { helloTimeout }),
      lease: { ping: ping * lease, imports: imports * lease, exports: exports * lease, resume: resume * lease },
    }
  }

  /** A process starts, perhaps where another one was. */
  start(index: number, life: number): void {
    const process = new Process<unknown>(
      this.time,
      index,
      life,
      new Random(this.plan.seed ^ Math.imul(index + 1 + 16 * life, 0x9e3779b1)),
      this.plan,
      () => this.codec,
      (ran) => {
        this.#touched.add(ran)
      },
    )
    this.recs.set(process, [this.#root(process)])
    this.uses.set(process, [])
    this.held.set(process, [])
    this.workers.set(process, new Workers(this, process))
    this.hosts[index] = new Host(this, process, this.#methods(process))
  }

  #root(process: Process<unknown>): Rec {
    return new Rec(++this.#ids, this.time.now, process, process.root, 'root', { watching: 'seldom' })
  }

  /** Faults that pass, each with what ends it. */
  readonly #faults = new Set<() => void>()

  /** A fault passes after so many milliseconds; at once when everything heals. */
  later(ms: number, f: () => void): void {
    const once = (): void => {
      if (this.#faults.delete(once)) f()
    }
    this.#faults.add(once)
    this.time.set(this.time.now + ms, once)
  }

  /** All faults are over; connections that lost something break, as they would in the end. */
  heal(): void {
    this.healed = true
    for (const f of [...this.#faults]) f()
    for (const { client } of this.strangers) client.terminate()
    for (const wire of this.lossy) wire.cut()
    for (const { process, state } of this.hosts) {
      process.resume()
      must(state === 'open', 'simulation', () => `n${process.index} is still away`)
    }
  }

  /** A failure of a promise is one of the world. */
  async wrapped(promise: Promise<unknown>): Promise<void> {
    try {
      await promise
    } catch (error) {
      this.failure ??= error
    }
  }

  /** What fails in a listener, or in a method, is a failure of the world. */
  guard(f: () => void): void {
    try {
      f()
    } catch (error) {
      this.failure ??= error
    }
  }

  /** Whether somebody waits for the end of it. */
  isListened(rec: Rec): boolean {
    return this.listened.has(rec)
  }

  readonly listened = new Set<Rec>()

  // --- What is there ---------------------------------------------------------------------------------------------------

  hostOf(process: Process<unknown>): Host {
    return this.hosts[process.index] as Host
  }

  process(n: number): Process<unknown> | undefined {
    const process = this.hosts[n % this.hosts.length]?.process
    return process !== undefined && process.alive && !process.paused ? process : undefined
  }

  rec(process: Process<unknown>, n: number): Rec {
    const recs = this.recs.get(process) as Rec[]
    return recs[n % recs.length] as Rec
  }

  use(process: Process<unknown>, n: number): Use | undefined {
    const uses = this.uses.get(process) as Use[]
    return uses[n % uses.length]
  }

  add(process: Process<unknown>, ctx: Context, kind: Kind, options: RecOptions): Rec {
    const rec = new Rec(++this.#ids, this.time.now, process, ctx, kind, options)
    const recs = this.recs.get(process) as Rec[]
    recs.push(rec)
    if (rec.watching === 'told') {
      ctx.signal.addEventListener('abort', () => {
        rec.wasTold = true
        this.guard(() => this.look(rec))
      })
    }
    this.look(rec)
    if (rec.source !== undefined) {
      rec.source.remotes.push(rec)
      if (rec.source.end !== undefined) this.#expect(rec)
    }
    // Too many cost time and find nothing more: one of the oldest is cancelled.
    if (recs.length > most) {
      const old = recs.find((one) => one.cancel !== undefined && one.canceled === undefined && one !== rec)
      if (old !== undefined) this.cancel(old, undefined)
    }
    return rec
  }

  cancel(rec: Rec, cause: unknown): void {
    if (rec.cancel === undefined) return
    if (rec.end === undefined) rec.canceled ??= { cause }
    rec.cancel(cause)
    this.look(rec)
    must(rec.end !== undefined, 'C8', () => `c${rec.id} is live after its cancel`)
  }

  // --- What must hold --------------------------------------------------------------------------------------------------

  /** Looks at one context: notes its end, and whether that may be. */
  look(rec: Rec): void {
    const error = rec.ctx.err()
    const { end } = rec
    if (end !== undefined) {
      must(error === end.error, 'S3', () => `c${rec.id} has another error than before`)
      return
    }
    const local = rec.process.clock.now()
    if (error === undefined) {
      must(local < rec.due, 'V4', () => `c${rec.id} is live ${local - rec.due} ms after its deadline`)
      return
    }
    rec.end = { at: this.time.now, local, error }
    const why = justify(rec, error, this.log)
    // Who only asks finds a deadline whenever it does.
    if (rec.watching === 'told' || error.name === 'AbortError') this.note(() => `c${rec.id} has ended: ${error.name}, ${why}`)
    else if (this.isWhole) this.notes.push(`c${rec.id} has ended: ${error.name}, ${why}`)
    this.log.add(this.time.now, `ended c${rec.id}`, rec.process.index, why)
    this.#ended.push(rec)
    for (const remote of rec.remotes) if (remote.end === undefined) this.#expect(remote)
  }

  /** V1: over a link to which nothing has happened, an end arrives as fast as messages do. */
  #expect({ id, over, process, kind, source }: Rec): void {
    const rec = this.recs.get(process)?.find((one) => one.id === id)
    if (rec === undefined || over === undefined || over.bond.disturbed > 0) return
    const waits = source !== undefined && this.#waits(over.bond, source.process)
    if (waits) this.log.sometimes('an end while what was said before waits for room')
    // Of a call that runs the peer knows; of a context that only a handle has come of it may not, and then the end comes behind the export.
    if (waits && kind === 'import') return
    const [least, more] = this.plan.latency
    this.time.set(this.time.now + least + more + (this.isWhole ? 2 : 0.01), () => {
      if (over.bond.disturbed > 0) return
      must(rec.end !== undefined || rec.ctx.err() !== undefined, 'V1', () => `c${id} has not heard of the end of its exporter`)
      this.log.sometimes(waits ? 'an end that went past what waits for room' : 'an end that arrived in time')
    })
  }

  /** Whether something waits on one side of a link until what was said before is read. */
  #waits(bond: Bond, process: Process<unknown>): boolean {
    if ((this.sideOf(bond, process)?.connection.stats().queued ?? 0) === 0) return false
    const ends = [...bond.wires].map((wire) => (process === bond.client ? wire.client : wire.server))
    return ends.some(({ channel }) => channel.queued() > this.plan.ahead)
  }

  /** The process on which something has just happened: the first of them. */
  get touched(): Process<unknown> | undefined {
    for (const process of this.#touched) return process
    return undefined
  }

  /** After each event: all that was touched. */
  check(): void {
    for (const rec of this.#ended.splice(0)) {
      // S5: whatever hangs below has ended with it.
      for (const call of this.calls.values()) {
        if (call.rec === rec)
          must(call.settled || !rec.process.alive, 'V1', () => `call ${call.id} goes on though c${rec.id} has ended`)
      }
      if (this.#recent.push(rec) > 32) this.#recent.shift()
    }
    for (const process of this.#touched) if (process.alive) this.#checkProcess(process)
    this.#touched.clear()
    for (const rec of this.#recent) must(rec.ctx.err() === rec.end?.error, 'S3', () => `c${rec.id} has another error than before`)
  }

  #checkProcess(process: Process<unknown>): void {
    const recs = this.recs.get(process) as Rec[]
    let over = 0
    for (const rec of recs) {
      if (rec.watching === 'asks' && rec.end === undefined) this.look(rec)
      if (rec.end !== undefined) over++
      else if (rec.over !== undefined && rec.source?.process !== process) this.#checkSilence(rec)
    }
    if (over > 8 && !this.isWhole) this.#forget(process)
    this.#checkBounds(process)
  }

  /** Those that have ended are of no more use to operations. */
  #forget(process: Process<unknown>): void {
    const recs = this.recs.get(process) as Rec[]
    for (const rec of recs) if (rec.end !== undefined) for (const parent of rec.parents) parent.uses--
    this.recs.set(
      process,
      recs.filter((rec) => rec.end === undefined),
    )
  }

  /** Before an operation, where times are whole: what it meets with must not depend on how often somebody else had it looked at. */
  settle(process: Process<unknown>): void {
    if (!this.isWhole) return
    for (const rec of [...(this.recs.get(process) as Rec[])])
      if (rec.watching !== 'seldom' && rec.end === undefined) this.look(rec)
    this.#forget(process)
  }

  /** V2: what came over a link is live only as long as its exporter was heard. */
  #checkSilence({ over, local, id }: Rec): void {
    // Who slept reads first what has come, and judges then.
    if (over === undefined || this.time.now - over.process.resumed < 5 + this.plan.late) return
    const silence = Math.min(over.silence, over.process.clock.now() - local)
    const most = linkLease.imports * this.lease + 2 * this.plan.late + 5
    must(silence <= most, 'V2', () => `c${id} of bond ${over.bond.id} is live though nothing was heard for ${silence} ms`)
  }

  /** S11: no table is longer than its limit, and timers are few. */
  #checkBounds(process: Process<unknown>): void {
    const { maxCalls, maxContexts } = this.plan
    const uses = this.uses.get(process) as Use[]
    const strangers = this.isWhole
      ? [...this.hostOf(process).links.connections].filter(({ peerName }) => peerName === stranger)
      : []
    for (const { name, connection } of [...uses, ...strangers.map((connection) => ({ name: stranger, connection }))]) {
      const { calls, handlers, waiting, exports, imports } = connection.stats()
      const few = calls <= maxCalls && handlers <= maxCalls && handlers + waiting <= 2 * maxCalls
      const good = few && exports <= maxContexts && imports <= 2 * maxContexts
      must(good, 'S11', () => `${name} has ${calls} calls, ${handlers} handlers, ${exports} exports, ${imports} imports`)
    }
  }

  // --- Links -----------------------------------------------------------------------------------------------------------

  dial(from: Process<unknown>, n: number): void {
    const others = this.hosts.length - 1
    const to = (from.index + 1 + (n % others)) % this.hosts.length
    const there = this.hosts[to]
    if (there === undefined || (this.uses.get(from) as Use[]).length >= 6) return
    const bond = new Bond(this.bonds.length, from, there.process)
    this.bonds.push(bond)
    const joined = connect(
      this,
      from,
      () => (this.hosts[to]?.process === bond.server ? this.hosts[to] : undefined),
      this.#methods(from),
      bond,
    )
    joined.then(
      (use) => {
        this.uses.get(from)?.push(use)
        this.#join(bond)
      },
      () => this.log.sometimes('a dial that failed'),
    )
  }

  /** The other side of a link has it when its greeting has come. */
  #join(bond: Bond): void {
    const use = this.hosts[bond.server.index]?.use(bond)
    if (use !== undefined) this.uses.get(bond.server)?.push(use)
  }

  /** This side of the link of a bond, wherever the other one is. */
  sideOf(bond: Bond, process: Process<unknown>): Use | undefined {
    const known = this.uses.get(process)?.find((use) => use.bond === bond)
    if (known !== undefined || process !== bond.server) return known
    const use = this.hosts[process.index]?.use(bond)
    if (use !== undefined) this.uses.get(process)?.push(use)
    return use
  }

  /** Something is wrong with the links of these bonds from now on, which may end them. */
  disturb(bonds: Iterable<Bond>, excuse: string | undefined): void {
    for (const bond of bonds) {
      bond.disturbed = this.time.now
      if (excuse !== undefined) bond.excuses.add(excuse)
    }
  }

  bondsOf(process: Process<unknown>): Bond[] {
    return this.bonds.filter(({ client, server }) => client === process || server === process)
  }
}
