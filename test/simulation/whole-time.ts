/** Time in which what is of one side cannot move what is of another one, not even by a timer that they share. */
import { type Due, Timeline } from '../../transports/testing/timeline.ts'

/**
 * Timers fire within the first half of a whole millisecond, all else happens in its middle, and clocks show whole ones. So a deadline is found at one instant only,
 * however often the timer that a machine has for all of them was set anew meanwhile, and never at that of a message, an operation or another timer.
 */
export class WholeTime extends Timeline {
  override set(at: number, f: () => void): Due {
    return super.set(Math.ceil(at - 0.5) + 0.5, f)
  }

  /** What clocks show. */
  get whole(): number {
    return Math.floor(this.now)
  }

  /** @param place from 0 to below 0.5: when in its millisecond, so that the order of two timers is not that of their setting */
  setTimer(ms: number, f: () => void, place: number): Due {
    return super.set(this.whole + Math.ceil(ms) + place, f)
  }
}
