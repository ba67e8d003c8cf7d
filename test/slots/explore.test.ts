/** The explorer itself, on the oldest of races: two threads that each add one to a word by a load and a store. */
import { expect, test } from 'vitest'
import { type ExploreOptions, type Explored, explore } from './explore.ts'

/** The owner adds, then waits for the others and looks at what there is. */
function race(options?: ExploreOptions): Explored {
  const add = (memory: { load(at: number): number; store(at: number, value: number): void }): void => {
    memory.store(0, memory.load(0) + 1)
  }
  return explore<object>(
    {
      owner: {
        run: (env) => {
          const buffer = env.memory.allocate(64)
          env.atomically(() => env.send('other', buffer))
          const mem = env.memory.view(buffer)
          add(mem)
          env.receive()
          if (mem.load(0) !== 2) throw new Error('an update was lost')
        },
      },
      other: {
        run: (env) => {
          add(env.memory.view(env.receive() as SharedArrayBuffer))
          env.send('owner', 'done')
        },
      },
    },
    {},
    options,
  )
}

function failure(options?: ExploreOptions): string {
  try {
    race(options)
  } catch (error) {
    return String(error)
  }
  return expect.fail('nothing was found')
}

test('a failure names its schedule, which gives the same failure again, and nothing else', () => {
  const found = failure()
  const [, schedule = ''] = /After the steps of ([^:]*):/.exec(found) ?? []
  expect(schedule.split(' ').length).toBeGreaterThan(4)
  expect(failure({ replay: schedule })).toBe(found)
  expect(race({ replay: schedule.split(' ').slice(0, -1).join(' ') }).steps).toBeLessThan(12)
})

test('a schedule in which nothing is lost passes, and one that is none is told', () => {
  expect(race({ replay: 'owner owner other other other other owner owner' }).states).toBe(8)
  expect(failure({ replay: 'owner nobody' })).toContain('cannot go on with nobody after owner')
})

test('without a preemption nothing is lost; one is enough', () => {
  const without = race({ preemptions: 0 })
  expect(without.states).toBeGreaterThan(4)
  expect(failure({ preemptions: 1 })).toContain('an update was lost')
})
