// What must compile, and behind `@ts-expect-error` what must not: how the core is used.
import {
  afterFunc,
  background,
  type CancelableContext,
  type CancelFunc,
  cause,
  type Context,
  type ContextError,
  createKey,
  group,
  type Key,
  merge,
  race,
  sleep,
  withCancel,
  withDeadline,
  withoutCancel,
  withSignal,
  withTimeout,
  withValue,
} from 'ctxbridge'

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
declare function same<A, B>(equal: Equal<A, B>): void

const root = background()
const count = createKey<number>('count')
const plainValue = withValue(root, count, 1)
const parts = createKey('parts', { portable: { encode: (value: readonly string[]) => value, decode: (data) => [String(data)] } })

// Both ways of writing.
{
  using ctx = withTimeout(root, 2_000)
  same<typeof ctx, CancelableContext>(true)
  ctx.cancel(new Error('why'))
}
{
  const [ctx, cancel] = withTimeout(root, 2_000)
  same<typeof ctx, Context>(true)
  same<typeof cancel, CancelFunc>(true)
  cancel()
  cancel('why')
  // @ts-expect-error A context that was taken apart cannot cancel.
  ctx.cancel()
}
{
  const { cancel } = withCancel(root)
  same<typeof cancel, CancelFunc>(true)
  const [only] = withDeadline(root, new Date())
  same<typeof only, Context>(true)
}

{
  const { 0: ctx, 1: cancel } = withCancel(root)
  same<typeof ctx, Context>(true)
  same<typeof cancel, CancelFunc>(true)
  same<Parameters<typeof cancel>, [cause?: unknown]>(true)
  same<ReturnType<typeof cancel>, void>(true)
}

// Taken apart by its members, a context has exact types also where the flow of the code is not followed.
export const { 0: apart, 1: endApart } = withCancel(root)
export function later(): string {
  endApart('why')
  // @ts-expect-error It is no function.
  apart()
  return String(apart.err())
}
{
  const merged = merge(root, withCancel(root), withValue(root, count, 1))
  same<typeof merged, CancelableContext>(true)
  const joined = withSignal(root, new AbortController().signal)
  same<typeof joined, CancelableContext>(true)
  same<typeof plainValue, Context>(true)
  // @ts-expect-error What cancels is given, not set.
  joined.cancel = () => {}
}

// A cancelable context is a context; a context cannot be cancelled.
const plain: Context = withCancel(root)
// @ts-expect-error
plain.cancel()
// @ts-expect-error
root.cancel()
// @ts-expect-error
withValue(withCancel(root), count, 1).cancel()
// @ts-expect-error
withoutCancel(root).cancel()
// @ts-expect-error There is no `using` for what cannot be cancelled.
using _notDisposable = withValue(root, count, 1)
// @ts-expect-error
const [_a, _b] = root

// Keys carry the type of their values.
same<typeof count, Key<number>>(true)
same<ReturnType<typeof root.value<number>>, number | undefined>(true)
const looked = root.value(count)
same<typeof looked, number | undefined>(true)
const list = root.value(parts)
same<typeof list, readonly string[] | undefined>(true)
withValue(root, count, 1)
withValue(root, createKey<string | undefined>('maybe'), undefined)
// @ts-expect-error A value of another type.
withValue(root, count, 'one')
// @ts-expect-error
withValue(root, count, undefined)
// @ts-expect-error A string is no key.
withValue(root, 'count', 1)
// @ts-expect-error
root.value('count')
// @ts-expect-error
root.value(Symbol('count'))
// @ts-expect-error Keys are not built by hand.
root.value({ name: 'count' })
// @ts-expect-error
createKey()

// A parent is a context.
// @ts-expect-error
withCancel(null)
// @ts-expect-error
withCancel(undefined)
// @ts-expect-error
withCancel()
// @ts-expect-error
withTimeout(root)
// @ts-expect-error
withTimeout(root, '10')
// @ts-expect-error
withDeadline(root, '2030-01-01')
// @ts-expect-error
withSignal(root, new AbortController())
// @ts-expect-error
merge()
// @ts-expect-error
afterFunc(root)
// @ts-expect-error
afterFunc(new AbortController().signal, () => {})

// What comes out.
same<ReturnType<typeof root.err>, ContextError | undefined>(true)
same<typeof root.done, Promise<ContextError>>(true)
same<typeof root.signal, AbortSignal>(true)
same<typeof root.deadline, Date | undefined>(true)
same<ReturnType<typeof cause>, unknown>(true)
const stop = afterFunc(root, () => {})
same<typeof stop, () => boolean>(true)
const raced = race(root, Promise.resolve(1))
same<typeof raced, Promise<number>>(true)
const slept = sleep(root, 1)
same<typeof slept, Promise<void>>(true)
const tasks = group<string>(root, { limit: 2 })
tasks.go(async (ctx) => String(ctx.err()))
// @ts-expect-error A task of another type.
tasks.go(() => 1)
const waited = tasks.wait()
same<typeof waited, Promise<string[]>>(true)

// Members are read, not written.
// @ts-expect-error
root.deadline = new Date()
// @ts-expect-error
plain.signal = new AbortController().signal

// Anything with the members is a context.
const own: Context = {
  deadline: undefined,
  remaining: () => Infinity,
  err: () => undefined,
  done: new Promise(() => {}),
  signal: new AbortController().signal,
  value: () => undefined,
  throwIfDone: () => {},
}
withCancel(own)
