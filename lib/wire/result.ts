/** What a parser of outside input gives: the value, or why there is none. Such a parser never throws. */
export type Result<T> = Accepted<T> | Refused

export interface Accepted<T> {
  readonly ok: true
  readonly value: T
}

/** `reason` is one line of at most 100 characters without controls, so it can go into a log or a close frame as it is. */
export interface Refused {
  readonly ok: false
  readonly reason: string
}

export function accept<T>(value: T): Accepted<T> {
  return { ok: true, value }
}

export function refuse(reason: string): Refused {
  return { ok: false, reason }
}
