/** Finds out whether a context of somebody else's only wraps one of ours: as Go does it, by comparing their `done`, but without observing it. */
import type { Context } from './context.ts'
import type { ContextError } from './errors.ts'
import { link, watchOf } from './observers.ts'
import type { Scope } from './scope.ts'
import { endOf } from './tree.ts'

/** Put to a context that may be a wrapper: is your `done` that of this scope? Whoever is asked gets a stand-in, and does not observe the scope. */
class Question {
  readonly scope: Scope
  readonly answer: Promise<ContextError>
  #resolve: ((error: ContextError) => void) | undefined
  given = false

  constructor(scope: Scope) {
    this.scope = scope
    this.answer = new Promise((resolve) => (this.#resolve = resolve))
  }

  give(): Promise<ContextError> {
    this.given = true
    return this.answer
  }

  /** Somebody has kept the stand-in: from now on it is the scope's `done`. */
  keep(): void {
    const watch = watchOf(this.scope)
    const extras = watch.extend()
    if (extras.done === undefined) [extras.done, extras.resolve] = [this.answer, this.#resolve]
    else void extras.done.then(this.#resolve)
    link(watch)
  }
}

let question: Question | undefined

/** What the scope's `done` is while somebody is asked for it; undefined while nobody is. */
export function answerFor(scope: Scope): Promise<ContextError> | undefined {
  return question?.scope === scope ? question.give() : undefined
}

/** Whether `ctx` gives the very `done` of a live scope. Observes the scope only where `ctx` keeps what it was given. */
export function passesOn(ctx: Context, scope: Scope): boolean {
  if (scope.watch?.extras?.done !== undefined || endOf(scope) !== undefined) return ctx.done === scope.promise()
  const [first, second] = [new Question(scope), new Question(scope)]
  const answers: unknown[] = []
  for (const each of [first, second]) {
    const outer = question
    question = each
    try {
      answers.push(ctx.done)
    } finally {
      question = outer
    }
  }
  if (answers[0] === first.answer && answers[1] === second.answer) return true
  for (const each of [first, second]) if (each.given) each.keep()
  return answers[0] === first.answer
}
