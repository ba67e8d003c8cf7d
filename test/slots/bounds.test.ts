import { expect, test } from 'vitest'
import { withRemote } from '../../lib/boundary.ts'
import { background, type Context, withCancel, withValue } from '../../lib/context.ts'
import { End } from '../../lib/end.ts'
import { scopeOf } from '../../lib/foreign.ts'
import { createKey } from '../../lib/key.ts'
import type { Scope } from '../../lib/scope.ts'
import { Source } from '../../lib/source.ts'

class Remote extends Source {
  asked = 0
  answer: End | undefined = undefined

  poll(): End | undefined {
    this.asked++
    return this.answer
  }

  override label(): string {
    return 'Remote'
  }
}

function scope(ctx: Context): Scope {
  return scopeOf(ctx, 'scope')
}

function imported(source: Remote = new Remote()): Context {
  return withRemote(background(), source, Infinity, undefined)
}

test('imports without a deadline share what bounds them, until something is derived from one', () => {
  const [one, other] = [imported(), imported()]
  expect(scope(one).bounds).toBe(scope(other).bounds)
  const child = withCancel(one)
  expect(scope(child).bounds).toBe(scope(one).bounds)
  expect(scope(one).bounds).not.toBe(scope(other).bounds)
  expect([scope(one).live, scope(other).live]).toEqual([scope(one), scope(other)])
})

test('a look far below an import goes to the import, and to nothing in between', () => {
  const source = new Remote()
  const top = imported(source)
  let ctx: Context = withValue(top, createKey('key'), 1)
  for (let i = 0; i < 10; i++) ctx = withCancel(ctx)
  expect(scope(ctx).live).toBe(scope(top))
  ctx.err()
  source.asked = 0
  expect([ctx.err(), source.asked]).toEqual([undefined, 1])
  source.answer = new End('canceled', 'over', Number.NaN)
  expect([ctx.err()?.cause, top.err()]).toEqual(['over', ctx.err()])
})

test('an import ends alone, though others share its bounds', () => {
  const source = new Remote()
  const [one, other] = [imported(source), imported()]
  source.answer = new End('canceled', 'over', Number.NaN)
  expect([one.err()?.cause, other.err()]).toEqual(['over', undefined])
})
