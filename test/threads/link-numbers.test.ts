/** What becomes of a thread that has opened as many links as there are numbers. Both ends of each are in this thread. */
import { afterEach, describe, expect, test } from 'vitest'
import { background, type CancelableContext, type Context, withCancel } from '../../lib/context.ts'
import { owners } from '../../transports/worker/export.ts'
import { MAX_LINK, Numbered } from '../../transports/worker/link-numbers.ts'
import { link, type Link } from '../../transports/worker/link.ts'

const open: Link[] = []

interface Pair {
  readonly near: Link
  readonly far: Link
  /** What `near` has posted is there. */
  arrived(): Promise<unknown>
}

/** The two ends of a link. */
function pair(sharedMemory: boolean): Pair {
  const { port1, port2 } = new MessageChannel()
  const [near, far] = [link(port1, { sharedMemory }), link(port2, { sharedMemory })]
  open.push(near, far)
  const arrived = (): Promise<unknown> => {
    const last = new Promise((resolve) => port2.addEventListener('message', ({ data }) => data === 'last' && resolve(data)))
    port1.postMessage('last')
    return last
  }
  return { near, far, arrived }
}

/** Sends a context through a link. */
async function send({ near, far, arrived }: Pair): Promise<{ number: number; ctx: CancelableContext; there: Context }> {
  const ctx = withCancel(background())
  const handle = near.export(ctx)
  await arrived()
  return { number: handle.link, ctx, there: far.import(handle) }
}

afterEach(() => {
  for (const each of open.splice(0)) each[Symbol.dispose]()
  owners.last = 0
})

test('after the last number come those that are free, from the first one on', () => {
  const numbers = new Numbered<string>()
  expect(['a', 'b', 'c'].map((each) => numbers.add(each))).toEqual([1, 2, 3])
  numbers.delete(2)
  expect(numbers.add('d')).toBe(4)
  numbers.last = MAX_LINK - 1
  expect(['e', 'f', 'g'].map((each) => numbers.add(each))).toEqual([MAX_LINK, 2, 5])
  expect([...numbers].toSorted()).toEqual(['a', 'c', 'd', 'e', 'f', 'g'])
})

describe.each([
  ['by shared memory', true],
  ['by messages alone', false],
])('%s', (_how, shared) => {
  test('links before and after the last number have their contexts each to itself', async () => {
    owners.last = MAX_LINK - 2
    const sent = [await send(pair(shared)), await send(pair(shared)), await send(pair(shared)), await send(pair(shared))]
    expect(sent.map(({ number }) => number)).toEqual([MAX_LINK - 1, MAX_LINK, 1, 2])
    for (const [i, { ctx, there }] of sent.entries()) {
      ctx.cancel(i)
      expect(await there.done).toMatchObject({ cause: i })
      expect(sent.filter((each) => each.there.err() !== undefined)).toHaveLength(i + 1)
    }
  })

  test('a handle that was kept since the first link of a number is refused by the second one', async () => {
    const first = pair(shared)
    const old = first.near.export(withCancel(background()))
    first.near[Symbol.dispose]()
    owners.last = old.link - 1
    const second = pair(shared)
    const { number, ctx, there } = await send(second)
    expect(number).toBe(old.link)
    const kept = second.far.import(old)
    ctx.cancel('of the second')
    expect(await there.done).toMatchObject({ cause: 'of the second' })
    expect(await kept.done).toMatchObject({ cause: { code: 'ERR_HANDLE' } })
  })
})
