/** The vectors that `docs/protocol.md` points to: what is written there for peers in other languages is what this one does. */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import type { Context } from '../../lib/context.ts'
import { messageFromWire, messageToWire } from '../../lib/wire/frame-codec.ts'
import { decodeMessage, encodeMessage } from '../../transports/websocket/msgpackr.ts'
import { turn } from '../support/gc.ts'
import { Side } from './support.ts'

interface Vectors {
  readonly version: number
  readonly messages: readonly { readonly name: string; readonly bytes: string; readonly frames: unknown[] }[]
  readonly refused: readonly { readonly name: string; readonly bytes: string; readonly reason: string }[]
  readonly skipped: readonly { readonly name: string; readonly bytes: string }[]
  readonly conversations: readonly { readonly name: string; readonly steps: readonly Step[] }[]
}

interface Step {
  readonly send?: unknown[]
  readonly get?: unknown[]
  readonly close?: number
  readonly reason?: string
}

const vectors = JSON.parse(readFileSync(new URL('../vectors/protocol.json', import.meta.url), 'utf8')) as Vectors

/** Bytes stand as `{ "$bytes": hex }` in the file. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain)
  if (typeof value !== 'object' || value === null) return value
  if ('$bytes' in value) return new Uint8Array(Buffer.from(value.$bytes as string, 'hex'))
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, plain(member)]))
}

const bytesOf = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, 'hex'))

describe('a message', () => {
  it.each(vectors.messages)('$name', ({ bytes, frames }) => {
    const wire = plain(frames) as unknown[]
    const decoded = decodeMessage(bytesOf(bytes))
    if (!decoded.ok) throw new Error(decoded.reason)
    expect(messageToWire(decoded.value)).toStrictEqual(wire)
    const read = messageFromWire(structuredClone(wire))
    if (!read.ok) throw new Error(read.reason)
    expect(Buffer.from(encodeMessage(read.value)).toString('hex')).toBe(bytes)
  })
})

describe('what is refused', () => {
  it.each(vectors.refused)('$name', ({ bytes, reason }) => {
    expect(decodeMessage(bytesOf(bytes))).toStrictEqual({ ok: false, reason })
  })
})

describe('what is skipped', () => {
  it.each(vectors.skipped)('$name', ({ bytes }) => {
    expect(decodeMessage(bytesOf(bytes))).toStrictEqual({ ok: true, value: [] })
  })
})

describe('a conversation', () => {
  const serve = {
    echo: (_ctx: Context, value: unknown) => value,
    none: () => undefined,
    fail: () => {
      throw new Error('no')
    },
    hold: (ctx: Context) => ctx.done.then((error) => Promise.reject(error)),
    async *count(_ctx: Context, to: number) {
      for (let n = 1; n <= to; n++) yield n
    },
  }

  it.each(vectors.conversations)('$name', async ({ steps }) => {
    const side = new Side({ serve, name: 'server' })
    const sent: unknown[] = []
    const take = async (): Promise<void> => {
      await turn()
      for (const message of side.channel.frames()) sent.push(...messageToWire(message))
      side.channel.waiting.length = 0
    }
    await take()
    expect((sent.shift() as unknown[]).slice(0, 2)).toEqual([1, vectors.version])
    for (const { send, get, close, reason } of steps) {
      if (send !== undefined) side.raw(...send)
      if (get !== undefined) {
        await take()
        expect(sent.splice(0)).toStrictEqual(get)
      }
      if (close !== undefined) expect(side.channel.closed).toEqual({ code: close, reason })
    }
    if (side.open) {
      await turn()
      expect(side.link.stats()).toMatchObject({ handlers: 0, imports: 0 })
    }
  })
})
