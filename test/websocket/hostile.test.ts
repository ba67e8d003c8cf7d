/**
 * What a peer may send by bytes, by the rows of the list of hostile input. During each, an honest client of the same server goes on working;
 * afterwards nothing of the hostile one is left.
 */
import { connect } from 'ctxbridge/websocket'
import { expect, it, test } from 'vitest'
import { attacked } from './attacked.ts'
import { call, frame, hello, message, opcode, pack, RawClient } from './raw.ts'
import { local, until } from './support.ts'

const timeout = 20_000
const bin = (...bytes: number[]): Uint8Array => frame(opcode.binary, new Uint8Array(bytes))
const raw = (bytes: Uint8Array): Uint8Array => frame(opcode.binary, bytes)

const value = (bytes: number[]): number[] => [...pack([hello, call(1, 'echo')])].slice(0, -1).concat(0x91, ...bytes)

it.each<[string, number, Uint8Array]>([
  ['1 an empty message', 4400, raw(new Uint8Array())],
  ['2 a truncated message', 4400, raw(pack([hello]).subarray(0, -1))],
  ['3 two values in one message', 4400, raw(new Uint8Array([...pack([hello]), ...pack([hello])]))],
  ['4 the byte 0xc1', 4400, bin(0x91, 0xc1)],
  ['5 noise', 4400, raw(new Uint8Array(1_000).map((_, i) => (i * 167 + 13) & 255))],
  ['7 a string of length 2^32-1', 4400, raw(new Uint8Array(value([0xdb, 255, 255, 255, 255])))],
  ['7 an array of length 2^32-1', 4400, raw(new Uint8Array(value([0xdd, 255, 255, 255, 255])))],
  ['8 arrays inside each other', 4400, raw(new Uint8Array(60_000).fill(0x91))],
  ['9 a value nested too deep', 4400, raw(new Uint8Array(value([...Array.from({ length: 40 }, () => 0x91), 0xc0])))],
  ['10 too many empty arrays', 4400, raw(new Uint8Array([0xdc, 0xea, 0x60, ...new Uint8Array(60_000).fill(0x90)]))],
  [
    '11 the key __proto__',
    4400,
    raw(new Uint8Array(value([0x81, 0xa9, ...Buffer.from('__proto__'), 0x81, 0xa8, ...Buffer.from('polluted'), 1]))),
  ],
  ['12 a key twice', 4400, raw(new Uint8Array(value([0x82, 0xa1, 97, 1, 0xa1, 97, 2])))],
  ['12 a key that is a number', 4400, raw(new Uint8Array(value([0x81, 1, 1])))],
  ['13 a record', 4400, raw(new Uint8Array(value([0xd4, 0x72, 0x40])))],
  ['13 an error', 4400, raw(new Uint8Array(value([0xc7, 3, 0x65, 0x92, 0xa0, 0xa0])))],
  ['13 a regular expression', 4400, raw(new Uint8Array(value([0xc7, 4, 0x78, 0x92, 0xa1, 97, 0xa0])))],
  ['13 a timestamp', 4400, raw(new Uint8Array(value([0xd6, 0xff, 0, 0, 0, 0])))],
  ['14 NaN ms left', 4400, message(hello, call(1, 'hold', Number.NaN))],
  ['14 infinitely many ms left', 4400, message(hello, call(1, 'hold', Infinity))],
  ['14 a text for ms left', 4400, message(hello, call(1, 'hold', '5' as never))],
  ['16 the id 0', 4400, message(hello, call(0, 'hold'))],
  ['16 a negative id', 4400, message(hello, call(-1, 'hold'))],
  ['16 a fraction as an id', 4400, message(hello, call(1.5, 'hold'))],
  ['16 the id 2^53', 4400, message(hello, call(2 ** 53, 'hold'))],
  ['16 a text as an id', 4400, message(hello, call('1' as never, 'hold'))],
  ['17 an id in use', 4400, message(hello, call(1, 'hold'), call(1, 'hold'))],
  ['18 a lower id', 4400, message(hello, call(2, 'hold'), call(1, 'hold'))],
  ['21 a cancel of what was never opened', 4400, message(hello, [3, 1, 0, null])],
  ['23 an unknown type', 4400, message(hello, [11])],
  ['24 a result of what is its own', 4400, message(hello, call(1, 'hold'), [4, 1])],
  ['25 a call before hello', 4400, message(call(1, 'hold'))],
  ['25 two hellos', 4400, message(hello, hello)],
  ['25 a name without end', 4400, message([1, 1, [1, 1, 1, 1, 0], 'x'.repeat(257), 'end'])],
  ['25 an unknown version', 4400, message([1, 99, [0, 0], 'x'])],
  ['38 a cause of a megabyte', 1009, message(hello, call(1, 'hold'), [3, 1, 0, [0, 'x'.repeat(1_048_576)]])],
  ['38 a cause that is too long', 4400, message(hello, call(1, 'hold'), [3, 1, 0, [0, 'x'.repeat(2_000)]])],
  ['38 a cause that is a text', 4400, message(hello, call(1, 'hold'), [3, 1, 0, 'x'])],
  ['39 no UTF-8', 4400, raw(new Uint8Array(value([0xa2, 0xc3, 0x28])))],
  ['39 an overlong form', 4400, raw(new Uint8Array(value([0xa2, 0xc0, 0x80])))],
  ['41 a text message', 1003, frame(opcode.text, Buffer.from('hello'))],
  ['42 a text message that is no UTF-8', 1007, frame(opcode.text, new Uint8Array([0xff, 0xfe]))],
  ['45 a message over the limit', 1009, frame(opcode.binary, new Uint8Array(65_537))],
  [
    '45 fragments over the limit',
    1009,
    Buffer.concat([frame(opcode.binary, new Uint8Array(40_000), { fin: false }), frame(0, new Uint8Array(40_000))]),
  ],
  ['45 a length of 2^62', 1009, frame(opcode.binary, new Uint8Array(4), { length: 2n ** 62n })],
  ['46 a compressed message', 1002, frame(opcode.binary, pack([hello]), { rsv: 4 })],
  ['47 an unmasked frame', 1002, frame(opcode.binary, pack([hello]), { masked: false })],
  ['47 a reserved opcode', 1002, frame(3, pack([hello]))],
  ['47 reserved bits', 1002, frame(opcode.binary, pack([hello]), { rsv: 3 })],
  ['47 a long control frame', 1002, frame(opcode.ping, new Uint8Array(126))],
  ['47 a fragmented control frame', 1002, frame(opcode.ping, new Uint8Array(1), { fin: false })],
  ['48 the close code 999', 1002, frame(opcode.close, new Uint8Array([3, 231]))],
  ['48 the close code 1005', 1002, frame(opcode.close, new Uint8Array([3, 237]))],
  ['48 a close body of one byte', 1002, frame(opcode.close, new Uint8Array([3]))],
  ['48 a close reason that is no UTF-8', 1007, frame(opcode.close, new Uint8Array([3, 232, 0xff]))],
])('%s closes the connection with %d', { timeout }, async (_row, code, bytes) => {
  const target = await attacked()
  const client = await RawClient.open(target.port)
  client.send(bytes)
  const closed = await client.closed()
  expect(closed?.code).toBe(code)
  // One line, not too long, and without controls.
  expect(closed?.reason).toMatch(/^[\x20-\x7e]{0,100}$/)
  client.socket.destroy()
  await target.unharmed()
})

it.each<[string, Uint8Array]>([
  ['none', frame(opcode.close)],
  ['1000', frame(opcode.close, new Uint8Array([3, 232]))],
  ['4999 with a reason full of escapes', frame(opcode.close, new Uint8Array([0x13, 0x87, ...Buffer.from('\u001b[31m\n\u0000')]))],
])('48 a close with the code %s ends its contexts for loss', { timeout }, async (_name, bytes) => {
  const target = await attacked()
  const client = await RawClient.greeted(target.port)
  client.send(message(call(1, 'hold')))
  const ctx = await target.held.started()
  // 49 What comes behind a close is ignored.
  client.send(bytes, message(call(2, 'hold')))
  client.socket.end()
  const error = await ctx.done
  expect(error.cause).toMatchObject({ name: 'LinkLostError' })
  expect((error.cause as Error).message).toMatch(/^[^\p{Cc}]{1,200}$/u)
  expect(target.held.contexts).toHaveLength(2)
  await target.unharmed()
})

test.each([
  ['19 a gap in the ids is allowed', message(hello, call(1_000_000_000, 'echo'))],
  ['20 a cancel of what is over is ignored', message(hello, call(7, 'missing'), [3, 7, 0, null], call(8, 'echo'))],
  ['22 a cancel twice is ignored', message(hello, call(1, 'hold'), [3, 1, 0, null], [3, 1, 0, null], call(8, 'echo'))],
  ['23 a type from 64 to 127 is skipped', message(hello, [64, { x: 1 }], call(8, 'echo'), [127])],
  ['43 fragments of one byte with pings between them make a message', fragments(pack([hello, call(8, 'echo')]))],
  [
    '50 pongs that nobody asked for are ignored',
    Buffer.concat([...Array.from({ length: 500 }, () => frame(opcode.pong)), message(hello, call(8, 'echo'))]),
  ],
])('%s', { timeout }, async (_row, bytes) => {
  const target = await attacked()
  const client = await RawClient.open(target.port)
  client.send(bytes)
  expect(await client.answer()).toBeDefined()
  client.socket.destroy()
  await target.unharmed()
})

test.each([
  [-1, 0],
  [0, 0],
  [5e-324, 0],
  [-1e308, 0],
  [2 ** 31 - 1, 2],
  [2 ** 31, 2],
  [2 ** 32, 2],
  [2 ** 53, 2],
  [1e308, 2],
])('14, 15 a call with %d ms left', { timeout }, async (left, expected) => {
  const target = await attacked()
  const client = await RawClient.greeted(target.port)
  client.send(message(call(1, 'left', left)))
  const [[type]] = (await client.answer()) as [[number]]
  // An error, of the deadline, or the result.
  expect(type).toBe(expected === 0 ? 5 : 4)
  client.socket.destroy()
  await target.unharmed()
})

test('44 a flood of empty fragments closes the connection', { timeout }, async () => {
  const target = await attacked()
  const client = await RawClient.greeted(target.port)
  client.send(message(call(1, 'hold')))
  const ctx = await target.held.started()
  const empty = frame(0, new Uint8Array(), { fin: false })
  client.send(frame(opcode.binary, new Uint8Array(), { fin: false }), Buffer.concat(Array.from({ length: 140_000 }, () => empty)))
  expect(await client.closed()).toMatchObject({ code: 1008 })
  expect((await ctx.done).cause).toMatchObject({ name: 'LinkLostError' })
  await target.unharmed()
})

test('50 a flood of pings costs the one who sends them', { timeout }, async () => {
  const target = await attacked()
  const client = await RawClient.greeted(target.port)
  client.send(message(call(1, 'hold')))
  const ctx = await target.held.started()
  // It reads none of the answers, so they wait, up to what ws lets wait.
  client.socket.pause()
  client.send(Buffer.concat(Array.from({ length: 20_000 }, () => frame(opcode.ping))))
  expect((await ctx.done).cause).toMatchObject({ name: 'LinkLostError' })
  await target.unharmed()
})

test('55 a reset ends the contexts of that peer alone', { timeout }, async () => {
  const target = await attacked()
  const client = await RawClient.greeted(target.port)
  client.send(message(call(1, 'hold')))
  const ctx = await target.held.started()
  client.socket.resetAndDestroy()
  expect((await ctx.done).cause).toMatchObject({ name: 'LinkLostError' })
  await target.unharmed()
})

test('a client that says goodbye before its greeting, or nothing at all, leaves nothing', { timeout }, async () => {
  const target = await attacked()
  const silent = await RawClient.open(target.port)
  const gone = await RawClient.open(target.port)
  await until(() => target.service.stats().connections === 3)
  expect(target.service.connections.size).toBe(1)
  gone.send(frame(opcode.close))
  gone.socket.end()
  silent.socket.destroy()
  await target.unharmed()
})

test('a protocol error ends the contexts of that peer at once, though it does not hang up', { timeout }, async () => {
  const target = await attacked()
  const client = await RawClient.greeted(target.port)
  client.send(message(call(1, 'hold')))
  const ctx = await target.held.started()
  client.send(frame(opcode.binary, new Uint8Array(1), { masked: false }))
  const { cause } = await ctx.done
  expect(cause).toMatchObject({ name: 'LinkLostError', cause: { code: 'WS_ERR_EXPECTED_MASK' } })
  // And its socket does not stay, though it answers nothing.
  await until(() => target.server.clients.size === 1)
  await target.unharmed()
})

test('after service.close() a connection is turned away, and what it sends takes nobody down', { timeout }, async () => {
  const target = await local({ f: () => 1 })
  target.service.close()
  const client = await RawClient.open(target.port)
  client.send(frame(opcode.binary, new Uint8Array(1), { masked: false }), frame(3))
  expect(await client.closed()).toEqual({ code: 1001, reason: 'going away' })
  await expect(connect(target.url)).rejects.toMatchObject({
    code: 'ERR_LINK_LOST',
    message: expect.stringContaining('going away') as string,
  })
  await until(() => target.server.clients.size === 0)
})

function fragments(payload: Uint8Array): Uint8Array {
  const frames: Uint8Array[] = []
  for (const [i, byte] of payload.entries()) {
    frames.push(frame(i === 0 ? opcode.binary : 0, new Uint8Array([byte]), { fin: i === payload.length - 1 }), frame(opcode.ping))
  }
  // Fewer pings than ws takes at once.
  return Buffer.concat(frames.filter((_, i) => i % 2 === 0 || i < 80))
}
