/**
 * The importing side of a link: the peer's contexts that are known here by an id.
 *
 * An entry is opened by an `export` frame, or by a handle that came before it. It is closed by the peer alone, with `cancel` or `retract`. What a user
 * imports is a context of its own below the entry's: so it can be seen when the last of them has ended or was dropped, and the peer is told.
 */

import { endAll, endWith, withRemote } from '../boundary.ts'
import { type CancelableContext, type Context, withCancel } from '../context.ts'
import { merge } from '../merge.ts'
import { BridgeError, CanceledError, type ContextError, withoutStack } from '../errors.ts'
import { Source } from '../source.ts'
import { Ahead } from './ahead.ts'
import { type ExportFrame, maxUnder, type RetractFrame } from '../wire/frame.ts'
import { errorOf, importContext, receiveContext } from './link-contexts.ts'
import type { LinkCore } from './link-core.ts'
import { type ParsedHandle, parseHandle } from './link-handle.ts'
import { closeCode, type Fault } from './link-types.ts'

/** A context of the peer's. */
export class Imported {
  readonly id: number
  /** What the peer's cancel ends. */
  readonly gate: CancelableContext
  /** What calls under it are derived from. Without its `export` frame, as long as that has not come, the gate itself. */
  base: Context
  /** How many of the peer's contexts stand under each other, this one included. */
  depth = 1
  /** Whether only a handle has come so far. */
  awaited: boolean
  /** Whether the peer's context has ended: nobody waits for the answers of calls under it. */
  ended = false
  /** Whether somebody had a use for it: a handle of it was imported here, or a call under it was answered. */
  useful = false
  /** What is above all that users hold of it, but for what they held when the peer was silent for too long; and how much they hold. */
  lent: CancelableContext | undefined
  users = 0
  /** All handles up to this one have come, and those in `#ahead`: user code may carry them over several ways, on which a later one overtakes. */
  grant = 0
  #ahead: Ahead | undefined

  constructor(id: number, gate: CancelableContext, awaited: boolean) {
    this.id = id
    this.gate = gate
    this.base = gate
    this.awaited = awaited
  }

  /** A handle has come. Those before it are still on their way, and must find the context: so they are not given back with it. */
  took(grant: number): void {
    if (grant <= this.grant) return
    this.#ahead ??= new Ahead()
    this.grant = this.#ahead.receive(grant, this.grant)
    if (this.#ahead.isEmpty) this.#ahead = undefined
  }
}

export class Imports<M> {
  readonly #core: LinkCore<M>
  readonly #entries = new Map<number, Imported>()
  /** Of these, those of which only a handle has come. */
  readonly #awaited = new Set<Imported>()
  /** None of those has a lower id. */
  #firstAwaited = Infinity
  /** Of those, whom the peer was asked for, and has not answered about: of handles that had come by then. */
  #asked: Set<Imported> | undefined

  constructor(core: LinkCore<M>) {
    this.#core = core
  }

  get size(): number {
    return this.#entries.size
  }

  /** The context that a call of the peer's is under. */
  get(id: number): Imported | undefined {
    return this.#entries.get(id)
  }

  /** Takes a context of the peer's, whose id is checked. Returns why it is not allowed, if so. */
  takeExport({ id, context }: ExportFrame): Fault | undefined {
    const above = context.under === undefined ? undefined : this.#entries.get(context.under)
    if (context.under !== undefined && above === undefined) return 'export: under what is not open'
    const depth = 1 + (above?.depth ?? 0)
    if (depth > maxUnder) return `export: more than ${maxUnder} under each other`
    const before = this.#entries.get(id)
    if (before !== undefined) {
      before.awaited = false
      before.depth = depth
      this.#awaited.delete(before)
      // What is above has its deadline and its values, too.
      const parent = above === undefined ? before.gate : merge(above.base, before.gate)
      before.base = importContext(this.#core, parent, context)
      if (before.users === 0) this.#giveBack(before)
      return undefined
    }
    const { maxContexts } = this.#core.limits
    // Those that are awaited are not the peer's doing: their handles came before what is closed now.
    if (this.#entries.size - this.#awaited.size >= maxContexts)
      return { code: closeCode.tooMuch, reason: `export: more contexts than ${maxContexts}` }
    const base = importContext(this.#core, above?.base ?? this.#core.root, context)
    // The codec of a value may have closed the link.
    if (this.#core.lost !== undefined) return undefined
    const entry = new Imported(id, base, false)
    entry.depth = depth
    this.#entries.set(id, entry)
    return undefined
  }

  /** Handles whose ids the peer has passed over are of no export. */
  passed(highest: number): void {
    if (highest <= this.#firstAwaited) return
    this.#firstAwaited = Infinity
    for (const entry of [...this.#awaited]) {
      if (entry.id < highest) this.#close(entry, neverExported())
      else this.#firstAwaited = Math.min(this.#firstAwaited, entry.id)
    }
  }

  /** The peer's context is done. Returns what is to be ended by that; undefined where it is not known here. */
  takeCancel(id: number): CancelableContext | undefined {
    const entry = this.#entries.get(id)
    if (entry === undefined || entry.awaited) return undefined
    this.#entries.delete(id)
    entry.ended = true
    if (entry.useful) this.#core.budget.giveBack()
    return entry.gate
  }

  /** The peer needs it no more. A handle that was imported again after it was given back is of no use from here on. */
  takeRetract(frame: RetractFrame): string | undefined {
    const entry = this.#entries.get(frame.id)
    if (entry === undefined || entry.awaited) return this.#core.takeLate(frame, 'peers')
    this.#entries.delete(frame.id)
    // Not the gate: what was exported below it, or called, goes on.
    if (entry.lent !== undefined) endWith(entry.lent, noneSuch('it was imported and given back before'))
    this.#core.budget.giveBack()
    return undefined
  }

  #close(entry: Imported, error: ContextError): void {
    this.#entries.delete(entry.id)
    this.#awaited.delete(entry)
    entry.ended = true
    endWith(entry.gate, error)
  }

  /**
   * The context that a handle stands for. One whose handle is of no use here is done, with a `BridgeError` (`ERR_HANDLE`, `ERR_LIMIT`,
   * `ERR_LINK_LOST`) as its cause.
   */
  import(handle: unknown): CancelableContext {
    const core = this.#core
    const parsed = parseHandle(handle)
    if (typeof parsed === 'string') return this.#ended(noneSuch(parsed))
    if (core.lost !== undefined) return this.#ended(because(core.lost))
    if (parsed.link === core.options.id) return this.#ended(noneSuch('it was made on this side of the link'))
    if (core.peer.link !== '' && parsed.link !== core.peer.link) return this.#ended(noneSuch('it was made for another link'))
    const { id, end } = parsed
    if (end !== undefined) return this.#ended(errorOf(end.kind, end.cause), parsed)
    let entry = this.#entries.get(id)
    if (entry === undefined) {
      if (id <= core.highestPeerId) return this.#ended(noneSuch('its context is gone'))
      if (this.#awaited.size >= core.limits.maxContexts) {
        const message = `This side takes no more than ${core.limits.maxContexts} contexts at once.`
        return this.#ended(because(withoutStack(() => new BridgeError('ERR_LIMIT', message))))
      }
      entry = new Imported(id, withCancel(core.root), true)
      this.#entries.set(id, entry)
      this.#awaited.add(entry)
      this.#firstAwaited = Math.min(this.#firstAwaited, id)
      this.#ask()
    } else if (entry.awaited) {
      // Its maker may have made this handle after the answer: they are asked once more.
      this.#asked?.delete(entry)
    }
    return this.#use(entry, parsed)
  }

  /** Who made a handle has said so before it can hear this question: of what has not come with the answer nobody has made one. */
  #ask(): void {
    if (this.#asked !== undefined || this.#awaited.size === 0) return
    const asked = (this.#asked = new Set(this.#awaited))
    this.#core.ask(() => {
      this.#asked = undefined
      for (const entry of asked) if (this.#awaited.has(entry)) this.#close(entry, neverExported())
      this.#ask()
    })
  }

  #use(entry: Imported, handle: ParsedHandle): CancelableContext {
    entry.users++
    entry.useful = true
    entry.took(handle.grant)
    // The handle has all that there is to know, but the end.
    const { base, at, why } = receiveContext(this.#core, (entry.lent ??= withCancel(entry.gate)), handle)
    const use = new Use(() => this.#release(entry))
    const ctx = withRemote(base, use, at, why)
    this.#core.options.onDropped?.(ctx, () => use.ended())
    return ctx
  }

  /** What a user held of it has ended or was dropped. */
  #release(entry: Imported): void {
    entry.users--
    // Of one whose export has not come yet nothing can be said: the handle may be forged.
    if (entry.users === 0 && !entry.awaited && this.#entries.has(entry.id)) this.#giveBack(entry)
  }

  #giveBack({ id, grant }: Imported): void {
    if (grant === 0) return
    this.#core.push({ type: 'release', id, grant }, 4, 24)
  }

  #ended(error: ContextError, values?: ParsedHandle): CancelableContext {
    const root = this.#core.root
    const ctx = withCancel(values === undefined ? root : receiveContext(this.#core, root, { ...values, left: undefined }).base)
    endWith(ctx, error)
    return ctx
  }

  /**
   * The peer was silent for too long: what users hold ends. Its contexts themselves are still the peer's to end: when it is heard again, calls and imports
   * under them go on.
   */
  expire(error: ContextError): void {
    const lent: CancelableContext[] = []
    for (const entry of this.#entries.values()) {
      if (entry.lent !== undefined) lent.push(entry.lent)
      entry.lent = undefined
    }
    endAll(lent, 'canceled', error)
  }

  /** The link is over: all of them end with it. */
  close(error: ContextError): void {
    for (const entry of [...this.#entries.values()]) this.#close(entry, error)
  }
}

/** Ends never by itself, and tells when its context has ended. */
class Use extends Source {
  #release: (() => void) | undefined

  constructor(release: () => void) {
    super()
    this.#release = release
  }

  poll(): undefined {
    return undefined
  }

  override ended(): void {
    this.#release?.()
    this.#release = undefined
  }

  override label(): string {
    return 'Import'
  }
}

function because(reason: BridgeError): ContextError {
  return withoutStack(() => new CanceledError({ cause: reason }))
}

function neverExported(): ContextError {
  return noneSuch('no context was ever exported by it')
}

function noneSuch(why: string): ContextError {
  return because(withoutStack(() => new BridgeError('ERR_HANDLE', `The handle cannot be imported: ${why}.`)))
}
