import { MessageChannel } from 'node:worker_threads'
import { expect, onTestFinished, test, vi } from 'vitest'
import { background, withCancel } from '../../lib/context.ts'
import { DATA, type WireCause } from '../../lib/wire/cause.ts'
import { KEPT_FOR, LateCauses, type LateEnd, LateEnds, MAX_KEPT } from '../../transports/worker/late.ts'
import { link } from '../../transports/worker/link.ts'
import { arrived, collected } from '../support/gc.ts'

const { add: added } = LateEnds.prototype

const text = (length: number): WireCause => [DATA, 'x'.repeat(length)]

/** An end, as the test says that it is. */
class End implements LateEnd {
  isBack = false
  isClaimed: boolean
  gone = false

  constructor(isClaimed = false) {
    this.isClaimed = isClaimed
  }

  giveUp(): boolean {
    return !this.isClaimed
  }

  drop(): void {
    this.gone = true
  }
}

const many = (count: number, isClaimed = false): End[] => Array.from({ length: count }, () => new End(isClaimed))
const gone = (ends: readonly End[]): number => ends.filter((end) => end.gone).length

test('ends that somebody has take the place of none that nobody has yet', () => {
  const ends = new LateEnds()
  const [claimed, unclaimed, more] = [many(MAX_KEPT + 100, true), many(MAX_KEPT), many(10)]
  for (const end of [...claimed, ...unclaimed]) ends.add(end)
  ends.expire()
  expect([gone(claimed), gone(unclaimed)]).toEqual([0, 0])
  for (const end of more) ends.add(end)
  ends.expire()
  expect([gone(claimed), gone(unclaimed.slice(0, 10)), gone(unclaimed), gone(more)]).toEqual([0, 10, 10, 0])
})

test('what somebody had is kept as long as all others, from its end on, or until it is back', () => {
  const now = vi.spyOn(performance, 'now').mockReturnValue(1_000)
  onTestFinished(() => now.mockRestore())
  const ends = new LateEnds()
  const [back, open, late] = many(3, true) as [End, End, End]
  for (const end of [back, open, late]) ends.add(end)
  back.isBack = true
  late.isClaimed = false
  ends.expire()
  expect([back, open, late].map((end) => end.gone)).toEqual([true, false, false])
  now.mockReturnValue(1_000 + KEPT_FOR)
  ends.expire()
  expect([back, open, late].map((end) => end.gone)).toEqual([true, false, true])
  open.isClaimed = false
  ends.expire()
  expect(open.gone).toBe(true)
})

test('what is back takes the place of none that has not come, wherever it stands; nobody asks', () => {
  const ends = new LateEnds()
  const [first, rest, last] = [many(2), many(100_000), many(2)]
  for (const end of first) ends.add(end)
  for (const end of rest) {
    ends.add(end)
    end.isBack = true
  }
  for (const end of last) ends.add(end)
  expect([gone(first), gone(last)]).toEqual([0, 0])
  expect(gone(rest)).toBeGreaterThan(100_000 - 2 * MAX_KEPT)
})

test('what somebody had, and of which another handle never comes, does not pile up; nobody asks', () => {
  const ends = new LateEnds()
  const all = many(100_000, true)
  for (const end of all) {
    ends.add(end)
    end.isClaimed = false
  }
  expect(gone(all)).toBeGreaterThan(100_000 - 2 * MAX_KEPT)
  expect(gone(all.slice(-MAX_KEPT))).toBe(0)
})

test('where there is not enough room, only what is too old is let go of', () => {
  const now = vi.spyOn(performance, 'now').mockReturnValue(1_000)
  onTestFinished(() => now.mockRestore())
  const ends = new LateEnds()
  const [old, young] = [new End(), new End()]
  ends.add(old)
  now.mockReturnValue(2_000)
  ends.add(young)
  ends.expireOld()
  expect([old.gone, young.gone]).toEqual([false, false])
  now.mockReturnValue(1_000 + KEPT_FOR)
  ends.expireOld()
  expect([old.gone, young.gone]).toEqual([true, false])
})

test('what is over is looked at no more', () => {
  const ends = new LateEnds()
  const all = [new End(true), new End(false)]
  for (const end of all) ends.add(end)
  for (const end of all) ends.delete(end)
  for (const end of all) end.isBack = true
  ends.expire()
  expect(gone(all)).toBe(0)
})

test('an export that has ended and is given back is kept by nothing once its slot is free', async () => {
  const { port1, port2 } = new MessageChannel()
  const [near, far] = [link(port1), link(port2)]
  const refs: WeakRef<LateEnd>[] = []
  const add = vi.spyOn(LateEnds.prototype, 'add').mockImplementation(function (this: LateEnds, end) {
    refs.push(new WeakRef(end))
    added.call(this, end)
  })
  onTestFinished(() => {
    add.mockRestore()
    port1.close()
  })
  const some = (): void => {
    const contexts = Array.from({ length: 100 }, () => withCancel(background()))
    for (const theirs of contexts.map((ctx) => far.import(near.export(ctx)))) void theirs.done
    for (const ctx of contexts) ctx.cancel()
  }
  near.export(background())
  await arrived()
  some()
  expect(refs).toHaveLength(100)
  await arrived()
  // What comes after them takes their slots, two looks for each.
  for (let i = 0; i < 200; i++) far.import(near.export(withCancel(background()))).cancel()
  add.mockClear()
  expect(await collected(...refs)).toBe(true)
})

test('of causes that nobody has asked for, so many are kept, and they are the last ones', () => {
  const causes = new LateCauses()
  for (let slot = 0; slot < MAX_KEPT + 2; slot++) causes.add(slot, 1, text(200))
  expect([0, 1, 2, MAX_KEPT + 1].map((slot) => causes.get(slot, 1)?.length)).toEqual([undefined, undefined, 2, 2])
  expect(causes.get(2, 2)).toBe(undefined)
})

test('large ones are kept up to 16 MiB in all; one that comes again counts once', () => {
  const causes = new LateCauses()
  for (let i = 0; i < 45; i++) causes.add(Math.floor(i / 3), 1, text(1024 * 1024))
  expect(causes.get(0, 1)).toBeDefined()
  for (const slot of [15, 16]) causes.add(slot, 1, text(1024 * 1024))
  expect([0, 1, 2, 16].map((slot) => causes.get(slot, 1) === undefined)).toEqual([true, true, false, false])
})

test('none is kept for longer than the end that it belongs to', () => {
  const now = vi.spyOn(performance, 'now')
  onTestFinished(() => now.mockRestore())
  const causes = new LateCauses()
  now.mockReturnValue(1_000)
  causes.add(1, 1, text(200))
  now.mockReturnValue(2_000)
  causes.add(2, 1, text(200))
  now.mockReturnValue(1_000 + KEPT_FOR)
  causes.expire()
  expect([1, 2].map((slot) => causes.get(slot, 1) === undefined)).toEqual([true, false])
  causes.clear()
  expect(causes.get(2, 1)).toBe(undefined)
})
