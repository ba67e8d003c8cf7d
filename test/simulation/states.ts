import { attackStates } from './attacks.ts'

/** Rare states that a search must come to: one that does not has lost its force. */
const states: readonly string[] = [
  'a call while the link was open',
  'a call while the link was suspended',
  'a call while the link was closed',
  'a call that came back (a cycle)',
  'a call that went on (a chain)',
  'a call that failed: its context ended',
  'a call that failed: a limit',
  'a call that failed: the method threw',
  'a crash',
  'a dial that failed',
  'a handle that is never imported',
  'a limit of contexts',
  'a machine that slept',
  'a cut that no link may feel',
  'a slot that was given back while its context lived',
  'a slot that was used again',
  'a table that grew',
  'a table that was full',
  'a thread that ended with imports',
  'an end while what was said before waits for room',
  'an end that went past what waits for room',
  'a thread that ended in the middle of an import',
  'a thread that ended in the middle of a look or a release',
  'an end that arrived in time',
  'an import that was collected',
  'an import while the link was broken',
  'cut on one side with messages on their way',
  'cut with messages on their way',
  'half open with messages on their way',
  'slow with messages on their way',
  'stall with messages on their way',
  'two connections of one link',
  'ended because its handle was used up',
  'ended because the link was lost: away',
  'ended because the link was lost: crash',
  'ended because the link was lost: cut',
  'ended because the link was lost: half open',
  'ended because the link was lost: pause',
  'ended because the link was lost: slow',
  'ended because the link was lost: stall',
  ...attackStates,
]

/** Those that were not reached. */
export function missing(seen: ReadonlyMap<string, number>): string[] {
  return states.filter((state) => !seen.has(state))
}
