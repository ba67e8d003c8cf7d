/**
 * An owner and a reader of slots for `explore`: they do as they are told, and assert what `interleavings.test.ts` lists as S1 to S7
 * at each step, by ghosts.
 */

import assert from 'node:assert/strict'
import type { SlotBytes } from '../../lib/bridge/slot-memory.ts'
import { SlotReader } from '../../lib/bridge/slot-reader.ts'
import type { SlotEnd, SlotView } from '../../lib/bridge/slot-view.ts'
import { SlotTable } from '../../lib/bridge/slot-table.ts'
import type { Slot, SlotHandle } from '../../lib/bridge/slot.ts'
import { explore } from './explore.ts'
import type { Env } from './explore.ts'

/** What is true, by context: contexts are numbered from 1. */
interface Ghosts {
  /** Contexts whose `end` has begun, and those whose `end` has returned. */
  ending: number[]
  ended: number[]
  /** How many handles were sent, and how many of their imports are over. */
  sent: number[]
  over: number[]
  /** The context that the one slot is open for. */
  inSlot: number
  swept: boolean
  /** Contexts whose ends were given up. */
  givenUp: number[]
}

type SlotEnv = Env<Ghosts>
export type Sent = readonly [context: number, handle: SlotHandle | undefined]

export const LINK = 1
export const isSent = (message: unknown): message is Sent => Array.isArray(message)
const causeOf = (context: number): Uint8Array => new Uint8Array(5).fill(16 + context)
const kindOf = (context: number): 'canceled' | 'deadline' => (context === 2 ? 'deadline' : 'canceled')

/** What some interleaving of the present test came to: shows that the search got to where it matters. */
export const saw = new Set<string>()

/** Explores completely, with a table in which a single slot is free. */
export function search(
  owner: (owner: Owner, env: SlotEnv) => void,
  reader: (reader: Reader, env: SlotEnv) => void,
  mortal = false,
): void {
  saw.clear()
  explore<Ghosts>(
    {
      owner: { run: (env) => owner(new Owner(env), env) },
      reader: { run: (env) => reader(new Reader(env), env), mourner: mortal ? 'owner' : undefined },
    },
    { ending: [], ended: [], sent: [0, 0, 0, 0], over: [0, 0, 0, 0], inSlot: 0, swept: false, givenUp: [] },
  )
}

export class Owner {
  readonly env: SlotEnv
  readonly table: SlotTable

  constructor(env: SlotEnv) {
    this.env = env
    this.table = env.atomically(() => {
      const table = new SlotTable({ memory: env.memory, limit: 64 })
      for (let i = 0; i < 63; i++) table.open(99)
      return table
    })
    env.send('reader', this.table.chunks()[0])
  }

  tryOpen(context: number, link = LINK): Slot | undefined {
    const slot = this.table.open(link)
    if (slot === undefined) return undefined
    this.env.ghost((g) => {
      if (g.inSlot > 0) saw.add('reused')
      if (!g.swept && !g.givenUp.includes(g.inSlot))
        assert.equal(g.over[g.inSlot], g.sent[g.inSlot], 'S4: reused under a holder, or under a handle on its way')
      g.inSlot = context
    })
    return slot
  }

  open(context: number, link = LINK): Slot {
    const slot = this.tryOpen(context, link)
    assert(slot !== undefined, 'S7: the slot should be free')
    return slot
  }

  send(context: number, ...handles: readonly (SlotHandle | undefined)[]): void {
    for (const handle of handles) {
      assert(handle !== undefined, 'not granted')
      this.env.ghost((g) => {
        g.sent[context] = (g.sent[context] ?? 0) + 1
      })
      this.env.send('reader', [context, handle] satisfies Sent)
    }
  }

  end(context: number, slot: Slot): void {
    this.env.ghost((g) => g.ending.push(context))
    slot.end(kindOf(context), causeOf(context))
    this.env.ghost((g) => g.ended.push(context))
  }

  /** Whether nobody has it imported. */
  giveUp(context: number, slot: Slot): boolean {
    // Whoever is refused must know that it may be: so that comes first, and is taken back where it has failed.
    this.env.ghost((g) => g.givenUp.push(context))
    const done = slot.giveUp()
    if (!done) this.env.ghost((g) => g.givenUp.splice(g.givenUp.indexOf(context), 1))
    return done
  }

  /** The next context, if its slot is free by now, from beginning to end. */
  next(context: number): void {
    const slot = this.tryOpen(context)
    if (slot === undefined) return
    this.send(context, slot.grant())
    this.end(context, slot)
  }

  sweep(link: number): void {
    this.env.ghost((g) => {
      g.swept = true
    })
    this.table.sweep(link)
  }

  /** Waits for the reader's end; then (S7) the one slot is free. */
  finish(): void {
    this.env.send('reader', 'no more')
    assert.equal(this.env.receive(), 'finished')
    this.empty()
  }

  empty(): void {
    this.env.atomically(() => assert.equal(this.table.stats().inUse, 63, 'S7: a slot is not given back'))
  }
}

export class Reader {
  readonly env: SlotEnv
  readonly reader: SlotReader
  readonly buffer: SharedArrayBuffer

  constructor(env: SlotEnv, buffer?: SharedArrayBuffer, link = LINK) {
    this.env = env
    this.reader = new SlotReader({ link, memory: env.memory })
    this.buffer = buffer ?? (env.receive() as SharedArrayBuffer)
    env.atomically(() => assert.equal(this.reader.attach(0, this.buffer), undefined))
  }

  /** Undefined only where the slot was swept. */
  accept([context, handle]: Sent): SlotView | undefined {
    const view = this.reader.accept(handle)
    if (typeof view !== 'string') {
      this.env.ghost((g) => assert(g.swept || g.inSlot === context, 'S1: a handle of another context'))
      return view
    }
    saw.add(view)
    assert(view === 'spent' || view === 'stale', `the words of a slot are taken for ${view}`)
    this.env.ghost((g) => assert(g.swept || g.givenUp.includes(context), `S4: a handle that was sent once is refused as ${view}`))
    return undefined
  }

  /** Looks at it once, in both ways. Undefined: it is open, or was swept. */
  look(context: number, view: SlotView | undefined): SlotEnd | undefined {
    if (view === undefined) return undefined
    const open = view.isOpen()
    this.env.ghost((g) => assert(!open || !g.ended.includes(context), 'open, after its end was published'))
    const end = view.read()
    if (end === 'open') {
      assert(open, 'S3: an end was taken back')
      return undefined
    }
    if (end === 'stale') {
      saw.add('gone')
      this.env.ghost((g) => assert(g.swept, 'S4: the slot was lost while it was held'))
      return undefined
    }
    assert(end !== 'corrupt', 'S2: no cause at all')
    this.env.ghost((g) => assert(g.ending.includes(context), 'S1: an end that was none'))
    assert.equal(end.kind, kindOf(context), 'S1: the kind')
    assert.equal(String((end.cause as SlotBytes | undefined)?.bytes), String(causeOf(context)), 'S2: the cause')
    const again = view.read()
    if (again === 'stale') this.env.ghost((g) => assert(g.swept, 'S3: an end was taken back'))
    else assert.deepEqual(again, end, 'S3')
    return end
  }

  release(context: number, view: SlotView | undefined): void {
    if (view === undefined) return
    this.env.ghost((g) => {
      g.over[context] = (g.over[context] ?? 0) + 1
    })
    view.release()
  }

  /** Imports, looks, releases, one handle after the other. */
  jobs(): void {
    for (let message = this.env.receive(); isSent(message); message = this.env.receive()) {
      const view = this.accept(message)
      this.look(message[0], view)
      this.release(message[0], view)
    }
    this.finish()
  }

  finish(): void {
    assert.equal(this.reader.stats().views, 0, 'S7: a view is not given back')
    this.env.send('owner', 'finished')
  }
}
