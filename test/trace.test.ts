/** The headers of W3C Trace Context and Baggage, as keys. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { runInNewContext } from 'node:vm'
import { background, type Context, type Key, withValue } from 'ctxbridge'
import { baggage, traceparent, tracestate } from 'ctxbridge/trace'
import { connect, serve, wrap } from 'ctxbridge/websocket'
import { expect, it, onTestFinished, test } from 'vitest'
import { WebSocketServer } from 'ws'

const keys = { traceparent, tracestate, baggage }
const trace = '0af7651916cd43dd8448eb211c80319c'
const parent = 'b7ad6b7169203331'

it.each<[keyof typeof keys, string]>([
  ['traceparent', `00-${trace}-${parent}-01`],
  ['traceparent', `00-${trace}-${parent}-00`],
  ['traceparent', `01-${trace}-${parent}-01`],
  ['traceparent', `cc-${trace}-${parent}-01-what-the-future-holds`],
  ['tracestate', 'rojo=00f067aa0ba902b7,congo=t61rcWkgMzE'],
  ['tracestate', 'rojo=1 , \t congo=2,,'],
  ['tracestate', 'fw529a3039@dt=FfAAAA/_-*'],
  ['baggage', 'userId=alice,serverNode=DF%2028,isProduction=false'],
  ['baggage', 'key1=value1;property1;property2 = x, key2 = value2'],
  ['baggage', 'empty='],
])('%s takes %j', (name, text) => {
  const { portable } = keys[name]
  expect([portable?.encode(text), portable?.decode(text)]).toEqual([text, text])
})

it.each<[keyof typeof keys, unknown]>([
  ['traceparent', ''],
  ['traceparent', 7],
  ['traceparent', `00-${trace}-${parent}`],
  ['traceparent', `00-${trace}-${parent}-01-more`],
  ['traceparent', `00-${trace.toUpperCase()}-${parent}-01`],
  ['traceparent', `00-${'0'.repeat(32)}-${parent}-01`],
  ['traceparent', `00-${trace}-${'0'.repeat(16)}-01`],
  ['traceparent', `ff-${trace}-${parent}-01`],
  ['traceparent', `00-${trace}-${parent}-01\n`],
  ['traceparent', `cc-${trace}-${parent}-01-${'x'.repeat(600)}`],
  ['tracestate', ''],
  ['tracestate', 'Rojo=1'],
  ['tracestate', 'rojo=1,rojo=2'],
  ['tracestate', 'rojo'],
  ['tracestate', 'rojo=a=b'],
  ['tracestate', 'rojo=\u0000'],
  ['tracestate', Array.from({ length: 33 }, (_, i) => `k${i}=1`).join(',')],
  ['baggage', ''],
  ['baggage', 'key'],
  ['baggage', 'key=a b'],
  ['baggage', 'key="x"'],
  ['baggage', 'a=1,,b=2'],
  ['baggage', 'ключ=1'],
  ['baggage', `k=${'x'.repeat(8_192)}`],
  ['baggage', Array.from({ length: 65 }, (_, i) => `k${i}=1`).join(',')],
])('%s refuses %j', (name, text) => {
  const { portable } = keys[name] as Key<unknown>
  expect(() => portable?.encode(text)).toThrow(TypeError)
  expect(() => portable?.decode(text)).toThrow(TypeError)
})

it.each<[keyof typeof keys, string]>([
  ['tracestate', `a=b${' '.repeat(8_000)}=`],
  ['tracestate', `${'a=b \t,'.repeat(1_000)}=`],
  ['baggage', `a=1${`;b=${' '.repeat(20)}`.repeat(30)}\u0001`],
  ['baggage', `a=1${`;b${' '.repeat(20)}`.repeat(30)}\u0001`],
])('%s that is made to cost time is refused before long: %j', (name, text) => {
  const decode = (): unknown => keys[name].portable?.decode(text)
  // What takes exponential time is stopped here, and fails with another error.
  expect(() => runInNewContext('decode()', { decode }, { timeout: 10_000 }) as unknown).toThrow(/is not of the form/)
})

test('what is hostile takes no long time', () => {
  const long = [' \t'.repeat(4_000), `a=${';a'.repeat(4_000)}`, `a${' '.repeat(8_000)}`, 'a=,'.repeat(2_700)]
  for (const text of long)
    for (const key of Object.values(keys)) expect(() => key.portable?.decode(`${text}\u0000`)).toThrow(TypeError)
})

/** A server of these methods, gone when the test is over; gives its methods as those of a client. */
async function hop<T extends object>(methods: T) {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false, maxPayload: 1_048_576 })
  const service = serve(server, methods, { keys: Object.values(keys) })
  await once(server, 'listening')
  const connection = await connect(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`)
  onTestFinished(() => {
    connection.close()
    service.close()
    server.close()
  })
  return wrap<T>(connection)
}

test('a trace survives every hop', async () => {
  const read = (ctx: Context): unknown[] => Object.values(keys).map((key) => ctx.value(key) ?? null)
  const service = await hop({ read })
  const gateway = await hop({ read: (ctx: Context) => service.read(ctx) })
  let ctx = withValue(background(), traceparent, `00-${trace}-${parent}-01`)
  ctx = withValue(withValue(ctx, tracestate, 'rojo=1'), baggage, 'userId=alice')
  expect(await gateway.read(ctx)).toEqual([`00-${trace}-${parent}-01`, 'rojo=1', 'userId=alice'])
})
