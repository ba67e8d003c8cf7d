/** Piscina and tinypool read some of a task by symbols. They are given an envelope in its place, which must say the same. */

/** A task as a pool takes it. */
export interface PoolTask {
  /** What is within `Piscina.move()`, or the task as it is. */
  readonly task: unknown
  /** What is to be transferred: what the caller lists, and what is within `move()`. */
  readonly transferList: readonly unknown[] | undefined
  /** Gives an envelope what a queue of the program's own asks of each task. */
  label(envelope: object): object
}

/** @param pool the prefix of the pool's symbols */
export function poolTask(pool: 'Piscina' | 'Tinypool', task: unknown, transferList: readonly unknown[] | undefined): PoolTask {
  const [transferable, value, queue] = ['transferable', 'valueOf', 'queueOptions'].map((name) =>
    Symbol.for(`${pool}.${name}`),
  ) as [symbol, symbol, symbol]
  const moved = isMoved(task) && transferable in task && value in task
  const given = moved ? task[value] : task
  return {
    task: given,
    transferList: moved ? [...(transferList ?? []), task[transferable]] : transferList,
    label: (envelope) =>
      isObject(given) && queue in given ? Object.defineProperty(envelope, queue, { value: given[queue] }) : envelope,
  }
}

/** Whether it went through the pool's `move()`, which marks it by a symbol that it keeps for itself. */
function isMoved(task: unknown): task is Record<symbol, unknown> {
  return (
    isObject(task) &&
    Object.getOwnPropertySymbols(task).some((mark) => mark.description?.endsWith('Movable') && task[mark] === true)
  )
}

function isObject(value: unknown): value is Record<symbol, unknown> {
  return typeof value === 'object' && value !== null
}
