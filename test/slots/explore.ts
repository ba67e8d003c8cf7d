/**
 * Runs a few threads of ordinary synchronous code against one shared memory in every order there is.
 *
 * Each access to the memory, each message and each choice is a step; between two steps any other thread may run, and a mortal
 * one may be terminated. A thread is a function of the results of its steps, so it is advanced by running it again from
 * its beginning with the results it had, one more step, and an exception where the next one would be. Therefore nothing
 * but `Env` may tell it anything, and it must not catch. States that were seen (memory, results, messages, ghosts) are not
 * explored again, so the search ends, and is complete.
 */

import { sharedMemory } from '../../lib/bridge/slot-memory.ts'
import type { SlotMem, SlotMemory } from '../../lib/bridge/slot-memory.ts'

/** What a thread may know of the world. `Ghosts`: what only the assertions look at. */
export interface Env<Ghosts> {
  readonly memory: SlotMemory
  send(to: string, message: unknown): void
  /** Waits for the next message, if need be. */
  receive(): unknown
  /** Explores each of 0 to n - 1. */
  choose(n: number): number
  /** Waits while a word has this value, as `Atomics.wait` does: whether it waits is decided in one step with the look. */
  wait(buffer: SharedArrayBuffer, at: number, value: number): void
  /** Happens once, in one step with the access before it. `Ghosts` is plain data. */
  ghost(f: (ghosts: Ghosts) => void): void
  /** Runs without a yield: for what comes before the interesting part. */
  atomically<T>(f: () => T): T
}

export interface Thread<Ghosts> {
  readonly run: (env: Env<Ghosts>) => void
  /** May be terminated before any step. Then the thread that is named gets the message `exit`. */
  readonly mourner?: string | undefined
}

interface State {
  /** Results of all steps so far, newest first, each with its own number: equal numbers are equal histories. */
  readonly history: History | undefined
  readonly next: Step | 'end' | 'dead'
}

interface History {
  readonly id: number
  readonly result: unknown
  readonly before: History | undefined
}

type Step =
  | { readonly kind: 'access' }
  | { readonly kind: 'receive' }
  | { readonly kind: 'choose'; readonly ways: number }
  | { readonly kind: 'wait'; readonly at: string; readonly value: number }

interface World<Ghosts> {
  /** The words that differ from what they were before the first step. */
  readonly words: Map<string, number>
  readonly states: Map<string, State>
  readonly queues: Map<string, readonly unknown[]>
  ghosts: Ghosts
  readonly schedule: string
  /** How many steps that is. */
  readonly depth: number
  /** Who took the last one, and how often somebody was interrupted. */
  readonly last: string
  readonly preempted: number
}

export interface Explored {
  readonly states: number
  readonly steps: number
}

class Pause extends Error {}

export interface ExploreOptions {
  /** Runs this schedule alone, as a failure prints it: names of threads, in the order of their steps. */
  readonly replay?: string
  /** Explores those schedules in which no more threads than this are interrupted while they could go on. Default: all, however often. */
  readonly preemptions?: number
}

/**
 * Explores everything, or what the options say. Throws what a thread throws, with the schedule that led there; a deadlock is a failure too, and so is a
 * schedule to be replayed of which a step is not possible.
 */
export function explore<Ghosts>(
  threads: Readonly<Record<string, Thread<Ghosts>>>,
  ghosts: Ghosts,
  { replay, preemptions = Infinity }: ExploreOptions = {},
): Explored {
  const names = Object.keys(threads)
  const histories = new Map<string, History>()
  const buffers = new Map<SharedArrayBuffer, number>()
  const seen = new Set<string>()
  const original = new Map<string, number>()
  let started = false
  let steps = 0

  const read = (words: ReadonlyMap<string, number>, at: string): number => words.get(at) ?? original.get(at) ?? 0
  const write = (words: Map<string, number>, at: string, value: number): void => {
    if (!started) original.set(at, value | 0)
    else if ((original.get(at) ?? 0) === (value | 0)) words.delete(at)
    else words.set(at, value | 0)
  }

  const remember = (result: unknown, before: History | undefined): History => {
    const key = `${before?.id ?? 0}:${result instanceof SharedArrayBuffer ? `b${buffers.get(result)}` : JSON.stringify(result)}`
    let history = histories.get(key)
    if (history === undefined) histories.set(key, (history = { id: histories.size + 1, result, before }))
    return history
  }

  /** The world after one more step of `name`; at first, before its first one. */
  const advance = (from: World<Ghosts>, name: string, step: boolean, choice: number): World<Ghosts> => {
    steps++
    const world: World<Ghosts> = {
      words: new Map(from.words),
      states: new Map(from.states),
      queues: new Map(from.queues),
      ghosts: from.ghosts,
      schedule: `${from.schedule} ${labelOf(name, choice)}`,
      depth: from.depth + 1,
      last: name,
      preempted: from.preempted + (from.last !== name && from.last !== '' && waysOf(from.last, from) > 0 ? 1 : 0),
    }
    const past: unknown[] = []
    let history = from.states.get(name)?.history
    for (let h = history; h !== undefined; h = h.before) past.push(h.result)
    let left = step ? 1 : 0
    let uninterrupted = 0
    let next: State['next'] = 'end'

    const happen = <T>(pending: Step | undefined, f: () => T): T => {
      if (past.length > 0) return past.pop() as T
      if (pending !== undefined && uninterrupted === 0 && left-- === 0) {
        next = pending
        throw new Pause()
      }
      const result = f()
      history = remember(result, history)
      return result
    }
    const access = <T>(f: () => T): T => happen({ kind: 'access' }, f)
    const view = (buffer: SharedArrayBuffer): SlotMem => {
      const word = (at: number): string => `${buffers.get(buffer)}:${at}`
      return {
        load: (at) => access(() => read(world.words, word(at))),
        glance: (at) => access(() => read(world.words, word(at))),
        store: (at, value) => access(() => write(world.words, word(at), value)),
        compareExchange: (at, expected, value) =>
          access(() => {
            const found = read(world.words, word(at))
            if (found === expected) write(world.words, word(at), value)
            return found
          }),
        add: (at, value) => access(() => write(world.words, word(at), read(world.words, word(at)) + value)),
        // Waiters wait for the word, so there is nobody to wake; a wake-up that is lost is a change that came too early.
        notify: () => undefined,
        wait: () => undefined,
        waitAsync: () => true,
      }
    }
    const allocate = (bytes: number): SharedArrayBuffer =>
      happen(undefined, () => {
        const buffer = sharedMemory.allocate(bytes)
        buffers.set(buffer, buffers.size)
        return buffer
      })
    const env: Env<Ghosts> = {
      memory: { allocate, view },
      send: (to, message) => access(() => void world.queues.set(to, [...(world.queues.get(to) ?? []), message])),
      receive: () =>
        happen({ kind: 'receive' }, () => {
          const [message, ...rest] = world.queues.get(name) ?? []
          world.queues.set(name, rest)
          return message
        }),
      choose: (ways) => happen({ kind: 'choose', ways }, () => choice),
      wait: (buffer, at, value) => happen({ kind: 'wait', at: `${buffers.get(buffer)}:${at}`, value }, () => undefined),
      ghost: (f) =>
        happen(undefined, () => {
          f((world.ghosts = structuredClone(world.ghosts)))
        }),
      atomically: (f) => {
        uninterrupted++
        const result = f()
        uninterrupted--
        return result
      },
    }
    try {
      threads[name]?.run(env)
    } catch (error) {
      if (!(error instanceof Pause)) throw new Error(`After the steps of${world.schedule}: ${String(error)}`, { cause: error })
    }
    world.states.set(name, { history, next })
    return world
  }

  const die = (from: World<Ghosts>, name: string, mourner: string): World<Ghosts> => {
    const queues = new Map(from.queues)
    queues.delete(name)
    queues.set(mourner, [...(queues.get(mourner) ?? []), 'exit'])
    const states = new Map(from.states).set(name, { history: undefined, next: 'dead' })
    return { ...from, queues, states, schedule: `${from.schedule} ${name}-dies`, depth: from.depth + 1, last: '' }
  }

  const keyOf = (world: World<Ghosts>): string => {
    const words = [...world.words].map(([at, value]) => `${at}=${value}`).toSorted()
    const states = names.map((name) => world.states.get(name)).map((s) => (s?.next === 'dead' ? 'dead' : s?.history?.id))
    // Where preemptions are counted, what may follow depends on who ran last and on how many there were.
    const bound = preemptions === Infinity ? '' : [world.last, world.preempted]
    return JSON.stringify([words.join(), states, names.map((name) => world.queues.get(name) ?? []), world.ghosts, bound])
  }

  /** In how many ways a thread can go on: none where it is over, or waits. */
  const waysOf = (name: string, { states, queues, words }: World<Ghosts>): number => {
    const next = states.get(name)?.next ?? 'end'
    if (next === 'end' || next === 'dead') return 0
    if (next.kind === 'receive' && (queues.get(name) ?? []).length === 0) return 0
    if (next.kind === 'wait' && read(words, next.at) === next.value) return 0
    return next.kind === 'choose' ? next.ways : 1
  }

  const plan = replay?.trim().split(/\s+/)
  /** Whether a step, by its name in schedules, is to be taken. */
  const isWanted = ({ depth }: World<Ghosts>, label: string): boolean => plan === undefined || plan[depth] === label

  let world: World<Ghosts> = {
    words: new Map(),
    states: new Map(),
    queues: new Map(),
    ghosts,
    schedule: '',
    depth: 0,
    last: '',
    preempted: 0,
  }
  for (const name of names) world = advance(world, name, false, 0)
  started = true
  const open = [{ ...world, schedule: '', depth: 0, last: '', preempted: 0 }]
  for (let current = open.pop(); current !== undefined; current = open.pop()) {
    if (current.depth === plan?.length) break
    const key = keyOf(current)
    if (seen.has(key)) continue
    seen.add(key)
    let moved = false
    let taken = 0
    for (const name of names) {
      const mourner = threads[name]?.mourner
      const next = current.states.get(name)?.next ?? 'end'
      // To be terminated is no way on: who can do nothing else hangs.
      if (mourner !== undefined && next !== 'end' && next !== 'dead' && isWanted(current, `${name}-dies`)) {
        taken = open.push(die(current, name, mourner))
      }
      const ways = waysOf(name, current)
      if (ways > 0) moved = true
      const preempts = current.last !== name && current.last !== '' && waysOf(current.last, current) > 0
      if (preempts && current.preempted >= preemptions) continue
      for (let way = 0; way < ways; way++) {
        if (isWanted(current, labelOf(name, way))) taken = open.push(advance(current, name, true, way))
      }
    }
    const waiting = names.filter((name) => !['end', 'dead'].includes(String(current.states.get(name)?.next)))
    if (!moved && waiting.length > 0) throw new Error(`${waiting.join(' and ')} wait for ever after${current.schedule}`)
    if (plan !== undefined && taken === 0)
      throw new Error(`The schedule cannot go on with ${plan[current.depth]} after${current.schedule}`)
  }
  return { states: seen.size, steps }
}

/** A step in a schedule: who takes it, and what it chooses where that is not the first. */
function labelOf(name: string, choice: number): string {
  return `${name}${choice > 0 ? choice : ''}`
}
