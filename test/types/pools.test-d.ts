/** The jobs of pools, as a program sees their types. The pools are as their own declarations have them; those of piscina do not compile under this strictness. */
import { background, type Context, createKey } from 'ctxbridge'
import * as piscina from 'ctxbridge/piscina'
import * as tinypool from 'ctxbridge/tinypool'
import * as workerpool from 'ctxbridge/workerpool'
import type { Tinypool } from 'tinypool'
import type { Pool as RealWorkerpool } from 'workerpool'

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const yes = <T extends true>(): T | undefined => undefined

interface Piscina {
  run(task: unknown, options?: { readonly name?: string }): Promise<unknown>
  readonly options: { readonly name: string }
}

declare const p: Piscina
declare const t: Tinypool
declare const w: RealWorkerpool
declare const n: number
const ctx = background()
const key = createKey<string>('key')
const method = 'method'

// A job takes a context and a task, and what it gives comes as one promise. It is one function, whichever of the three it is from.
const add = piscina.job((its, by: number) => its.remaining() + by)
const later = piscina.job((_its: Context, _task: string) => Promise.resolve(new Map<string, number>()))
yes<Equal<typeof add, (task: number) => Promise<number>>>()
yes<Equal<typeof later, (task: string) => Promise<Map<string, number>>>>()
yes<Equal<ReturnType<typeof piscina.job<void, Promise<void>>>, (task: void) => Promise<void>>>()
yes<Equal<typeof piscina.job, typeof tinypool.job>>()
yes<Equal<typeof piscina.job, typeof workerpool.job>>()
piscina.job((its) => its.err(), { keys: [key] })
// @ts-expect-error a function is missing
piscina.job(1)
// @ts-expect-error a context comes first
piscina.job((its: number) => its)
// @ts-expect-error there is one task
piscina.job((_its: Context, a: number, b: number) => a + b)
// @ts-expect-error a key is no name
piscina.job((its) => its.err(), { keys: ['key'] })
// @ts-expect-error what it takes is a number
void add('x')

// A result is unknown unless it is said what it is.
yes<Equal<ReturnType<typeof piscina.run>, Promise<unknown>>>()
const one: Promise<number> = piscina.run<number>(p, ctx, 1)
const two: Promise<number> = tinypool.run<number>(t, ctx, 1)
const three: Promise<number> = workerpool.run<number>(w, ctx, 1, { method })
export type All = [typeof one, typeof two, typeof three]
void piscina.run(p, ctx, { a: 1 }, { name: 'add', filename: 'add.js', grace: Infinity, transferList: [new ArrayBuffer(1)] })
void tinypool.run(t, ctx, { a: 1 }, { name: 'add', filename: 'add.js', grace: 1, transferList: [new ArrayBuffer(1)] })
void workerpool.run(w, ctx, 1, { method, grace: 1, transfer: [new ArrayBuffer(1)], metadata: { urgent: true }, on: () => 1 })
void workerpool.run(w, ctx, 1, { method, on: (payload: string) => payload.length })
// @ts-expect-error is no number
const four: number = piscina.run<number>(p, ctx, 1)
void four

// @ts-expect-error the task is missing
void piscina.run(p, ctx)
// @ts-expect-error the task is missing
void tinypool.run(t, ctx)
// @ts-expect-error the method is missing
void workerpool.run(w, ctx, 1)
// @ts-expect-error the method is missing
void workerpool.run(w, ctx, 1, {})
// @ts-expect-error the pool comes first
void piscina.run(ctx, p, 1)
// @ts-expect-error is no context
void piscina.run(p, {}, 1)
// @ts-expect-error is no context
void tinypool.run(t, {}, 1)
// @ts-expect-error is no context
void workerpool.run(w, {}, 1, { method })
// @ts-expect-error is another pool
void piscina.run(w, ctx, 1)
// @ts-expect-error is another pool
void tinypool.run(w, ctx, 1)
// @ts-expect-error is another pool
void workerpool.run(p, ctx, 1, { method })
// @ts-expect-error a grace is a number
void piscina.run(p, ctx, 1, { grace: '1' })
// @ts-expect-error a name is a text
void piscina.run(p, ctx, 1, { name: n })
// @ts-expect-error is a list
void tinypool.run(t, ctx, 1, { transferList: n })
// @ts-expect-error is a list
void workerpool.run(w, ctx, 1, { method, transfer: n })
// @ts-expect-error is a function
void workerpool.run(w, ctx, 1, { method, on: n })
// @ts-expect-error tinypool has no methods
void tinypool.run(t, ctx, 1, { method })
// @ts-expect-error a signal is joined to the context
void piscina.run(p, ctx, 1, { signal: new AbortController().signal })
// @ts-expect-error a signal is joined to the context
void tinypool.run(t, ctx, 1, { signal: new AbortController().signal })
// @ts-expect-error a signal is joined to the context
void workerpool.run(w, ctx, 1, { method, signal: new AbortController().signal })
