/* oxlint-disable typescript/no-extraneous-class -- odd values are what this is about */
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CanceledError } from '../../lib/errors.ts'
import { describeCause } from '../../lib/wire/cause-describe.ts'
import { expectGood } from './support.ts'

describe('describeCause never throws', () => {
  const boom = () => {
    throw new Error('boom')
  }
  const revoked = (target: object) => {
    const { proxy, revoke } = Proxy.revocable(target, {})
    revoke()
    return proxy
  }
  const traps = ['get', 'has', 'ownKeys', 'getPrototypeOf', 'getOwnPropertyDescriptor', 'isExtensible', 'apply']
  const throwing = Object.fromEntries(traps.map((trap) => [trap, boom]))
  const getters = (target: object, keys: (string | symbol)[]) => {
    for (const key of keys) Object.defineProperty(target, key, { get: boom, enumerable: true, configurable: true })
    return target
  }
  const members = [
    'name',
    'message',
    'code',
    'cause',
    'stack',
    'errors',
    'toString',
    'constructor',
    'length',
    'toJSON',
    Symbol.toStringTag,
    Symbol.for('ctxbridge.kind'),
    Symbol.iterator,
    Symbol.toPrimitive,
  ] // prettier-ignore

  const hostile: [string, () => unknown][] = [
    ['a revoked proxy of an object', () => revoked({})],
    ['a revoked proxy of an array', () => revoked([])],
    ['a revoked proxy of a function', () => revoked(() => {})],
    ['a proxy that throws at everything', () => new Proxy({}, throwing)],
    ['a proxy of an error that throws at everything', () => new Proxy(new Error('x'), throwing)],
    ['a proxy of an array that throws at everything', () => new Proxy([1], throwing)],
    ['a proxy of a function that throws at everything', () => new Proxy(() => {}, throwing)],
    ...traps.map((trap): [string, () => unknown] => [
      `a proxy of an error that throws at ${trap}`,
      () => new Proxy(new Error('x'), { [trap]: boom }),
    ]),
    ...members.map((key): [string, () => unknown] => [
      `an error whose ${String(key)} throws`,
      () => getters(new Error('x'), [key]),
    ]),
    ...members.map((key): [string, () => unknown] => [`an object whose ${String(key)} throws`, () => getters({}, [key])]),
    ...members.map((key): [string, () => unknown] => [
      `an aggregate whose ${String(key)} throws`,
      () => getters(new AggregateError([1]), [key]),
    ]),
    ['an error of which every member throws', () => getters(Object.create(Error.prototype) as object, members)],
    ['an error whose cause is always another', () => endless()],
    ['a proxy that answers everything with itself', () => mirror()],
    [
      'a proxy whose keys never end',
      () =>
        new Proxy(
          {},
          {
            ownKeys: () => Array.from({ length: 100_000 }, (_, i) => `k${i}`),
            getOwnPropertyDescriptor: () => ({ enumerable: true, configurable: true, value: 1 }),
          },
        ),
    ],
    ['an array whose length lies', () => new Proxy([], { get: (_, key) => (key === 'length' ? 1e15 : 1) })],
    [
      'an array whose iterator never ends',
      () =>
        Object.assign([1], {
          *[Symbol.iterator]() {
            for (;;) yield 1
          },
        }),
    ],
    ['an aggregate whose errors lie', () => Object.assign(new AggregateError([]), { errors: new Proxy([], throwing) })],
    [
      'a class whose name throws',
      () =>
        class {
          static get name() {
            return boom()
          }
        },
    ],
    [
      'a class whose name is a symbol',
      () =>
        class {
          static readonly name = Symbol('n') as never
        },
    ],
    [
      'an object whose class is named by 10 MB',
      () => new (Object.defineProperty(class {}, 'name', { value: 'x'.repeat(10_000_000) }))(),
    ],
    ['an error whose name is 10 MB', () => Object.assign(new Error('x'), { name: 'n'.repeat(10_000_000) })],
    ['an error whose message is 10 MB', () => new Error('m'.repeat(10_000_000))],
    ['a message of lone surrogates', () => new Error('\udc00'.repeat(5_000))],
    ['a message of controls', () => new Error('\u0000'.repeat(5_000))],
    ['an object that claims to be an error', () => ({ [Symbol.toStringTag]: 'Error', message: 5 })],
    [
      'an object with the brand',
      () => ({ [Symbol.for('ctxbridge.kind')]: 'canceled', cause: { [Symbol.for('ctxbridge.kind')]: 'what' } }),
    ],
    ['Error.prototype', () => Error.prototype],
    ['CanceledError.prototype', () => CanceledError.prototype],
    ['Object.prototype', () => Object.prototype],
    ['globalThis', () => globalThis],
    ['a generator', () => (function* () {})()],
    ['a module', () => import.meta],
    [
      'arguments',
      () =>
        (function () {
          return arguments
        })(),
    ],
    [
      'a detached view',
      () => {
        const view = new Uint8Array(8)
        structuredClone(view, { transfer: [view.buffer] })
        return view
      },
    ],
  ] // prettier-ignore

  function endless(): Error {
    return Object.defineProperty(new Error('endless'), 'cause', { get: endless })
  }
  function mirror(): object {
    const proxy: object = new Proxy({}, { get: () => proxy, getPrototypeOf: () => Error.prototype })
    return proxy
  }

  test.each(hostile)('at %s', (_, make) => {
    expectGood(make())
    expectGood({ nested: make() })
    expectGood([make()])
    expectGood(new Error('outer', { cause: make() }))
    expectGood(new AggregateError([make()], 'all'))
  })

  test('at the end of the stack', () => {
    let described = 0
    const dive = (): void => {
      try {
        dive()
      } catch {
        // Here there is no room left, and a few frames further up there is.
      }
      if (described < 500) {
        described++
        describeCause(new Error('deep', { cause: { a: 1 } }))
      }
    }
    expect(dive).not.toThrow()
  })

  test('at anything that fast-check makes', () => {
    fc.assert(
      fc.property(
        fc.anything({
          withBigInt: true,
          withDate: true,
          withMap: true,
          withSet: true,
          withTypedArray: true,
          withSparseArray: true,
          withNullPrototype: true,
          withObjectString: true,
          withBoxedValues: true,
        }),
        (value) => {
          expectGood(value)
          expectGood(new Error('outer', { cause: value }))
        },
      ),
      { numRuns: 2_000 },
    ) // prettier-ignore
  })
})
