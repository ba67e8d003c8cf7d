/** A client made of bytes, which says what a test wants it to say, also where no WebSocket library would. */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { Packr } from 'msgpackr'
import { onTestFinished } from 'vitest'
import { until } from './support.ts'

export const opcode = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const

export interface FrameOptions {
  readonly fin?: boolean
  readonly masked?: boolean
  /** The three reserved bits. */
  readonly rsv?: number
  /** The length that is claimed, where it is not the true one. */
  readonly length?: bigint
}

/** The bytes of a WebSocket frame from a client. */
export function frame(op: number, payload: Uint8Array = new Uint8Array(), options: FrameOptions = {}): Uint8Array {
  const { fin = true, masked = true, rsv = 0, length = BigInt(payload.length) } = options
  const head = [(fin ? 0x80 : 0) | (rsv << 4) | op]
  const mask = masked ? 0x80 : 0
  if (length < 126n) head.push(mask | Number(length))
  else if (length < 65_536n) head.push(mask | 126, Number(length >> 8n), Number(length & 255n))
  else {
    head.push(mask | 127)
    for (let shift = 56n; shift >= 0n; shift -= 8n) head.push(Number((length >> shift) & 255n))
  }
  if (!masked) return Buffer.concat([Buffer.from(head), payload])
  const key = randomBytes(4)
  const body = payload.map((byte, i) => byte ^ (key[i & 3] as number))
  return Buffer.concat([Buffer.from(head), key, body])
}

const packr = new Packr({ useRecords: false, variableMapSize: true })

export function pack(data: unknown): Uint8Array {
  return new Uint8Array(packr.pack(data))
}

export function unpack(bytes: Uint8Array): unknown {
  return packr.unpack(bytes)
}

/** A binary message of frames of the protocol. */
export function message(...frames: unknown[]): Uint8Array {
  return frame(opcode.binary, pack(frames))
}

export const hello = [1, 1, [1_048_576, 1_000, 1_000, 16, 0], 'raw', 'end of a raw client']
export const call = (id: number, method: string, left: number | null = null): unknown[] => [2, id, method, [left, null, []], []]

export class RawClient {
  readonly socket: Socket
  #received = Buffer.alloc(0)
  ended = false

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (bytes) => (this.#received = Buffer.concat([this.#received, bytes])))
    socket.on('close', () => (this.ended = true))
    // The server may have gone away while something was written.
    socket.on('error', () => {})
  }

  /** Connects and has upgraded. */
  static async open(port: number, header = 'X-Nothing: 0'): Promise<RawClient> {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    onTestFinished(() => void socket.destroy())
    await once(socket, 'connect')
    const client = new RawClient(socket)
    const key = randomBytes(16).toString('base64')
    socket.write(
      `GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n${header}\r\n\r\n`,
    )
    await until(() => client.#received.includes('\r\n\r\n'))
    client.#received = client.#received.subarray(client.#received.indexOf('\r\n\r\n') + 4)
    return client
  }

  /** Has upgraded and greeted. */
  static async greeted(port: number): Promise<RawClient> {
    const client = await RawClient.open(port)
    client.send(message(hello))
    return client
  }

  send(...bytes: Uint8Array[]): void {
    this.socket.write(Buffer.concat(bytes))
  }

  /** The frames that the server has sent. */
  frames(): { op: number; payload: Buffer }[] {
    const frames: { op: number; payload: Buffer }[] = []
    let rest = this.#received
    while (rest.length >= 2) {
      const short = (rest[1] as number) & 0x7f
      const head = short < 126 ? 2 : short === 126 ? 4 : 10
      if (rest.length < head) break
      const length = short < 126 ? short : short === 126 ? rest.readUInt16BE(2) : Number(rest.readBigUInt64BE(2))
      if (rest.length < head + length) break
      frames.push({ op: (rest[0] as number) & 0x0f, payload: rest.subarray(head, head + length) })
      rest = rest.subarray(head + length)
    }
    return frames
  }

  /** The first message of frames of the protocol behind the greeting. */
  async answer(): Promise<unknown> {
    await until(() => this.ended || this.frames().filter(({ op }) => op === opcode.binary).length > 1)
    const payload = this.frames().filter(({ op }) => op === opcode.binary)[1]?.payload
    return payload === undefined ? undefined : unpack(payload)
  }

  /** The code of the server's close frame, or undefined once it has answered a ping. */
  async verdict(): Promise<number | undefined> {
    const ends = ({ op }: { op: number }): boolean => op === opcode.close || op === opcode.pong
    await until(() => this.ended || this.frames().some(ends))
    const end = this.frames().find(ends)
    if (end === undefined) throw new Error('The connection went without a word.')
    return end.op === opcode.close ? end.payload.readUInt16BE(0) : undefined
  }

  /** The code and reason of the server's close frame; undefined when the connection went without one. */
  async closed(): Promise<{ code: number; reason: string } | undefined> {
    const isClose = ({ op }: { op: number }): boolean => op === opcode.close
    await until(() => this.ended || this.socket.readableEnded || this.frames().some(isClose))
    const payload = this.frames().find(isClose)?.payload
    return payload === undefined ? undefined : { code: payload.readUInt16BE(0), reason: payload.toString('utf8', 2) }
  }
}
