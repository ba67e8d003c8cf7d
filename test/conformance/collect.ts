/**
 * Collects garbage, in a job of its own, as finalizers run. In a task of its own, too: a browser's objects are also kept by what merely looks like a pointer to
 * one on the stack of whoever collects at once, and may be so each time.
 */
export async function collect(): Promise<void> {
  const { gc } = globalThis
  if (gc === undefined) throw new Error('Needs --expose-gc.')
  await gc({ type: 'major', execution: 'async' })
  await new Promise((resolve) => setTimeout(resolve))
}
