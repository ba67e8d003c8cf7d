/** Who can be reached in memory: the sockets of a side that connects, and the service that they lead to. */
import type { Sockets } from '../../lib/bridge/link-dial.ts'
import type { LinkService } from '../../lib/bridge/link-service.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Timeline } from './timeline.ts'
import { Wire, type WireEnd } from './wire.ts'

/** Where a connection leads to, and how it is reached at present. */
export interface Destination<M> {
  readonly clock: Clock
  /** Takes connections. */
  readonly service: Pick<LinkService<M>, 'accept'>
  /** The identity of who connects. */
  readonly identity: unknown
  /** `open`: connections come through. `down`: nobody answers. `refusing`: nobody is there. */
  state: 'open' | 'down' | 'refusing'
}

export interface NetworkOptions<M> {
  readonly timeline: Timeline
  readonly clock: Clock
  readonly latency: () => number
  readonly size: (message: M) => number
  readonly buffer?: number
  readonly trail?: () => number
  /** Told of each connection as it comes about. */
  readonly onWire?: (wire: Wire<M>) => void
  /** Runs what happens at the side that connects, and at the other one. */
  readonly run?: readonly [client: (f: () => void) => void, server: (f: () => void) => void]
}

class Refused extends Error {}

const direct = (f: () => void): void => f()

/** Sockets that lead to one destination. */
export function memorySockets<M>(
  options: NetworkOptions<M>,
  destination: () => Destination<M> | undefined,
): Sockets<WireEnd<M>, M> {
  const { timeline, clock, latency, size, buffer, trail, onWire, run = [direct, direct] } = options
  return {
    open: (_url, _maxMessage, signal) =>
      new Promise((resolve, reject) => {
        const fail = (error: Error) => () => run[0](() => reject(error))
        signal.addEventListener('abort', fail(new Error('The connecting was given up.')), { once: true })
        timeline.set(timeline.now + latency(), () => {
          const there = destination()
          if (there === undefined || there.state === 'refusing') {
            timeline.set(timeline.now + latency(), fail(new Refused('Nobody is there.')))
          } else if (there.state === 'open' && !signal.aborted) {
            const wire = new Wire<M>({
              timeline,
              latency,
              size,
              trail,
              ...(buffer === undefined ? {} : { buffer }),
              clocks: [clock, there.clock],
            })
            wire.client.run = run[0]
            wire.server.run = run[1]
            onWire?.(wire)
            const { service, identity } = there
            run[1](() => void wire.server.attach((channel) => service.accept(channel, identity)))
            timeline.set(timeline.now + latency(), () => {
              if (signal.aborted) wire.client.terminate()
              else run[0](() => resolve(wire.client))
            })
          }
        })
      }),
    channel: (end, connect) => end.attach(connect),
    refused: (error) => error instanceof Refused,
  }
}
