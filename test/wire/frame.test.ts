import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Frame } from '../../lib/wire/frame.ts'
import { frameLimits } from '../../lib/wire/frame.ts'
import { fromWire, messageFromWire, messageToWire, toWire } from '../../lib/wire/frame-codec.ts'
import { frame, samples } from './arbitrary.ts'
import { expectSame } from './support.ts'

function reasonOf(data: unknown): string {
  const result = fromWire(data)
  return result.ok ? 'accepted' : result.reason
}

/** What is an id in no frame. */
const badIds = [0, -1, 1.5, 2 ** 53, Number.NaN, Number.POSITIVE_INFINITY, '1', 1n, null, undefined, [1], true]

const noContext = [null, null, []]

describe('what each frame is on the wire', () => {
  test.each<[Frame, unknown[]]>([
    [
      {
        type: 'hello',
        version: 1,
        limits: { maxMessage: 4096, maxCalls: 2, maxContexts: 3, window: 4, lease: 5 },
        name: 'a',
        link: 'l',
        session: undefined,
      },
      [1, 1, [4096, 2, 3, 4, 5], 'a', 'l'],
    ],
    [
      {
        type: 'hello',
        version: 1,
        limits: { maxMessage: 4096, maxCalls: 2, maxContexts: 3, window: 4, lease: 5 },
        name: '',
        link: 'l',
        session: { token: 't', received: 6 },
      },
      [1, 1, [4096, 2, 3, 4, 5], '', 'l', ['t', 6]],
    ],
    [
      { type: 'call', id: 5, method: 'm', context: { left: undefined, why: undefined, values: [['k']], under: 3 }, args: [] },
      [2, 5, 'm', [null, null, [['k']], 3], []],
    ],
    [{ type: 'retract', id: 5 }, [11, 5]],
    [{ type: 'stream', id: 5 }, [12, 5]],
    [{ type: 'item', id: 5, value: undefined }, [13, 5]],
    [{ type: 'item', id: 5, value: null }, [13, 5, null]],
    [{ type: 'credit', id: 5, n: 8 }, [14, 5, 8]],
    [{ type: 'ack', n: 0 }, [15, 0]],
    [{ type: 'cancels', ids: [5, 6], kind: 'deadline', cause: [0, 'w'] }, [16, [5, 6], 1, [0, 'w']]],
    [
      {
        type: 'call',
        id: 5,
        method: 'm',
        context: { left: 10, why: [0, 'slow'], values: [['k', 1]], under: undefined },
        args: [true],
      },
      [2, 5, 'm', [10, [0, 'slow'], [['k', 1]]], [true]],
    ],
    [{ type: 'cancel', id: 5, kind: 'canceled', cause: undefined }, [3, 5, 0, null]],
    [{ type: 'cancel', id: 5, kind: 'deadline', cause: [0, null] }, [3, 5, 1, [0, null]]],
    [{ type: 'result', id: 5, value: undefined }, [4, 5]],
    [{ type: 'result', id: 5, value: null }, [4, 5, null]],
    [{ type: 'error', id: 5, error: [3, null] }, [5, 5, [3, null]]],
    [{ type: 'export', id: 5, context: { left: undefined, why: undefined, values: [], under: undefined } }, [6, 5, noContext]],
    [{ type: 'release', id: 5, grant: 2 }, [7, 5, 2]],
    [{ type: 'ping', n: 0 }, [8, 0]],
    [{ type: 'pong', n: 9 }, [9, 9]],
    [{ type: 'goaway', reason: '' }, [10, '']],
  ])('%j', (frame, wire) => {
    expect(toWire(frame)).toStrictEqual(wire)
    expect(fromWire(wire)).toStrictEqual({ ok: true, value: frame })
  })

  test('every frame survives the way there and back', () => {
    fc.assert(
      fc.property(frame, (original) => {
        expectSame(fromWire(toWire(original)), { ok: true, value: original })
      }),
    )
  })
})

describe('what is refused', () => {
  test('every frame that is one element too short or too long', () => {
    for (const sample of samples) {
      const wire = toWire(sample)
      const accepted = (data: unknown[]) => fromWire(data).ok
      expect(accepted(wire)).toBe(true)
      // These have two lengths: without a value, without a session.
      const optional = sample.type === 'result' || sample.type === 'item' || sample.type === 'hello'
      if (!optional) expect(accepted(wire.slice(0, -1)), sample.type).toBe(false)
      if (!optional || wire.length % 3 === 0) expect(accepted([...wire, null]), sample.type).toBe(false)
    }
    expect(fromWire([4]).ok).toBe(false)
    expect(fromWire([4, 1, 2, 3]).ok).toBe(false)
  })

  test('row 16: ids that are no integer from 1 to 2^53-1', () => {
    for (const sample of samples) {
      if (!('id' in sample)) continue
      for (const id of badIds) {
        expect(reasonOf(toWire(sample).with(1, id)), `${sample.type} ${String(id)}`).toBe(
          `${sample.type}: id is no integer from 1`,
        )
      }
      expect(fromWire(toWire(sample).with(1, Number.MAX_SAFE_INTEGER)).ok).toBe(true)
    }
  })

  test('row 14: a time left that is no finite number; what has passed and what is far are numbers like others', () => {
    const call = (left: unknown) => fromWire([2, 1, 'm', [left, null, []], []])
    for (const left of [Number.NaN, Infinity, -Infinity, '5', 5n, new Date(), undefined, true, [], {}]) {
      expect(call(left), String(left)).toStrictEqual({ ok: false, reason: 'context: time left is no finite number' })
    }
    for (const left of [0, -0, -1, 5e-324, 1e308, -1e308, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 53, 2 ** 53 + 2]) {
      const result = call(left)
      expect(result.ok && result.value?.type === 'call' && result.value.context.left, String(left)).toBe(left)
    }
    expect(call(null).ok).toBe(true)
  })

  test('row 23: frames of unknown types, except those that are to be skipped', () => {
    for (let type = -128; type <= 300; type++) {
      if (type >= 1 && type <= 16) continue
      const skipped = type >= 64 && type <= 127
      expect(fromWire([type, 'anything', {}]), String(type)).toStrictEqual(
        skipped ? { ok: true, value: undefined } : { ok: false, reason: 'frame: type is unknown' },
      )
    }
    for (const type of ['3', 3.5, null, undefined, [3], {}, true, Number.NaN, 64.5, 127.5, 3n]) {
      expect(reasonOf([type, 1, 0, null]), String(type)).toBe('frame: type is unknown')
    }
    for (const data of [null, 3, 'x', {}, { length: 4, 0: 3, 1: 1, 2: 0, 3: null }, new Uint8Array(4), undefined]) {
      expect(reasonOf(data)).toBe('frame: no array')
    }
    expect(reasonOf([])).toBe('frame: type is unknown')
  })

  test('row 25: a hello of another version, whatever it looks like, with a reason that names the version that is spoken', () => {
    for (const data of [
      [1, 2],
      [1, 2, 'x', 'y', 'z'],
      [1, 99, [4096, 1], 'a'],
    ]) {
      expect(reasonOf(data)).toBe(`hello: version ${data[1] as number} is not spoken here, 1 is`)
    }
    for (const version of [0, -1, 1.5, '1', null, undefined]) {
      expect(reasonOf([1, version, [4096, 1], 'a'])).toBe('hello: version is no integer from 1')
    }
  })

  test.each<[string, unknown]>([
    ['hello: limits are no array of 5', [1, 1, [4096], 'a', 'l']],
    ['hello: limits are no array of 5', [1, 1, [4096, 1, 1, 1], 'a', 'l']],
    ['hello: limits are no array of 5', [1, 1, { 0: 4096, 1: 1, 2: 1, 3: 1, 4: 0, length: 5 }, 'a', 'l']],
    ['hello: maxMessage is no integer from 1024', [1, 1, [1023, 1, 1, 1, 0], 'a', 'l']],
    ['hello: maxMessage is no integer from 1024', [1, 1, [2 ** 53, 1, 1, 1, 0], 'a', 'l']],
    ['hello: maxCalls is no integer from 0', [1, 1, [4096, -1, 1, 1, 0], 'a', 'l']],
    ['hello: maxCalls is no integer from 0', [1, 1, [4096, 0.5, 1, 1, 0], 'a', 'l']],
    ['hello: maxContexts is no integer from 0', [1, 1, [4096, 1, -1, 1, 0], 'a', 'l']],
    ['hello: window is no integer from 1', [1, 1, [4096, 1, 1, 0, 0], 'a', 'l']],
    ['hello: lease is no integer from 0', [1, 1, [4096, 1, 1, 1, -1], 'a', 'l']],
    ['hello: name is no text up to 256', [1, 1, [4096, 1, 1, 1, 0], 'a'.repeat(257), 'l']],
    ['hello: name is no text up to 256', [1, 1, [4096, 1, 1, 1, 0], '\ud800', 'l']],
    ['hello: name is no text up to 256', [1, 1, [4096, 1, 1, 1, 0], null, 'l']],
    ['hello: link is no text of 1 to 64', [1, 1, [4096, 1, 1, 1, 0], 'a', '']],
    ['hello: link is no text of 1 to 64', [1, 1, [4096, 1, 1, 1, 0], 'a', 'l'.repeat(65)]],
    ['hello: link is no text of 1 to 64', [1, 1, [4096, 1, 1, 1, 0], 'a', 1]],
    ['hello: session is no array of 2', [1, 1, [4096, 1, 1, 1, 0], 'a', 'l', null]],
    ['hello: session is no array of 2', [1, 1, [4096, 1, 1, 1, 0], 'a', 'l', ['t']]],
    ['hello: token is no text up to 64', [1, 1, [4096, 1, 1, 1, 0], 'a', 'l', [null, 0]]],
    ['hello: token is no text up to 64', [1, 1, [4096, 1, 1, 1, 0], 'a', 'l', ['t'.repeat(65), 0]]],
    ['hello: received is no integer from 0', [1, 1, [4096, 1, 1, 1, 0], 'a', 'l', ['t', -1]]],
    ['hello: too few or too many elements', [1, 1, [4096, 1, 1, 1, 0], 'a']],
    ['hello: too few or too many elements', [1, 1, [4096, 1, 1, 1, 0], 'a', 'l', ['t', 0], 1]],
    ['call: method is no text of 1 to 256', [2, 1, '', noContext, []]],
    ['call: method is no text of 1 to 256', [2, 1, 'a'.repeat(257), noContext, []]],
    ['call: method is no text of 1 to 256', [2, 1, 'a\udc00', noContext, []]],
    ['call: method is no text of 1 to 256', [2, 1, ['a'], noContext, []]],
    ['call: arguments are no array', [2, 1, 'm', noContext, null]],
    ['call: arguments are no array', [2, 1, 'm', noContext, { length: 0 }]],
    ['context: no array of 3 or 4', [2, 1, 'm', null, []]],
    ['context: no array of 3 or 4', [2, 1, 'm', [null, null], []]],
    ['context: no array of 3 or 4', [2, 1, 'm', [null, null, [], 1, 1], []]],
    ['context: no array of 3 or 4', [6, 1, { left: 1 }]],
    ['context: under is no integer from 1', [2, 1, 'm', [null, null, [], []], []]],
    ['context: under is no integer from 1', [2, 1, 'm', [null, null, [], null], []]],
    ['context: under is no integer from 1', [6, 1, [null, null, [], 0]]],
    ['release: grant is no integer from 1', [7, 1, 0]],
    ['credit: n is no integer from 1', [14, 1, 0]],
    ['ack: n is no integer from 0', [15, -1]],
    ['context: a cause of a deadline without a deadline', [6, 1, [null, [0, 'why'], []]]],
    ['context: values are no array', [6, 1, [1, null, {}]]],
    ['context: a value is no pair', [6, 1, [1, null, ['k']]]],
    ['context: a value is no pair', [6, 1, [1, null, [['k']]]]],
    ['context: a value is no pair', [6, 1, [1, null, [['k', 1, 2]]]]],
    ['context: the name of a value is no text of 1 to 256', [6, 1, [1, null, [['', 1]]]]],
    ['context: the name of a value is no text of 1 to 256', [6, 1, [1, null, [['k'.repeat(257), 1]]]]],
    ['context: the name of a value is no text of 1 to 256', [6, 1, [1, null, [[1, 1]]]]],
    [
      'context: a value twice',
      [
        6,
        1,
        [
          1,
          null,
          [
            ['a', 1],
            ['b', 1],
            ['a', 2],
          ],
        ],
      ],
    ],
    ['context: more values than the limit', [6, 1, [1, null, Array.from({ length: 65 }, (_, i) => [`k${i}`, 0])]]],
    ['cause: is no array', [6, 1, [1, 'why', []]]],
    ['cancel: kind is neither 0 nor 1', [3, 1, 2, null]],
    ['cancel: kind is neither 0 nor 1', [3, 1, 'canceled', null]],
    ['cancel: kind is neither 0 nor 1', [3, 1, false, null]],
    ['cause: is no array', [3, 1, 0, 'why']],
    ['cause: is no array', [3, 1, 0, undefined]],
    ['cause: is no array', [5, 1, null]],
    ['ping: n is no integer from 0', [8, -1]],
    ['ping: n is no integer from 0', [8, 2 ** 53]],
    ['pong: n is no integer from 0', [9, '1']],
    ['pong: n is no integer from 0', [9, 0.5]],
    ['goaway: reason is no text up to 256', [10, 'a'.repeat(257)]],
    ['goaway: reason is no text up to 256', [10, null]],
  ])('%s', (reason, data) => {
    expect(reasonOf(data)).toBe(reason)
    expect(reason.length).toBeLessThanOrEqual(100)
  })

  test('the longest names and the most values are accepted', () => {
    const name = 'x'.repeat(256)
    expect(fromWire([1, 1, [1024, 0, 0, 1, 0], name, 'x'.repeat(64), ['x'.repeat(64), 0]]).ok).toBe(true)
    expect(fromWire([10, name]).ok).toBe(true)
    expect(fromWire([2, 1, name, [1, null, Array.from({ length: 64 }, (_, i) => [`k${i}`, 0])], []]).ok).toBe(true)
  })
})

describe('a message', () => {
  test('has 1 to 1,024 frames', () => {
    const ping = [8, 1]
    expect(messageFromWire([])).toStrictEqual({ ok: false, reason: 'message: without a frame' })
    expect(messageFromWire(Array.from({ length: frameLimits.maxFrames }, () => ping)).ok).toBe(true)
    expect(messageFromWire(Array.from({ length: frameLimits.maxFrames + 1 }, () => ping))).toStrictEqual({
      ok: false,
      reason: 'message: more frames than the limit',
    })
    for (const data of [null, 1, 'x', { 0: ping, length: 1 }]) {
      expect(messageFromWire(data)).toStrictEqual({ ok: false, reason: 'message: no array of frames' })
    }
  })

  test('keeps the order of its frames, and loses those that are to be skipped', () => {
    expect(messageFromWire([[7, 1, 1], [64], [8, 2], [127, {}, 'x'], [7, 3, 1]])).toStrictEqual({
      ok: true,
      value: [
        { type: 'release', id: 1, grant: 1 },
        { type: 'ping', n: 2 },
        { type: 'release', id: 3, grant: 1 },
      ],
    })
    expect(messageFromWire([[64]])).toStrictEqual({ ok: true, value: [] })
  })

  test('is refused as a whole when one frame is', () => {
    expect(
      messageFromWire([
        [7, 1, 1],
        [7, 0, 1],
      ]),
    ).toStrictEqual({ ok: false, reason: 'release: id is no integer from 1' })
  })

  test('is what its frames were', () => {
    expectSame(messageFromWire(messageToWire(samples)), { ok: true, value: samples })
  })
})
