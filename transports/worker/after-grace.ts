import { after, hostClock } from '../../lib/clock.ts'

/**
 * Calls `f` when `ms` have passed and what came in that time has been read: after this thread was busy, its timers fire before its messages are read, and one of those
 * may say that all is well. Returns what takes it back.
 */
export function afterGrace(ms: number, keepAlive: boolean, f: () => void): () => void {
  let forget = after(hostClock, ms, keepAlive, () => {
    forget = after(hostClock, 0, keepAlive, f)
  })
  return () => forget()
}
