import type { LinkLostError } from '../../lib/errors.ts'

/** What a socket tells the link that it carries. */
export interface Receiver {
  receive(bytes: Uint8Array): void
  /** The connection is gone. `final`: it was closed on purpose, by whichever side; otherwise it broke. */
  lost(reason: LinkLostError, final: boolean): void
}
