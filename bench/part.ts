/** Measures one suite or one curve, or compares the clocks, for `main.ts`: in a process of its own, so that no result depends on what was measured before. */
import { allCurves, allSuites, clocks } from './cases/all.ts'
import type { Outcome, Part, Said } from './harness/alone.ts'
import type { Suite } from './harness/model.ts'
import { pinNear } from './harness/pin.ts'
import { randomFrom } from './harness/random.ts'
import { measure, measureCurve } from './harness/runner.ts'
import { peerSuites } from './peers.ts'

function say(said: Said): void {
  process.send?.(said)
}

async function outcome({ id, rounds, seed }: Part, suite: Suite | undefined): Promise<Outcome> {
  const options = {
    random: randomFrom(seed),
    rounds,
    progress: { at: (_id: string, share: number, what: string): void => say({ share, what }) },
  }
  if (id === undefined) return { clocks: await clocks() }
  if (suite !== undefined) return { suite: await measure(suite, options) }
  const curve = allCurves().find((one) => one.id === id)
  if (curve === undefined) throw new Error(`Nothing is called ${id}.`)
  return { curve: await measureCurve(curve, options) }
}

// Whoever asked has gone.
process.once('disconnect', () => process.exit(1))
// Whatever was thrown, awaited or not. The stack is for the terminal; whoever asked takes the sentence, and disconnects.
process.on('uncaughtException', (error: unknown) => {
  console.error(error)
  say({ failed: error instanceof Error ? error.message : String(error) })
})
process.once('message', (part: Part) => {
  const suite = allSuites(part.peers ? peerSuites() : []).find((one) => one.id === part.id)
  const pinned = part.pin && suite?.unpinned === undefined ? pinNear() : 'no'
  // Deadlines keep no process alive; the channel to whoever asked does.
  void outcome(part, suite).then((done) => {
    say({ pinned, outcome: done })
  })
})
