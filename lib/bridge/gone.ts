/** Whether nothing comes any more over a worker or a port. Its end was told before anybody listened, and is not told again. */

const inspect: unique symbol = Symbol.for('nodejs.util.inspect.custom')

/** Undefined where it is open, or nobody can tell: a browser does not. Never throws. */
export function goneBefore(endpoint: object): 'exited' | 'closed' | undefined {
  try {
    if ((endpoint as { readonly threadId?: unknown }).threadId === -1) return 'exited'
    // Node has no property for it: what it shows of a port says whether that is active.
    const { [inspect]: show } = endpoint as { [inspect]?: () => unknown }
    const shown = typeof show === 'function' ? (show.call(endpoint) as { readonly active?: unknown } | null) : undefined
    return shown?.active === false ? 'closed' : undefined
  } catch {
    return undefined
  }
}
