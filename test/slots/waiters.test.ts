import { MessageChannel } from 'node:worker_threads'
import { afterFunc, background } from 'ctxbridge'
import { expect, onTestFinished, test, vi } from 'vitest'
import { bellAt, CAUSE_BYTES } from '../../lib/bridge/slot-memory.ts'
import { SlotTable } from '../../lib/bridge/slot-table.ts'
import type { Slot } from '../../lib/bridge/slot.ts'
import { SlotView } from '../../lib/bridge/slot-view.ts'
import type { CancelableContext } from '../../lib/context.ts'
import { LinkLostError } from '../../lib/errors.ts'
import type { WireCause } from '../../lib/wire/cause.ts'
import { encodeCauseBytes } from '../../lib/wire/cause-bytes.ts'
import { describeCause } from '../../lib/wire/cause-describe.ts'
import { Importer } from '../../transports/worker/importer.ts'
import { CAUSE, type ChannelMessage } from '../../transports/worker/messages.ts'
import { Port } from '../../transports/worker/port.ts'
import { turn } from '../support/gc.ts'

interface Imported {
  readonly importer: Importer
  /** Of an export of the other side, which is in this thread, too. */
  readonly import: (slot?: Slot) => CancelableContext
  readonly open: () => Slot | undefined
  readonly waiters: () => number
  readonly close: () => void
}

/** A link, as the other side of it has it. `post`: what the exporter says on its channel. */
function linked(link: number): Imported & { readonly post: (message: ChannelMessage) => void } {
  const table = new SlotTable({ id: 9, onGrow: (number, chunk) => void importer.reader.attach(number, chunk) })
  const chunks = table.chunks()
  const bells = new Int32Array(chunks[0] ?? new SharedArrayBuffer(0))
  const { port1, port2 } = new MessageChannel()
  const importer = new Importer({ table: 9, link, chunks, port: port2 as unknown as MessagePort }, () => undefined)
  const open = (): Slot | undefined => table.open(link)
  return {
    importer,
    open,
    post: (message) => port1.postMessage(message),
    import(slot = open()) {
      const parsed = {
        table: 9,
        link,
        ...slot?.grant(),
        at: Infinity,
      }
      return importer.import(parsed, background(), undefined)
    },
    waiters: () => Atomics.notify(bells, bellAt(link)),
    close() {
      importer.close(new LinkLostError('closed'))
      port1.close()
    },
  }
}

/** Until what was notified has been heard. */
async function turns(): Promise<void> {
  for (let i = 0; i < 20; i++) await turn()
}

test('a link has one waiter for its bell while something is imported, and takes it along when it closes', () => {
  const [open, closed] = [linked(4), linked(5)]
  for (const it of [open, closed, open, closed]) it.import()
  closed.importer.close(new LinkLostError('closed'))
  expect([open.importer.size, open.waiters()]).toEqual([2, 1])
  expect([closed.importer.size, closed.waiters()]).toEqual([0, 0])
  open.importer.close(new LinkLostError('closed'))
  for (const { close } of [open, closed]) close()
})

test('an import that has ended is given back by who hears the bell, though a loop has found its end before, and though nobody looks', async () => {
  for (const looks of [true, false]) {
    const it = linked(6)
    const slot = it.open()
    const ctx = it.import(slot)
    slot?.endWithText('canceled', 'enough')
    if (looks) expect(ctx.err()?.cause).toBe('enough')
    expect([it.importer.reader.stats().views, slot?.returned]).toEqual([1, false])
    await turns()
    expect([it.importer.reader.stats().views, slot?.returned]).toEqual([0, true])
    expect(ctx.err()?.cause).toBe('enough')
    it.close()
  }
})

test('an end is not missed that comes before the import listens, while it begins to, or before the handle', async () => {
  for (const when of ['before the handle is taken', 'before the bell is loaded', 'after it is loaded']) {
    const it = linked(7)
    const slot = it.open()
    const { reader } = it.importer
    const accept = reader.accept.bind(reader)
    const bell = reader.bell.bind(reader)
    reader.accept = (handle) => {
      if (when === 'before the handle is taken') slot?.end('canceled')
      return accept(handle)
    }
    reader.bell = () => {
      if (when === 'before the bell is loaded') slot?.end('canceled')
      const seen = bell()
      if (when === 'after it is loaded') slot?.end('canceled')
      return seen
    }
    const ctx = it.import(slot)
    await turns()
    expect([when, reader.stats().views, slot?.returned]).toEqual([when, 0, true])
    expect(ctx.err()?.name).toBe('AbortError')
    it.close()
  }
})

test('where the event loop alone takes messages, who waits is told with all of a long cause, whatever is heard first: its message or the bell', async () => {
  const whole = describeCause(new Error('x'.repeat(500)))
  const { bytes, shortened } = encodeCauseBytes(whole, CAUSE_BYTES)
  vi.spyOn(Port, 'takes', 'get').mockReturnValue(false)
  vi.spyOn(Port.prototype, 'take').mockReturnValue(undefined)
  onTestFinished(() => void vi.restoreAllMocks())
  for (const [first, said, length] of [
    ['the message', whole, 500],
    ['the bell', whole, 500],
    ['the bell', ['no cause'] as unknown as WireCause, bytes.length],
  ] as const) {
    const it = linked(8)
    const slot = it.open() as Slot
    const ctx = it.import(slot)
    let told: number | undefined
    void ctx.done.then((error) => (told = (error.cause as Error).message.length))
    const message = [CAUSE, slot.number, slot.generation, said] as const
    if (first === 'the message') it.post(message)
    await turns()
    slot.end('canceled', bytes, shortened)
    await turns()
    if (first === 'the bell') {
      expect(told).toBe(undefined)
      it.post(message)
      await turns()
    }
    expect(told).toBeLessThanOrEqual(length)
    if (length === 500) expect(told).toBe(500)
    expect(slot.returned).toBe(true)
    it.close()
  }
})

test('an import whose slot was taken back is given back by the look that finds it: nothing may ever tell of it', () => {
  const it = linked(10)
  const slot = it.open()
  const ctx = it.import(slot)
  expect([ctx.err(), it.importer.reader.stats().views]).toEqual([undefined, 1])
  slot?.free()
  expect(ctx.err()?.cause).toBeInstanceOf(LinkLostError)
  expect(it.importer.reader.stats().views).toBe(0)
  it.close()
})

test('of ten thousand imports that are observed, the end of one looks at that one alone', async () => {
  const it = linked(9)
  const slots = Array.from({ length: 10_000 }, () => it.open() as Slot)
  let told: unknown[] = []
  for (const [i, slot] of slots.entries()) afterFunc(it.import(slot), () => told.push(i))
  await turns()
  expect(it.importer.observed).toBe(10_000)
  const looks = vi.spyOn(SlotView.prototype, 'isOpen')
  onTestFinished(() => looks.mockRestore())
  for (const ended of [7_000, 3, 9_999]) {
    looks.mockClear()
    told = []
    slots[ended]?.end('canceled')
    await turns()
    expect(told).toEqual([ended])
    expect(new Set(looks.mock.contexts.map((view) => (view as SlotView).slot))).toEqual(new Set([slots[ended]?.number]))
    expect(looks.mock.calls.length).toBeLessThan(10)
  }
  it.close()
})
