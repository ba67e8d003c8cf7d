/**
 * What comes over TCP to a server: a request to upgrade, with the headers that anybody can write, and behind it WebSocket's own frames. The
 * server is Node's and ws's, with `serve` behind it; only the network is left out.
 */
import { createServer } from 'node:http'
import { Duplex } from 'node:stream'
import { WebSocketServer } from 'ws'
import type { Context } from '../../lib/context.ts'
import { closeCode } from '../../lib/bridge/link.ts'
import { serve } from '../../transports/websocket/serve.ts'
import { damage, join } from './bytes.ts'
import { anyIds, frame, hello } from './frames.ts'
import { writeValue } from './msgpack.ts'
import type { Random } from './random.ts'
import { shorter, type Target } from './target.ts'
import { bend } from './values.ts'

interface Stream {
  readonly request: Uint8Array
  /** What comes behind it, in the pieces in which it comes. */
  readonly pieces: readonly Uint8Array[]
}

export const upgradeTarget: Target = {
  name: 'upgrade',
  weight: 4,
  outcomes: [
    '400',
    '401',
    '403',
    '405',
    '426',
    '101 open',
    '101 1002',
    '101 1003',
    '101 1007',
    '101 1009',
    '101 4400',
    '101 1000',
    'nothing',
  ],
  make: stream,
  check: (input) => check(input as Stream),
  *smaller(input) {
    const { request, pieces } = input as Stream
    for (const fewer of shorter(pieces as Uint8Array[], (a, b) => [...a, ...b])) yield { request, pieces: fewer }
    for (const less of shorter(request, join)) yield { request: less, pieces }
  },
}

const good = { origin: 'https://good.example', token: 'Bearer good' }

function stream(random: Random): Stream {
  const header = (name: string, value: string): string[] =>
    random.once(50) ? [] : [`${name}: ${random.once(60) ? spoiled(random) : value}`]
  const lines = [
    ...header('Host', 'here.example'),
    ...header(random.once(9) ? 'CONNECTION' : 'Connection', random.once(9) ? 'keep-alive, Upgrade' : 'Upgrade'),
    ...header('Upgrade', 'websocket'),
    ...header('Sec-WebSocket-Version', random.once(40) ? '7' : '13'),
    ...header('Sec-WebSocket-Key', 'AAAAAAAAAAAAAAAAAAAAAA=='),
    ...header('Authorization', random.once(12) ? random.of(['Bearer evil', 'bearer good', good.token.slice(0, -1)]) : good.token),
  ]
  if (random.once(2))
    lines.push(
      `Origin: ${random.once(6) ? random.of(['null', 'https://evil.example', `${good.origin}.evil`, '%']) : good.origin}`,
    )
  if (random.once(12))
    lines.push(
      random.of([
        'Origin: https://evil.example',
        'Authorization: Bearer evil',
        'Sec-WebSocket-Extensions: permessage-deflate',
        'Sec-WebSocket-Protocol: a, b',
        'Content-Length: 5',
        'Transfer-Encoding: chunked',
        `X: ${'x'.repeat(20_000)}`,
      ]),
    )
  const first = `${random.once(40) ? random.of(['POST', 'get', 'CONNECT', '']) : 'GET'} ${random.once(40) ? spoiled(random) : '/'} HTTP/1.1`
  let request: Uint8Array = Buffer.from(`${[first, ...lines].join('\r\n')}\r\n\r\n`, 'latin1')
  if (random.once(15)) request = damage(request, request, random)
  return { request, pieces: Array.from({ length: random.below(6) }, (_, i) => piece(random, i)) }
}

function spoiled(random: Random): string {
  return random.of(['', ' ', 'x', '\0', '\r', '\n', '\u00ff', 'http://[', '//', '*', ','.repeat(300), '"', ';'])
}

/** A frame of WebSocket: FIN and an opcode, a mask, and mostly a message of the protocol. */
function piece(random: Random, i: number): Uint8Array {
  const ids = anyIds(random)
  const opcode = random.once(5) ? random.of([0, 1, 3, 8, 9, 10, 11, 15]) : 2
  const frames = i === 0 ? [hello(random)] : [frame(random, ids)]
  const text = [Buffer.from('text'), new Uint8Array([0xc0, 0x80]), new Uint8Array()]
  const close = [new Uint8Array([3, 232]), new Uint8Array([3, 237]), new Uint8Array([7]), new Uint8Array([17, 48, 0xff])]
  const payload =
    opcode === 8
      ? random.of(close)
      : opcode === 2
        ? writeValue(random.once(8) ? bend(frames, random) : frames, random, 0)
        : random.of(text)
  const [mask, key] = [random.once(40) ? 0 : 0x80, random.bytes(4)]
  const length = random.once(60)
    ? [127, 0, 0, 0, 1, 0, 0, 0, 0]
    : payload.length < 126
      ? [payload.length]
      : [126, payload.length >> 8, payload.length & 0xff]
  const head = [
    (random.once(30) ? 0 : 0x80) | (random.once(60) ? 0x40 : 0) | opcode,
    mask | (length[0] as number),
    ...length.slice(1),
  ]
  const masked = payload.map((byte, at) => (mask === 0 ? byte : byte ^ (key[at & 3] as number)))
  const whole = join(new Uint8Array(head), mask === 0 ? new Uint8Array() : key, masked)
  return random.once(20) ? damage(whole, whole, random) : whole
}

/** The server's end of a connection without a network. */
class Pipe extends Duplex {
  readonly answered: Buffer[] = []

  override _read(): void {
    // What comes is pushed when it comes.
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.answered.push(chunk)
    done()
  }
}

let server: ReturnType<typeof start> | undefined

function start(): { readonly connect: (pipe: Pipe) => void; readonly connections: () => number } {
  const http = createServer((_request, response) => void response.writeHead(426).end())
  // As the default of Node does, which writes to a socket.
  http.on('clientError', (_error, socket) => void socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))
  const sockets = new WebSocketServer({ server: http, perMessageDeflate: false, maxPayload: 4_096 })
  const service = serve(
    sockets,
    { echo: (_ctx: Context, x: unknown) => x },
    {
      // A session that broke waits for its peer no longer than this, in ms.
      lease: { resume: 1 },
      allowedOrigins: [good.origin],
      authorize: ({ headers }) => headers.authorization === good.token && 'somebody',
    },
  )
  return { connect: (pipe) => void http.emit('connection', pipe), connections: () => service.stats().connections }
}

const ofWebSocket = [1002, 1006, 1007, 1008]
const codes: ReadonlySet<number> = new Set([...Object.values(closeCode), ...ofWebSocket])

async function check({ request, pieces }: Stream): Promise<string> {
  server ??= start()
  const pipe = new Pipe()
  pipe.on('error', () => undefined)
  server.connect(pipe)
  for (const bytes of [request, ...pieces]) {
    if (pipe.destroyed || pipe.readableEnded) break
    pipe.push(bytes)
    for (let turns = 3; turns > 0; turns--) await new Promise(setImmediate)
  }
  const answer = Buffer.concat(pipe.answered)
  pipe.push(null)
  pipe.destroy()
  for (let turns = 20_000; turns > 0 && server.connections() > 0; turns--) await new Promise(setImmediate)
  if (server.connections() > 0) {
    server = undefined
    throw new Error('a connection that is gone is still counted')
  }
  if (answer.length === 0) return 'nothing'
  const status = /^HTTP\/1\.1 (\d{3}) /.exec(answer.toString('latin1'))?.[1]
  if (status !== '101') {
    if (status === undefined || status >= '500') throw new Error(`answered ${answer.toString('latin1').slice(0, 100)}`)
    return status
  }
  checkAllowed(Buffer.from(join(request, ...pieces)).toString('latin1'))
  const code = closedWith(answer.subarray(answer.indexOf('\r\n\r\n') + 4))
  if (code !== undefined && !codes.has(code)) throw new Error(`closed with ${code}`)
  return `101 ${code ?? 'open'}`
}

/** Whoever was let in had the token, and came from no other page. */
function checkAllowed(head: string): void {
  const values = (name: string): string[] =>
    [...head.matchAll(new RegExp(`\\n${name}:[ \\t]*([^\\r\\n]*)`, 'gi'))].map(([, value = '']) => value.trim())
  if (!values('authorization').includes(good.token)) throw new Error('let in without the token')
  const [origin] = values('origin')
  if (origin !== undefined && origin !== good.origin) throw new Error(`let in from ${origin}`)
}

/** The code of the close frame among the server's frames, which are not masked; 1000 where it has none. */
function closedWith(bytes: Buffer): number | undefined {
  for (let at = 0; at + 1 < bytes.length; ) {
    const short = (bytes[at + 1] as number) & 0x7f
    const length = short < 126 ? short : bytes.readUInt16BE(at + 2)
    const start = at + (short < 126 ? 2 : 4)
    if (((bytes[at] as number) & 0x0f) === 8) return length < 2 ? 1000 : bytes.readUInt16BE(start)
    at = start + length
  }
  return undefined
}
