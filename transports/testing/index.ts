/**
 * For tests of one's own cancellation: time that moves only when a test says so, two linked sides in one process with a network that breaks on demand, and
 * what tells whether anything was left behind. Needs no other package, and runs under any test runner.
 */
export { createFakeClock, type Deviation, type FakeClock, type FakeClockOptions } from './clock.ts'
export { assertNoLeaks, type LeakSource } from './leaks.ts'
export { type Direction, type LinkedPair, linkedPair, type PairNetwork, type PairOptions, type SideOptions } from './pair.ts'
export { type Connection, type Remote, wrap } from '../../lib/bridge/link-connection.ts'
export type { LinkSettings } from '../../lib/bridge/link-host.ts'
