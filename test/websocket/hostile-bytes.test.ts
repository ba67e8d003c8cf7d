/** What a peer may send, all of it: every prefix, every bit, every type. Each on a connection of its own, beside somebody honest. */
import { expect, test } from 'vitest'
import { attacked } from './attacked.ts'
import { call, frame, hello, opcode, pack, RawClient } from './raw.ts'

const timeout = 60_000

/** Sends messages, each on a connection of its own, and tells with which codes these are closed; 0 for those that are not. */
async function verdicts(port: number, messages: readonly Uint8Array[]): Promise<number[]> {
  const codes: number[] = []
  for (const bytes of messages) {
    const client = await RawClient.open(port)
    // The ping behind it is answered where the message is one that may be sent.
    client.send(frame(opcode.binary, bytes), frame(opcode.ping))
    codes.push((await client.verdict()) ?? 0)
    client.socket.destroy()
  }
  return codes
}

/** A greeting, a call with a deadline, a value and an argument, a cancel with a cause. */
const good = pack([
  hello,
  [2, 1, 'hold', [60_000, [0, 'slow'], [['user', 'ann']]], [{ text: 'ü', bytes: new Uint8Array([1, 2]) }]],
  [3, 1, 0, [6, 'TypeError', 'no', 'E_NO', null]],
])

test('2 every prefix of a message closes the connection, and none is waited for', { timeout }, async () => {
  const target = await attacked()
  const prefixes = Array.from(good, (_, length) => good.subarray(0, length))
  expect(new Set(await verdicts(target.port, prefixes))).toEqual(new Set([4400]))
  await target.unharmed()
})

test('6 a message with any one bit turned is either good or closes the connection', { timeout }, async () => {
  const target = await attacked()
  const turned = Array.from({ length: good.length * 8 }, (_, bit) => {
    const copy = new Uint8Array(good)
    copy[bit >> 3] = (copy[bit >> 3] as number) ^ (1 << (bit & 7))
    return copy
  })
  const codes = await verdicts(target.port, turned)
  // 4429: a limit of the sender's own that has become smaller.
  expect([...new Set(codes)].filter((code) => ![0, 4400].includes(code))).toEqual([])
  expect(codes.filter((code) => code === 4400).length).toBeGreaterThan(100)
  expect(codes.filter((code) => code === 0).length).toBeGreaterThan(100)
  await target.unharmed()
})

test('5 random bytes close the connection', { timeout }, async () => {
  const target = await attacked()
  let state = 42
  const random = (): number => (state = (state * 1_103_515_245 + 12_345) & 0x7f_ff_ff_ff) >> 8
  const messages = Array.from({ length: 300 }, () => Uint8Array.from({ length: random() % 200 }, () => random() & 255))
  expect(new Set(await verdicts(target.port, messages))).toEqual(new Set([4400]))
  await target.unharmed()
})

test('13 no extension is taken, of whatever type and length', { timeout }, async () => {
  const target = await attacked()
  const before = [...pack([hello, call(1, 'echo')])].slice(0, -1)
  const extensions = Array.from({ length: 256 }, (_, type) => {
    const heads = [
      [0xd4, type, 0],
      [0xd6, type, 0, 0, 0, 0],
      [0xc7, 2, type, 0xc0, 0xc0],
      [0xc8, 0, 1, type, 0x90],
    ]
    return new Uint8Array([...before, 0x91, ...(heads[type & 3] as number[])])
  })
  expect(new Set(await verdicts(target.port, extensions))).toEqual(new Set([4400]))
  await target.unharmed()
})

test('11 keys that objects have for other purposes are keys like any other', { timeout }, async () => {
  const target = await attacked()
  const client = await RawClient.greeted(target.port)
  const value = { constructor: { prototype: { polluted: 1 } }, prototype: 1, hasOwnProperty: 2, toString: 3, valueOf: 4, then: 5 }
  client.send(frame(opcode.binary, pack([[2, 1, 'echo', [null, null, []], [value]]])))
  expect(await client.answer()).toEqual([[4, 1, value]])
  client.socket.destroy()
  await target.unharmed()
})

test('11 only own methods can be called, and none that an object has for other purposes', { timeout }, async () => {
  const target = await attacked()
  const names = [
    'constructor',
    'toString',
    'hasOwnProperty',
    '__proto__',
    '__defineGetter__',
    'then',
    'valueOf',
    'isPrototypeOf',
    'nope',
  ]
  const client = await RawClient.greeted(target.port)
  client.send(frame(opcode.binary, pack(names.map((name, i) => call(i + 1, name)))))
  const answers = (await client.answer()) as [number, number, unknown[]][]
  expect(answers.map(([type, id, [, , , code]]) => [type, id, code])).toEqual(names.map((_, i) => [5, i + 1, 'ERR_NO_METHOD']))
  client.socket.destroy()
  await target.unharmed()
})
