/** Calls over a WebSocket, as a program sees their types. */
import { background, type CancelableContext, type Context, createKey, type Key } from 'ctxbridge'
import { notifyContext, type SignalError } from 'ctxbridge/node'
import { Agent } from 'node:https'
import { connect, type Connection, type LinkSettings, type Remote, serve, type Service, wrap } from 'ctxbridge/websocket'
import type { WebSocketServer } from 'ws'

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false
const yes = <T extends true>(): T | undefined => undefined

interface Reports {
  build(ctx: Context, id: string, options?: { readonly pages: number }): Promise<{ readonly size: number }>
  count(ctx: Context): number
  stop(ctx: Context): void
  later(ctx: Context): PromiseLike<string>
  many(ctx: Context, ...ids: number[]): string[]
  local(id: string): string
  nothing(): void
  readonly version: string
}

declare const connection: Connection
declare const server: WebSocketServer
const ctx = background()
const reports = wrap<Reports>(connection)

// The context is first; the arguments are as declared; every result is a promise, and never one of a promise.
yes<Equal<ReturnType<typeof reports.build>, Promise<{ readonly size: number }>>>()
yes<Equal<Parameters<typeof reports.build>, [ctx: Context, id: string, options?: { readonly pages: number } | undefined]>>()
yes<Equal<ReturnType<typeof reports.count>, Promise<number>>>()
yes<Equal<ReturnType<typeof reports.stop>, Promise<void>>>()
yes<Equal<ReturnType<typeof reports.later>, Promise<string>>>()
yes<Equal<ReturnType<typeof reports.many>, Promise<string[]>>>()
void reports.build(ctx, 'a', { pages: 1 })
void reports.many(ctx, 1, 2, 3)

// One that may be missing over there can be called.
interface Perhaps {
  optional?(ctx: Context, n: number): string
  readonly or: ((ctx: Context) => string) | undefined
  readonly nothing?: number
}
yes<Equal<keyof Remote<Perhaps>, 'optional' | 'or' | typeof Symbol.dispose>>()
yes<Equal<Remote<Perhaps>['optional'], (ctx: Context, n: number) => Promise<string>>>()

// What takes no context first cannot be called, and is not there.
yes<Equal<keyof Remote<Reports>, 'build' | 'count' | 'stop' | 'later' | 'many' | 'nothing' | typeof Symbol.dispose>>()
// @ts-expect-error takes a text first
void reports.local
// @ts-expect-error is no method
void reports.version
// @ts-expect-error is not declared
void reports.missing

// @ts-expect-error the context is missing
void reports.build('a')
// @ts-expect-error the context is not first
void reports.build('a', ctx)
// @ts-expect-error an argument is missing
void reports.build(ctx)
// @ts-expect-error of the wrong type
void reports.build(ctx, 1)
// @ts-expect-error one too many
void reports.count(ctx, 1)
// @ts-expect-error methods are not assigned to
reports.count = () => Promise.resolve(1)

// A method that gives a stream gives one here: to be waited for, or to be read at once.
interface Streams {
  tokens(ctx: Context, prompt: string): AsyncGenerator<string, number>
  later(ctx: Context): Promise<AsyncIterable<number>>
  never(ctx: Context): Promise<never>
  either(ctx: Context): string | undefined
}
const streams = wrap<Streams>(connection)
yes<Equal<ReturnType<typeof streams.tokens>, Promise<AsyncGenerator<string, number, undefined>> & AsyncIterable<string>>>()
yes<Equal<ReturnType<typeof streams.later>, Promise<AsyncGenerator<number, unknown, undefined>> & AsyncIterable<number>>>()
yes<Equal<ReturnType<typeof streams.never>, Promise<never>>>()
yes<Equal<ReturnType<typeof streams.either>, Promise<string | undefined>>>()

// What is wrapped is a connection.
// @ts-expect-error no connection yet
wrap<Reports>(connect('ws://localhost'))
void connect(new URL('ws://localhost'), { context: ctx, serve: { ping: (_ctx: Context) => 'pong' }, name: 'me' })
// @ts-expect-error no such option
void connect('ws://localhost', { timeout: 1 })
// @ts-expect-error no such limit
void connect('ws://localhost', { limits: { maxFoo: 1 } })

// Who calls: the key's type is what authorize has to give.
interface User {
  readonly name: string
}
const userKey = createKey<User>('user')
const own = { f: (context: Context) => context.value(userKey)?.name }
serve(server, own, { authorize: () => ({ name: 'ann' }), identity: userKey })
serve(server, own, { authorize: async ({ headers }) => headers.authorization === 'x' && { name: 'ann' }, identity: userKey })
serve(server, own, { authorize: (): User | undefined | null => null, identity: userKey })
const users = new Map<string, User>()
serve(server, own, {
  authorize: ({ headers }) => headers.authorization && users.get(headers.authorization),
  identity: userKey,
})
serve(server, own, { authorize: () => 'anybody' })
serve(server, own, { authorize: async () => true })
// @ts-expect-error not what the key is for
serve(server, own, { authorize: () => 'ann', identity: userKey })
// @ts-expect-error a member is missing
serve(server, own, { authorize: async () => ({ nam: 'ann' }), identity: userKey })
// @ts-expect-error no key
serve(server, own, { authorize: () => 'ann', identity: 'user' })
// @ts-expect-error no such setting
serve(server, own, { authorise: () => 'ann' })

void connect('wss://localhost', { headers: { authorization: 'Bearer x' } })
void connect('wss://localhost', { headers: async () => ({ authorization: 'Bearer x' }), agent: new Agent() })
// @ts-expect-error no text
void connect('wss://localhost', { headers: { retries: 1 } })

// Keys of any values, in one list.
const user: Key<string> = createKey<string>('user', { portable: { encode: (name) => name, decode: String } })
const level = createKey<number>('level', { portable: { encode: (n) => n, decode: Number } })
const settings: LinkSettings = { keys: [user, level] }

const service: Service = serve(server, { build: async (ctx: Context, id: string) => `${id} ${ctx.remaining()}` }, settings)
yes<Equal<typeof service.connections, ReadonlySet<Connection>>>()
// @ts-expect-error no server
serve({}, { build: () => 1 })

notifyContext(ctx) satisfies CancelableContext
notifyContext(ctx, 'SIGINT', 'SIGHUP')
// @ts-expect-error no signal
notifyContext(ctx, 'SIGNOPE')
export type Signal = SignalError['signal']
