import { MessageChannel } from 'node:worker_threads'
import { background, type Context, withTimeout } from 'ctxbridge'
import { link } from 'ctxbridge/worker'
import fc from 'fast-check'
import { expect, onTestFinished, test } from 'vitest'
import { LinkLostError } from '../../lib/errors.ts'
import { PeerClock, sentNow, toPeers } from '../../transports/worker/clock.ts'
import { flatten, type ParsedHandle, parseSent } from '../../transports/worker/handle.ts'
import { Importer } from '../../transports/worker/importer.ts'

test('an instant that goes to the clock of all threads and comes back is later, by less than a millisecond', () => {
  for (const at of [0, 1, performance.now(), 1e6, 1e9]) {
    const later = new PeerClock().fromPeer(toPeers(at)) - at
    expect(later).toBeGreaterThan(1e-4)
    expect(later).toBeLessThan(1)
  }
})

test('where all threads share a clock nobody says when something was sent, and who says so is not heeded', () => {
  const { port1, port2 } = new MessageChannel()
  const attached = new Promise((resolve) => port2.on('message', resolve))
  onTestFinished(() => port1.close())
  expect(link(port1).export(withTimeout(background(), 60_000))).not.toHaveProperty('sent')
  const clock = new PeerClock()
  const before = clock.fromPeer(1e6)
  clock.heard(1e9)
  expect(clock.fromPeer(1e6)).toBe(before)
  expect(sentNow()).toBeUndefined()
  return expect(attached).resolves.not.toHaveProperty('now')
})

/** What a browser may round by, in ms. */
const grain = 1
/** The most that four readings are off by together, which a deadline is later for. */
const rounding = 4 * grain

/** Threads, each with a clock of its own that began at another instant of one time. */
class Time {
  now = 0
  clock(began: number): { now(): number } {
    return { now: () => this.now - began }
  }
}

test.each([
  ['after', 60_000],
  ['before', -60_000],
])('a deadline is the same instant in a thread whose clock began %s that of the other one', (_when, began) => {
  const time = new Time()
  const here = new PeerClock(time.clock(began))
  const sent = time.clock(0).now()
  time.now += 3
  here.heard(sent)
  expect(here.fromPeer(500) + began).toBe(500 + 3 + rounding)
})

test('a deadline is late by the quickest message, whether that was the first one or a later one', () => {
  const time = new Time()
  const there = time.clock(7)
  const here = new PeerClock(time.clock(0))
  const lateness: number[] = []
  for (const transit of [200, 40, 2, 90]) {
    const sent = there.now()
    time.now += transit
    here.heard(sent)
    lateness.push(here.fromPeer(0) - 7 - rounding)
  }
  expect(lateness).toEqual([200, 40, 2, 2])
})

test('a deadline is never early, however coarse both clocks are, and late by no more than the quickest message and what they round', () => {
  const off = fc.double({ min: -grain, max: grain, noNaN: true })
  const message = fc.record({
    after: fc.double({ min: 0, max: 50, noNaN: true }),
    transit: fc.double({ min: 0, max: 50, noNaN: true }),
    off: fc.tuple(off, off),
  })
  const began = fc.double({ min: -1e9, max: 1e9, noNaN: true })
  fc.assert(
    fc.property(began, began, fc.array(message, { minLength: 1, maxLength: 8 }), (mine, theirs, messages) => {
      const time = new Time()
      const [own, other] = [time.clock(mine), time.clock(theirs)]
      let read = 0
      const here = new PeerClock({ now: () => own.now() + read })
      for (const { after, transit, off } of messages) {
        time.now += after
        const sent = other.now() + off[0]
        time.now += transit
        read = off[1]
        here.heard(sent)
      }
      // The earliest that it may pass here, and the latest that it may over there; what a float64 loses beside that is no more than a microsecond.
      const [first, last] = [here.fromPeer(1_000) + mine - grain, 1_000 + theirs + grain]
      expect(first - last).toBeGreaterThan(-1e-3)
      expect(first - last).toBeLessThan(Math.min(...messages.map(({ transit }) => transit)) + rounding + 1e-3)
    }),
  )
})

test('what is no instant tells nothing of a clock; and where nothing does, no deadline can be told', () => {
  const forged: unknown[] = [undefined, null, NaN, Infinity, -Infinity, '5', 5n, {}, [5], { valueOf: () => 5 }]
  const clock = new PeerClock({ now: () => 10 })
  for (const sent of forged) clock.heard(sent)
  for (const at of [0, -1e308, 1e308, -Infinity, Infinity]) expect(clock.fromPeer(at)).toBe(Infinity)
  clock.heard(5)
  for (const sent of forged) clock.heard(sent)
  expect(clock.fromPeer(0)).toBe(5 + rounding)
})

test('an instant that was not, or is not yet, makes a deadline no less than a number', () => {
  for (const sent of [Number.MAX_VALUE, -Number.MAX_VALUE, 5e-324]) {
    const clock = new PeerClock({ now: () => 10 })
    clock.heard(sent)
    for (const at of [0, -Number.MAX_VALUE, Number.MAX_VALUE, -Infinity, Infinity]) expect(clock.fromPeer(at)).not.toBeNaN()
  }
})

/** What a thread without a shared clock imports: `now` is what the attach says, and its own clock stands at 1,000. */
function importing(now?: number): (handle: Partial<ParsedHandle>) => Context {
  const { port1, port2 } = new MessageChannel()
  const attach = { table: 9, link: 1, chunks: [], port: port2 as unknown as MessagePort, ...(now === undefined ? {} : { now }) }
  const importer = new Importer(attach, () => undefined, undefined, new PeerClock({ now: () => 1_000 }))
  onTestFinished(() => {
    importer.close(new LinkLostError('over'))
    port1.close()
  })
  return (handle) => importer.import({ table: 9, link: 1, slot: -2, generation: 0, grant: 1, ...handle }, background(), undefined)
}

/** The deadline by the importing thread's clock; it is far from now. */
function due(ctx: Context): number | undefined {
  return ctx.deadline === undefined ? undefined : Math.round(ctx.remaining() + performance.now())
}

test('a handle is read by when it was sent, or by when the attach was, whichever was quicker', () => {
  const at = 1e6
  expect(due(importing()({ at, sent: 300 }))).toBe(at + 700 + rounding)
  expect(due(importing(900)({ at }))).toBe(at + 100 + rounding)
  expect(due(importing(900)({ at, sent: 300 }))).toBe(at + 100 + rounding)
  expect(due(importing(300)({ at, sent: 900 }))).toBe(at + 100 + rounding)
})

test("of a handle that does not say when it was sent only its owner's end is heeded, until something says it", () => {
  const imported = importing()
  for (const sent of [undefined, 'x', NaN]) expect(due(imported({ at: 0, sent }))).toBeUndefined()
  expect(due(imported({ at: 1e6, sent: 900 }))).toBe(1e6 + 100 + rounding)
  expect(due(imported({ at: 1e6 }))).toBe(1e6 + 100 + rounding)
})

test('a handle that is shortened for a call says no less of its time', () => {
  const handle = { ctxbridge: 1, table: 9, link: 1, slot: 5, generation: 3, grant: 2 }
  for (const time of [{}, { at: 7 }, { at: 7, sent: 6 }]) {
    const short = flatten({ ...handle, ...time })
    expect(short).toHaveLength(5 + Object.keys(time).length)
    expect(parseSent(short, 'import')).toMatchObject(time)
    expect(parseSent({ ...handle, ...time }, 'import')).toMatchObject(time)
    expect(parseSent({ ...handle, ...time, why: 'x' }, 'import')).toMatchObject(time)
  }
})

test('a handle that is refused tells nothing of its clock', () => {
  const imported = importing(900)
  expect(imported({ at: 0, sent: 1e9, slot: 0, generation: 1 }).err()).toBeDefined()
  expect(due(imported({ at: 1e6 }))).toBe(1e6 + 100 + rounding)
})
