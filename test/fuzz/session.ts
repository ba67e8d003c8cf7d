/**
 * What connects to a side that accepts: greetings, tokens that are good, old, stolen or made up, connections that break and come
 * again, on behalf of two people, of whom the second must never get at what is the first one's.
 */
import { type Channel, closeCode, Link } from '../../lib/bridge/link.ts'
import { Acceptor, type Connected } from '../../lib/bridge/link-acceptor.ts'
import { createRoot } from '../../lib/context.ts'
import { LinkLostError } from '../../lib/errors.ts'
import { byteCodec } from '../../transports/websocket/msgpackr.ts'
import { createFakeClock } from '../../transports/testing/clock.ts'
import { damage } from './bytes.ts'
import { hello } from './frames.ts'
import { writeValue } from './msgpack.ts'
import type { Random } from './random.ts'
import { checkReason, shorter, type Target } from './target.ts'
import { bend, list } from './values.ts'

type Step =
  | { readonly what: 'connect'; readonly who: number }
  | { readonly what: 'message'; readonly on: number; readonly bytes: Uint8Array }
  | { readonly what: 'lost'; readonly on: number; readonly final: boolean }
  | { readonly what: 'overdue'; readonly on: number }
  | { readonly what: 'pass'; readonly ms: number }

const codec = byteCodec()

export const sessionTarget: Target = {
  name: 'session',
  weight: 25,
  outcomes: ['opened', 'resumed', 'refused', 'plain', 'nothing'],
  make: steps,
  check: (input) => check(input as Step[]),
  smaller: (input) => shorter(input as Step[], (a, b) => [...a, ...b]),
}

/** Tokens are numbered, so that a peer here can have each, its own and those of others. */
function steps(random: Random): Step[] {
  let connections = 0
  let tokens = 0
  const greet = (): unknown[] => {
    const greeting = hello(random, 'always')
    greeting[4] = `peer ${random.once(20) ? 1 : 0}`
    const fresh = tokens === 0 || random.once(4)
    // One more is given out wherever somebody is let in.
    const guess = Math.max(1, tokens - random.small(2))
    if (fresh || guess === tokens) tokens++
    greeting[5] = [fresh ? '' : random.once(12) ? 'made up' : `token ${guess}`, random.small(2)]
    return greeting
  }
  const made: Step[] = []
  for (let left = random.between(1, 24); left > 0; left--) {
    const on = Math.max(0, connections - 1 - random.small(3))
    const say = (frames: unknown[]): void => {
      let bytes = writeValue(random.once(15) ? bend(frames, random) : frames, random, 0)
      if (random.once(25)) bytes = damage(bytes, bytes, random)
      made.push({ what: 'message', on, bytes })
    }
    switch (connections === 0 ? 0 : random.below(9)) {
      case 0:
      case 1:
        made.push({ what: 'connect', who: random.once(10) ? 1 : 0 })
        connections++
        if (random.once(4)) break
        made.push({ what: 'message', on: connections - 1, bytes: writeValue([greet()], random, 0) })
        break
      case 2:
      case 3:
      case 4:
        say([random.once(12) ? hello(random, 'never') : greet()])
        break
      case 5:
        say(
          list(random, 3, () =>
            random.of<unknown[]>([[8, 1], [15, random.below(3)], [2, random.between(1, 30), 'hold', [null, null, []], []], [64]]),
          ),
        )
        break
      case 6:
        made.push({ what: 'lost', on, final: random.once(4) })
        break
      case 7:
        made.push({ what: 'overdue', on })
        break
      default:
        made.push({ what: 'pass', ms: random.of([1, 500, 1_100, 12_000, 31_000]) })
    }
  }
  return made
}

/** One connection, as its peer sees it. */
class Line implements Channel {
  readonly who: number
  connected: Connected<Uint8Array> | undefined
  closed = 0
  greetings = 0
  fault: Error | undefined

  constructor(who: number) {
    this.who = who
  }

  send(bytes: Uint8Array): void {
    if (this.closed !== 0) this.fault = new Error('sent behind a close')
    const frames = codec.decode(bytes)
    if (!frames.ok) this.fault = new Error(`a message that no peer takes: ${frames.reason}`)
    else if (frames.value.some(({ type }) => type === 'hello') && ++this.greetings > 1) this.fault = new Error('greeted twice')
  }

  queued(): number {
    return 0
  }

  drained(): void {}

  close(code: number, reason: string): void {
    checkReason(reason)
    this.closed = code
  }

  terminate(): void {
    this.closed = 1006
  }
}

async function check(input: readonly Step[]): Promise<string> {
  const clock = createFakeClock()
  const seen = new Set<string>()
  const lines: Line[] = []
  const owners = new Map<Link, number>()
  const open = new Set<Link>()
  let tokens = 0
  let connecting = 0
  const acceptor: Acceptor<Uint8Array> = new Acceptor({
    codec,
    maxMessage: 65_536,
    token: () => `token ${++tokens}`,
    link: (channel, session) => {
      const link: Link = new Link({
        channel,
        codec,
        id: `link ${tokens}`,
        root: () => createRoot({ clock }),
        defer: queueMicrotask,
        report: () => undefined,
        serve: { hold: () => new Promise(() => undefined) },
        lease: {},
        session,
        onClose: () => {
          open.delete(link)
          acceptor.forget(link)
        },
      })
      seen.add(session === undefined ? 'plain' : 'opened')
      owners.set(link, connecting)
      open.add(link)
      return link
    },
  })
  const reason = new LinkLostError('cut')
  for (const step of input) {
    const line = 'on' in step ? lines[step.on] : undefined
    if (step.what === 'connect') {
      const made = new Line(step.who)
      made.connected = acceptor.connect(made, step.who)
      lines.push(made)
    } else if (step.what === 'pass') clock.advanceSync(step.ms)
    else if (line?.connected === undefined) continue
    else if (step.what === 'overdue') line.connected.refuse({ code: 4408, reason: 'late' })
    else if (step.what === 'lost') {
      line.connected.lost(reason, step.final)
      line.connected = undefined
    } else {
      connecting = line.who
      const before = line.connected.link
      const all = open.size
      line.connected.receive(step.bytes)
      const { link } = line.connected
      if (before === undefined && link !== undefined && open.size === all && open.has(link)) seen.add('resumed')
      if (line.closed === closeCode.noSession) seen.add('refused')
      if (link !== undefined && owners.get(link) !== line.who) throw new Error('somebody has the link of somebody else')
    }
    await undefined
    await undefined
    if (acceptor.tokens > 2 * open.size) throw new Error(`${acceptor.tokens} tokens are good for ${open.size} links`)
  }
  for (const line of lines) line.connected?.lost(reason, true)
  // Links that had lost their connections before wait for another one, and not for ever.
  clock.advanceSync(40_000)
  await undefined
  clock.advanceSync(1)
  for (const line of lines) if (line.fault !== undefined) throw line.fault
  const bearers = [...open].map((link) => link.stats().state)
  if (acceptor.tokens + open.size + clock.timers > 0) {
    throw new Error(`left behind: ${acceptor.tokens} tokens, ${open.size} links (${bearers.join()}), ${clock.timers} timers`)
  }
  return ['resumed', 'refused', 'opened', 'plain'].find((outcome) => seen.has(outcome)) ?? 'nothing'
}
