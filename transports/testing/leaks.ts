/** What a test must not leave behind. */
import { type Connection, LinkConnection } from '../../lib/bridge/link-connection.ts'
import { LinkService, type Service } from '../../lib/bridge/link-service.ts'
import type { Context } from '../../lib/context.ts'
import { isContext, scopeOf } from '../../lib/foreign.ts'
import { attempt, named } from '../../lib/given.ts'
import { observersOf } from '../../lib/observers.ts'
import { type FakeClock, timelineOf } from './clock.ts'
import type { LinkedPair } from './pair.ts'

/** What can be asked. */
export type LeakSource = FakeClock | Connection | Service | LinkedPair | Context

/**
 * Throws an error that lists all that is left: of a fake clock, timers; of a connection, of a service and of both sides of a pair, calls, handlers and contexts that
 * crossed; of a pair, also timers and connections; of a context that has not ended, listeners and descendants that observe it (who only asked for `signal` or `done` is not counted).
 *
 * Call it when everything should be over, after the last message has had its time: `await clock.advance(...)`, and `await pair.close()` before a pair or its clock is asked, since a
 * connection that is open watches its peer by a timer.
 *
 * @throws TypeError when one of them is none of these
 */
export function assertNoLeaks(...sources: readonly LeakSource[]): void {
  const left = sources.flatMap((source) => leftOf(source))
  if (left.length > 0) throw new Error(`Left behind: ${left.join('; ')}.`)
}

function leftOf(source: LeakSource): string[] {
  const left = attempt(() => askedOf(source))
  if (left !== undefined) return left
  throw new TypeError(`assertNoLeaks() needs fake clocks, connections, services, pairs and contexts, but got ${named(source)}.`)
}

/** Undefined where nobody knows what it is. Throws what a proxy throws. */
function askedOf(source: LeakSource): string[] | undefined {
  if (isContext(source)) {
    const { end, watch } = scopeOf(source, 'assertNoLeaks')
    return count(end === undefined && watch !== undefined ? observersOf(watch) : 0, 'observers', String(source))
  }
  if (source instanceof LinkConnection) {
    const { calls, handlers, exports, imports } = source.stats()
    const who = `the connection with ${JSON.stringify(source.peerName)}`
    return [
      ...count(calls, 'calls', who),
      ...count(handlers, 'handlers', who),
      ...count(exports, 'exported contexts', who),
      ...count(imports, 'imported contexts', who),
    ]
  }
  if (source instanceof LinkService) {
    const { calls, handlers, contexts } = source.stats()
    return [
      ...count(calls, 'calls', 'the service'),
      ...count(handlers, 'handlers', 'the service'),
      ...count(contexts, 'contexts', 'the service'),
    ]
  }
  if (isPair(source)) {
    const { client, server, clock, serverClock, network } = source
    const clocks = clock === serverClock ? [clock] : [clock, serverClock]
    return [...[client, server, ...clocks].flatMap(leftOf), ...count(network.connections, 'connections', 'the network')]
  }
  return isFakeClock(source) ? count(source.timers, 'timers', 'the clock') : undefined
}

function isFakeClock(source: LeakSource): source is FakeClock {
  return typeof source === 'object' && source !== null && timelineOf(source as FakeClock) !== undefined
}

function isPair(source: LeakSource): source is LinkedPair {
  return typeof source === 'object' && source !== null && 'network' in source && 'client' in source
}

function count(n: number, what: string, where: string): string[] {
  return n === 0 ? [] : [`${n} ${n === 1 ? what.slice(0, -1) : what} of ${where}`]
}
