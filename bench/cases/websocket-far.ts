/** Another process of the bench: started, asked, and closed from here. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { background, withCancel } from 'ctxbridge'
import { connect, wrap } from 'ctxbridge/websocket'
import { pack, unpack } from 'msgpackr'
import { WebSocket } from 'ws'
import type { FromProcess, Question, Served, ToProcess } from '../far/service-types.ts'
import { compareClocks } from '../harness/clock.ts'
import type { ClockResult } from '../harness/model.ts'
import { Reports } from '../harness/reports.ts'
import { farProgram } from './paths.ts'

export type Ports = Extract<FromProcess, { ports: unknown }>['ports']

export interface Far {
  readonly ports: Ports
  readonly reports: Reports
  ask(what: Question): Promise<number>
  /** From now on so many events are reported as one. */
  expect(events: number): Promise<void>
  close(): Promise<void>
}

export async function far(upstream?: Ports): Promise<Far> {
  const child: ChildProcess = fork(farProgram('service'), upstream === undefined ? [] : [JSON.stringify(upstream)], {
    execArgv: [],
  })
  const reports = new Reports()
  const exited = once(child, 'exit')
  let closing = false
  void exited.then(() => closing || reports.fail(new Error('The far process has exited.')))
  const [{ ports }] = (await once(child, 'message')) as [{ ports: Ports }]
  let answer: ((value: number) => void) | undefined
  child.on('message', (message: FromProcess) => {
    if ('report' in message) reports.add(message.report)
    else if ('clock' in message) answer?.(message.clock)
    else if ('bytes' in message) answer?.(message.bytes)
  })
  const send = (order: ToProcess): void => void child.send(order)
  return {
    ports,
    reports,
    ask: (what) => {
      const value = new Promise<number>((resolve) => (answer = resolve))
      send({ ask: what })
      return value
    },
    async expect(events) {
      send({ expect: events })
      await reports.ready()
    },
    async close() {
      closing = true
      child.disconnect()
      await exited
    },
  }
}

export const urlOf = (port: number): string => `ws://127.0.0.1:${port}`

export async function bareSocket(port: number, gateway = false): Promise<WebSocket> {
  const socket = new WebSocket(urlOf(port), { perMessageDeflate: false })
  // A gateway says when its own connection is open; that may come along with the answer to ours.
  const through = gateway ? once(socket, 'message') : undefined
  await once(socket, 'open')
  await through
  return socket
}

/** Calls by bare ws and msgpackr: an id goes there and comes back with the result. */
export async function bareEcho(it: Far): Promise<{ call(): Promise<number>; close(): Promise<void> }> {
  const socket = await bareSocket(it.ports.ws)
  const waiting = new Map<number, (value: number) => void>()
  let id = 0
  socket.on('message', (data: Buffer) => {
    const [id, value] = unpack(data) as [number, number]
    waiting.get(id)?.(value)
    waiting.delete(id)
  })
  return {
    call: () =>
      new Promise((resolve) => {
        waiting.set(++id, resolve)
        socket.send(pack([1, id, 'nothing']))
      }),
    async close() {
      socket.close()
      await it.close()
    },
  }
}

/** A cancel of ours, without a cause, in bytes of a message: what a bare frame is to be as long as. Measured, not believed. */
export async function cancelSize(it: Far): Promise<number> {
  const connection = await connect(urlOf(it.ports.link))
  const remote = wrap<Served>(connection)
  const ctx = withCancel(background())
  const call = remote.watch(ctx).catch(() => {})
  await it.reports.ready()
  const before = await it.ask('bytes')
  ctx.cancel()
  await it.reports.seen()
  await call
  const after = await it.ask('bytes')
  connection.close()
  // A client's frame has two bytes of header and four of mask.
  return after - before - 6
}

/** Waits until both sides have come to rest: what opening thousands of calls has left to the collector is taken as soon as there is nothing else to do. */
export function rest(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 50))
}

export async function processClock(): Promise<ClockResult> {
  const it = await far()
  const result = await compareClocks('this process and another', () => it.ask('clock'))
  await it.close()
  return result
}
