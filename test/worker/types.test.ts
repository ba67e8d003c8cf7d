/** What the compiler makes of a remote: checked by `npm run typecheck`, where an expectation that fails is an error. */
import { type CancelableContext, type Context, createKey } from 'ctxbridge'
import { type ContextHandle, expose, type Link, link, type Remote, wrap } from 'ctxbridge/worker'
import type { Worker } from 'node:worker_threads'
import { expectTypeOf, test } from 'vitest'

class Api {
  readonly version = 1
  plain(n: number): string {
    return String(n)
  }
  async later(ctx: Context, options?: { deep: boolean }): Promise<Map<string, number>> {
    return Promise.resolve(new Map([[String(ctx), options === undefined ? 0 : 1]]))
  }
  rest(...all: readonly [Context, ...number[]]): void {
    void all
  }
  then(): void {}
  __hidden(): void {}
  override(this: void): bigint {
    return 1n
  }
}

interface Interface {
  f(a: string, ctx: Context): number
}

test('a method keeps its parameters, and returns a promise of its result', () => {
  expectTypeOf<Remote<Api>['plain']>().toEqualTypeOf<(n: number) => Promise<string>>()
  expectTypeOf<Remote<Api>['later']>().toEqualTypeOf<
    (ctx: Context, options?: { deep: boolean }) => Promise<Map<string, number>>
  >()
  expectTypeOf<Remote<Api>['rest']>().toEqualTypeOf<(...all: readonly [Context, ...number[]]) => Promise<void>>()
  expectTypeOf<Remote<Interface>['f']>().toEqualTypeOf<(a: string, ctx: Context) => Promise<number>>()
})

test('what cannot be called is not there', () => {
  expectTypeOf<keyof Remote<Api>>().toEqualTypeOf<'plain' | 'later' | 'rest' | 'override' | typeof Symbol.dispose>()
})

test('generators are not there, since what they give does not cross', () => {
  interface Streams {
    later(): AsyncGenerator<number>
    now(): Generator<number>
    promised(): Promise<AsyncIterable<number>>
    list(): number[]
    text(): string
    unknown(): unknown
    never(): never
  }
  expectTypeOf<keyof Remote<Streams>>().toEqualTypeOf<'list' | 'text' | 'unknown' | 'never' | typeof Symbol.dispose>()
})

test('a method that may be missing can be called, and so can what nothing is known of; what may be something else cannot', () => {
  interface Perhaps {
    optional?(n: number): string
    or: ((n: number) => string) | undefined
    nor: ((n: number) => string) | null
    else: ((n: number) => string) | number
    nothing?: number
  }
  expectTypeOf<Remote<Perhaps>>().toEqualTypeOf<
    Readonly<Record<'optional' | 'or' | 'nor', (n: number) => Promise<string>>> & Disposable
  >()
  // Which is `any`.
  type Unknown = ReturnType<typeof JSON.parse>
  expectTypeOf<Remote<Unknown>['whatever']>().toEqualTypeOf<(...args: unknown[]) => Promise<unknown>>()
})

test('nothing is any', () => {
  expectTypeOf(wrap<Api>).returns.toEqualTypeOf<Remote<Api>>()
  expectTypeOf(link).returns.toEqualTypeOf<Link>()
  expectTypeOf<Link['export']>().toEqualTypeOf<(ctx: Context) => ContextHandle>()
  expectTypeOf<Link['import']>().toEqualTypeOf<(handle: unknown) => CancelableContext>()
})

test('misuse does not compile', () => {
  const uses = (worker: Worker, remote: Remote<Api>, ctx: Context): unknown[] => [
    expose({}, { keys: [createKey<string>('a'), createKey<number>('b')] }),
    // @ts-expect-error a number is needed
    remote.plain('1'),
    // @ts-expect-error a context is needed
    remote.later(),
    // @ts-expect-error not a promise
    remote.plain(1).length,
    // @ts-expect-error not a method
    remote.version,
    // @ts-expect-error nothing can be set
    (remote.plain = () => Promise.resolve('')),
    // In a worker, what the thread serves that made it.
    wrap<Api>().plain(1),
    wrap<Api>({ keys: [] }).plain(1),
    // @ts-expect-error no option of a link
    link({ grace: 1 }),
    // @ts-expect-error no endpoint
    wrap<Api>(new EventTarget()),
    // @ts-expect-error a name is no key
    link(worker, { keys: ['tenant'] }),
    // @ts-expect-error no context
    link(worker).export(1),
    // @ts-expect-error an object is needed
    expose('api', worker),
    ctx,
  ]
  expectTypeOf(uses).toBeFunction()
})
