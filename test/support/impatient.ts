import { vi } from 'vitest'
// That of the package under test.
import { hostClock } from '../../dist/lib/clock.js'

/** Waits of a second and more are over at once, until what is returned is called: the clock jumps by as much. */
export function impatient(): () => void {
  const { now, setTimer } = hostClock
  let ahead = 0
  const clock = vi.spyOn(hostClock, 'now').mockImplementation(() => now() + ahead)
  const timers = vi.spyOn(hostClock, 'setTimer').mockImplementation((f, ms, keepAlive) => {
    const jump = (): void => {
      ahead += ms
      f()
    }
    return ms < 1000 ? setTimer(f, ms, keepAlive) : setTimer(jump, 1, keepAlive)
  })
  return () => {
    timers.mockRestore()
    clock.mockRestore()
  }
}
