/** How the engine sees signals: all alike, so that it need not look up anew how each is aborted. */
import { setFlagsFromString } from 'node:v8'
import { Script } from 'node:vm'
import { background, withCancel } from 'ctxbridge'
import { expect, test } from 'vitest'

/** Whether two objects have one shape. Only the engine can tell. */
function haveSameShape(a: object, b: object): boolean {
  setFlagsFromString('--allow-natives-syntax')
  try {
    return (new Script('(a, b) => %HaveSameMap(a, b)').runInThisContext() as (a: object, b: object) => boolean)(a, b)
  } finally {
    setFlagsFromString('--no-allow-natives-syntax')
  }
}

test('signals of contexts have one shape, before and after somebody listens, and after they have aborted', () => {
  const contexts = [withCancel(background()), withCancel(background())] as const
  const [a, b] = [contexts[0].signal, contexts[1].signal]
  expect(haveSameShape(a, b)).toBe(true)
  for (const signal of [a, b]) signal.addEventListener('abort', () => undefined)
  expect(haveSameShape(a, b)).toBe(true)
  for (const ctx of contexts) ctx.cancel()
  expect(a.aborted && b.aborted).toBe(true)
  expect(haveSameShape(a, b)).toBe(true)
})
