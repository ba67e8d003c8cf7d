/** Worker threads of a machine: contexts lent by slots in shared memory, handles that are on their way, and threads that end at any moment. */
import { listen } from '../../lib/boundary.ts'
import { sharedMemory, type SlotMem } from '../../lib/bridge/slot-memory.ts'
import { SlotReader } from '../../lib/bridge/slot-reader.ts'
import { SlotTable } from '../../lib/bridge/slot-table.ts'
import type { SlotView } from '../../lib/bridge/slot-view.ts'
import type { Slot, SlotHandle } from '../../lib/bridge/slot.ts'
import { kindOf } from '../../lib/errors.ts'
import { must } from './log.ts'
import type { Process } from './node.ts'
import { type Rec, shown } from './records.ts'
import type { World } from './world.ts'

interface Lent {
  readonly rec: Rec
  readonly slot: Slot
  readonly cause: () => string
  stop: () => boolean
}

interface Import {
  readonly lent: Lent
  readonly view: SlotView
}

const encoder = new TextEncoder()
const decoder = new TextDecoder()
/** What a slot holds of a cause is short. */
const most = 60

/** A thread was terminated between two of its accesses to shared memory. What it was about to do is never done. */
class Terminated extends Error {}

/** Memory as a thread sees it, which asks before each access. */
function asked(mem: SlotMem, ask: () => void): SlotMem {
  const after = <A extends unknown[], R>(f: (...args: A) => R) => {
    return (...args: A): R => {
      ask()
      return f(...args)
    }
  }
  return {
    load: after((at: number) => mem.load(at)),
    glance: after((at: number) => mem.glance(at)),
    store: after((at: number, value: number) => mem.store(at, value)),
    compareExchange: after((at: number, expected: number, value: number) => mem.compareExchange(at, expected, value)),
    add: after((at: number, value: number) => mem.add(at, value)),
    notify: after((at: number) => mem.notify(at)),
    wait: () => undefined,
    waitAsync: () => false,
  }
}

class Worker {
  readonly link: number
  readonly reader: SlotReader
  readonly imports: Import[] = []
  alive = true
  /** Whether the owner knows that it is gone. */
  swept = false
  /** After how many accesses it is terminated. */
  fuse = Infinity
  /** After how many milliseconds its owner is told. */
  delay = 0

  constructor(table: SlotTable, link: number) {
    this.link = link
    const ask = (): void => {
      if (--this.fuse < 0) throw new Terminated()
    }
    this.reader = new SlotReader({
      link,
      memory: { allocate: sharedMemory.allocate, view: (buffer) => asked(sharedMemory.view(buffer), ask) },
    })
    for (const [chunk, buffer] of table.chunks().entries()) this.attach(chunk, buffer)
  }

  attach(chunk: number, buffer: SharedArrayBuffer): void {
    must(this.reader.attach(chunk, buffer) === undefined, 'slots', () => `chunk ${chunk} was refused`)
  }
}

/** The table of one process and its threads. */
export class Workers {
  readonly table: SlotTable
  readonly #world: World
  readonly #process: Process<unknown>
  readonly #workers: Worker[] = []
  readonly #lent = new Set<Lent>()
  #links = 0

  constructor(world: World, process: Process<unknown>) {
    this.#world = world
    this.#process = process
    this.table = new SlotTable({
      limit: 192,
      onGrow: (chunk, buffer) => {
        world.log.sometimes('a table that grew')
        for (const worker of this.#workers) this.#run(worker, 'an attach', () => worker.attach(chunk, buffer))
      },
    })
    for (let i = 0; i < 2; i++) this.#workers.push(new Worker(this.table, this.#links++))
  }

  /** Lends a context to a thread: one slot, and a few handles. */
  lend(rec: Rec, n: number): void {
    const worker = this.#workers[n % 2] as Worker
    if (rec.ctx.err() !== undefined || worker.swept) return
    const slot = this.table.open(worker.link)
    if (slot === undefined) {
      this.#world.log.sometimes('a table that was full')
      return
    }
    if (slot.generation > 1) this.#world.log.sometimes('a slot that was used again')
    const lent: Lent = { rec, slot, cause: () => shown(rec.ctx.err()?.cause).slice(0, most), stop: () => true }
    this.#lent.add(lent)
    for (let i = 0; i <= (n >>> 4) % 3; i++) this.#send(worker, lent, slot.grant() as SlotHandle)
    lent.stop = listen(rec.ctx, () => {
      const kind = kindOf(rec.ctx.err()) ?? 'canceled'
      // Both ways of telling it: as a text, and as bytes.
      if (n % 3 === 0 || !slot.endWithText(kind, lent.cause())) slot.end(kind, encoder.encode(lent.cause()))
      this.#lent.delete(lent)
    })
  }

  #send(worker: Worker, lent: Lent, handle: SlotHandle): void {
    const { time, latency } = this.#world
    time.set(time.now + latency(), () => {
      if (!this.#process.alive) return
      this.#run(worker, 'an import', () => this.#receive(worker, lent, handle))
    })
  }

  #receive(worker: Worker, lent: Lent, handle: SlotHandle): void {
    const view = worker.reader.accept(handle)
    if (typeof view === 'string') {
      must(worker.swept, 'slots', () => `a handle that was sent once is refused as ${view}`)
      return
    }
    worker.imports.push({ lent, view })
    this.#look(worker, worker.imports.at(-1) as Import)
  }

  #look(worker: Worker, { lent, view }: Import): boolean {
    const { rec } = lent
    // Asked first: a deadline may have passed of which no timer has told yet.
    const error = rec.ctx.err()
    const end = view.read()
    if (end === 'open') {
      must(error === undefined, 'V1', () => `c${rec.id} has ended, and its slot is open`)
      return true
    }
    if (typeof end === 'string') {
      must(worker.swept && end === 'stale', 'slots', () => `the slot of c${rec.id} is ${end}`)
      return false
    }
    must(error !== undefined, 'S1', () => `the slot of c${rec.id} has ended, and it is live`)
    must(end.kind === kindOf(error), 'S6', () => `the slot of c${rec.id} ended as ${end.kind}`)
    const cause = typeof end.cause === 'object' ? decoder.decode(end.cause.bytes) : end.cause
    must(cause === lent.cause(), 'S4', () => `the cause of c${rec.id} is ${cause} over there`)
    return false
  }

  /** A thread looks at what it has, and gives some of it back. */
  scan(n: number): void {
    const worker = this.#workers[n % 2] as Worker
    this.#run(worker, 'a look or a release', () => this.#scan(worker, n))
  }

  #scan(worker: Worker, n: number): void {
    const kept = worker.imports.filter((one, i) => {
      const open = this.#look(worker, one)
      if (open && (n >>> (i % 16)) % 3 !== 0) return true
      one.view.release()
      return false
    })
    worker.imports.splice(0, Infinity, ...kept)
  }

  /** The owner takes back what nobody imports any more. */
  reclaim(): void {
    for (const slot of this.table.reclaim()) {
      for (const lent of this.#lent) {
        if (lent.slot !== slot) continue
        lent.stop()
        this.#lent.delete(lent)
        this.#world.log.sometimes('a slot that was given back while its context lived')
      }
    }
  }

  /** Something happens on a thread, which may end in the middle of it. */
  #run(worker: Worker, what: string, f: () => void): void {
    if (!worker.alive) return
    try {
      f()
    } catch (error) {
      if (!(error instanceof Terminated)) throw error
      this.#world.log.sometimes(`a thread that ended in the middle of ${what}`)
      this.#ended(worker)
    }
  }

  /** A thread is terminated: at once, or before one of its next accesses. Its owner is told a while later. */
  terminate(n: number, ms: number, accesses: number | undefined): void {
    const worker = this.#workers[n % 2] as Worker
    worker.delay = ms
    if (accesses !== undefined) worker.fuse = accesses
    else if (worker.alive) this.#ended(worker)
  }

  #ended(worker: Worker): void {
    const index = this.#workers.indexOf(worker)
    if (worker.imports.length > 0) this.#world.log.sometimes('a thread that ended with imports')
    worker.alive = false
    const { time } = this.#world
    time.set(time.now + worker.delay, () => {
      if (!this.#process.alive) return
      this.#sweep(worker)
      this.#workers[index] = new Worker(this.table, this.#links++)
    })
  }

  #sweep(worker: Worker): void {
    worker.swept = true
    const open = new Set(this.table.sweep(worker.link))
    for (const lent of this.#lent) {
      if (!open.has(lent.slot)) continue
      lent.stop()
      this.#lent.delete(lent)
    }
  }

  /** V5: when all is given back, no slot is in use. */
  close(): void {
    for (const worker of this.#workers) {
      worker.fuse = Infinity
      if (!worker.alive) this.#sweep(worker)
      for (const one of worker.imports.splice(0)) {
        this.#look(worker, one)
        one.view.release()
      }
    }
    this.reclaim()
    const { inUse } = this.table.stats()
    must(inUse === 0, 'V5', () => `n${this.#process.index} has ${inUse} slots in use`)
    for (const worker of this.#workers) {
      const { views } = worker.reader.stats()
      must(views === 0 || worker.swept, 'V5', () => `a thread of n${this.#process.index} has ${views} views`)
    }
  }
}
