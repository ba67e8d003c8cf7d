/** What can be done to a tree of contexts, as plain data, and how such lists are made up. */
import fc from 'fast-check'

/** A context: counted from the newest one back; or, in a listener, seen from the context listened to. */
export type Pick = number | 'own' | 'parent' | 'child' | 'sibling'

/** A cause by name; `none` is a call without an argument, and `error` a new error each time. */
export type CauseName = (typeof causeNames)[number]
const causeNames = ['none', 'undefined', 'null', 'zero', 'text', 'error'] as const

export type Operation =
  | { readonly do: 'withCancel' | 'withoutCancel' | 'wrap' | 'wrapOwnEnd'; readonly of: Pick }
  | { readonly do: 'withTimeout'; readonly of: Pick; readonly ms: number; readonly cause: CauseName }
  | { readonly do: 'withDeadline'; readonly of: Pick; readonly ms: number; readonly cause: CauseName; readonly date: boolean }
  | { readonly do: 'withValue'; readonly of: Pick; readonly key: number; readonly value: CauseName }
  | { readonly do: 'withSignal'; readonly of: Pick; readonly signal: number }
  | { readonly do: 'merge'; readonly of: Pick; readonly others: readonly Pick[] }
  | { readonly do: 'cancel'; readonly of: Pick; readonly cause: CauseName }
  | { readonly do: 'abort'; readonly signal: number; readonly cause: CauseName }
  | { readonly do: 'look'; readonly of: Pick; readonly by: Look }
  | { readonly do: 'lookAtAll' }
  | { readonly do: 'onAbort' | 'afterFunc'; readonly of: Pick; readonly then: readonly Operation[] }
  | { readonly do: 'done' | 'race'; readonly of: Pick }
  | { readonly do: 'sleep'; readonly of: Pick; readonly ms: number }
  | { readonly do: 'stop' | 'settle'; readonly which: number }
  | { readonly do: 'advance' | 'block'; readonly ms: number }
  | { readonly do: 'timers'; readonly early: number; readonly late: number }
  | { readonly do: 'stepWall'; readonly ms: number }
  | { readonly do: 'flush' }

/** How somebody learns of an end. */
export type Look = (typeof looks)[number]
const looks = ['err', 'throwIfDone', 'cause', 'aborted', 'reason'] as const

const near = fc.nat(3)
const far = fc.nat(60)
const pick = fc.oneof({ weight: 3, arbitrary: near }, { weight: 2, arbitrary: far })
const relative = fc.constantFrom<Pick>('own', 'parent', 'child', 'sibling')
const anyCause = fc.constantFrom(...causeNames)
const span = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(0.5, 1, 2, 3, 5, 7, 10, 20) },
  { weight: 1, arbitrary: fc.constantFrom(0, -3, 2 ** 31 + 5, 2 ** 33, Infinity, 1e300) },
)
const passing = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom(0.25, 0.5, 1, 2, 3, 5, 10) },
  { weight: 1, arbitrary: fc.constantFrom(0, 100, 2 ** 32) },
)
const which = fc.nat(10)
const signal = fc.nat(3)

/** Which operations take part; all but those with contexts of other makers, where nothing else is said. */
export interface Mix {
  /** Contexts of other makers. */
  readonly foreign?: 'wrappers' | 'all'
  /** What listeners do when they are called. */
  readonly reactions?: boolean
  /** Observers: those that can be stopped, or none. */
  readonly observers?: 'stoppable' | 'none'
  /** Looks, before the end of the list. */
  readonly looks?: boolean
}

interface Weighted {
  readonly weight: number
  readonly arbitrary: fc.Arbitrary<Operation>
}

type Rest<D, O extends Operation = Operation> = O extends { readonly do: infer N } ? (D extends N ? Omit<O, 'do'> : never) : never

function act<D extends Operation['do']>(
  weight: number,
  what: D,
  rest: { [K in keyof Rest<D>]: fc.Arbitrary<Rest<D>[K]> },
): Weighted {
  return { weight, arbitrary: fc.record({ do: fc.constant(what), ...rest }) as unknown as fc.Arbitrary<Operation> }
}

const making = (of: fc.Arbitrary<Pick>): Weighted[] => [
  act(5, 'withCancel', { of }),
  act(5, 'withTimeout', { of, ms: span, cause: anyCause }),
  act(2, 'withDeadline', { of, ms: span, cause: anyCause, date: fc.boolean() }),
  act(1, 'withValue', { of, key: fc.nat(1), value: anyCause }),
  act(1, 'withoutCancel', { of }),
  act(3, 'withSignal', { of, signal }),
  act(3, 'merge', { of, others: fc.array(of, { maxLength: 2 }) }),
]

const ending = (of: fc.Arbitrary<Pick>): Weighted[] => [
  act(6, 'cancel', { of, cause: anyCause }),
  act(2, 'abort', { signal, cause: anyCause }),
  act(2, 'block', { ms: passing }),
]

const looking = (of: fc.Arbitrary<Pick>): Weighted[] => [
  act(4, 'look', { of, by: fc.constantFrom(...looks) }),
  act(1, 'lookAtAll', {}),
]

/** Observers that can be taken back. */
const stoppable = (of: fc.Arbitrary<Pick>, then: fc.Arbitrary<readonly Operation[]>): Weighted[] => [
  act(3, 'afterFunc', { of, then }),
  act(1, 'race', { of }),
  act(2, 'stop', { which }),
  act(1, 'settle', { which }),
]

const lasting = (of: fc.Arbitrary<Pick>, then: fc.Arbitrary<readonly Operation[]>): Weighted[] => [
  act(3, 'onAbort', { of, then }),
  act(1, 'done', { of }),
  act(1, 'sleep', { of, ms: span }),
]

/** Operations that may be anywhere: they let no timer fire. */
function acts(of: fc.Arbitrary<Pick>, mix: Mix, then: fc.Arbitrary<readonly Operation[]>): fc.Arbitrary<Operation> {
  const { foreign, observers = 'all', looks = true } = mix
  return fc.oneof(
    ...making(of),
    ...ending(of),
    ...(foreign === undefined ? [] : [act(3, 'wrap', { of })]),
    ...(foreign === 'all' ? [act(3, 'wrapOwnEnd', { of })] : []),
    ...(looks ? looking(of) : []),
    ...(observers === 'none' ? [] : stoppable(of, then)),
    ...(observers === 'all' ? lasting(of, then) : []),
  )
}

const nothing = fc.constant<readonly Operation[]>([])

/** Lists of operations. */
export function operations(mix: Mix = {}): fc.Arbitrary<Operation[]> {
  const inListener = fc.oneof({ weight: 1, arbitrary: pick }, { weight: 2, arbitrary: relative })
  const deeper = fc.array(acts(inListener, mix, nothing), { maxLength: 2 })
  const then = mix.reactions === false ? nothing : fc.array(acts(inListener, mix, deeper), { maxLength: 3 })
  const operation = fc.oneof(
    { weight: 12, arbitrary: acts(pick, mix, then) },
    act(2, 'advance', { ms: passing }),
    act(1, 'timers', { early: fc.constantFrom(0, 0.25, 0.875), late: fc.constantFrom(0, 0.5, 4) }),
    act(1, 'stepWall', { ms: fc.constantFrom(-5_000, 3, 60_000) }),
    act(2, 'flush', {}),
  )
  return fc.array(operation, { minLength: 1, maxLength: 60, size: 'max' })
}

/** Operations that change nothing: somebody looks, or observes. */
export function watching(): fc.Arbitrary<Operation> {
  return fc.oneof(...looking(pick), ...stoppable(pick, nothing), ...lasting(pick, nothing))
}

/** Whether an operation is one of `watching`. */
export function watches(operation: Operation): boolean {
  return ['look', 'lookAtAll', 'afterFunc', 'race', 'stop', 'settle', 'onAbort', 'done', 'sleep'].includes(operation.do)
}

/** One line about an operation; `name` tells which context a pick means. */
export function show(operation: Operation, name: (pick: Pick) => string): string {
  const parts = Object.entries(operation).flatMap(([key, value]: [string, unknown]) => {
    if (key === 'do') return []
    if (key === 'then')
      return (value as readonly Operation[]).length > 0 ? [`then: ${(value as readonly Operation[]).length}`] : []
    if (key === 'of') return [name(value as Pick)]
    if (key === 'others') return (value as readonly Pick[]).map(name)
    return [`${key}: ${String(value)}`]
  })
  return `${operation.do}(${parts.join(', ')})`
}
