/** Two threads that share contexts: everything that belongs to one endpoint, from its first use until it is closed or lost. */

import { inspectAsText, show } from '../../lib/bridge/link-show.ts'
import { goneBefore, goneSoon } from '../../lib/bridge/port.ts'
import { disposable } from '../../lib/dispose.ts'
import { hostClock } from '../../lib/clock.ts'
import { background, type CancelableContext, type Context } from '../../lib/context.ts'
import { End } from '../../lib/end.ts'
import { type BridgeError, LinkLostError } from '../../lib/errors.ts'
import { named } from '../../lib/given.ts'
import type { Key } from '../../lib/key.ts'
import { reviveCause } from '../../lib/wire/cause.ts'
import {
  isAnswer,
  isAsk,
  isBegun,
  isCall,
  packBegun,
  type PackedAnswer,
  type PackedBegun,
  type PackedCall,
} from './call-message.ts'
import { Caller } from './caller.ts'
import { canTerminate, isWebWorker, type WorkerEndpoint } from './endpoint.ts'
import { tableStats } from './export.ts'
import { Exporter } from './exporter.ts'
import { refusal } from './failure.ts'
import { threads, warn } from './host.ts'
import { type ContextHandle, isHandle, type ParsedHandle, parseHandle, parseSent } from './handle.ts'
import { baseOf, ended, importEnded, refused } from './import-ended.ts'
import { giveBack, Importer } from './importer.ts'
import type { Link, LinkStats } from './link.ts'
import {
  type Again,
  type Attach,
  detach,
  type Got,
  here,
  isAgain,
  isAttach,
  isDetach,
  isGot,
  isHere,
  isMemory,
  isSent,
  type Sent,
  VERSION,
} from './messages.ts'
import { Server, unread } from './server.ts'
import { speakFor } from './maker.ts'
import { keepSpecimens } from './specimens.ts'
import { Unheard } from './unheard.ts'
import { watchEndpoint } from './watch-endpoint.ts'

/** How many calls may come before something is served. More are refused: it may never be. */
const MAX_EARLY = 10_000

/** What serves, made by the copy of the package that serves: transfer handlers, and what is thrown, are its own. */
type MakeServer = (api: object, ...rest: ServerRest) => Server
type ServerRest = [
  importHandle: (handle: unknown) => CancelableContext,
  giveBack: (ctx: CancelableContext) => void,
  post: (message: PackedAnswer | PackedBegun, transfer: readonly Transferable[]) => void,
]

/** A server of this copy. */
export const serverOf: MakeServer = (api, ...rest) => new Server(api, ...rest)

export class WorkerLink implements Link {
  declare readonly [Symbol.dispose]: () => void
  readonly #endpoint: WorkerEndpoint
  readonly #shared: boolean
  readonly #forget: () => void
  /** One for each channel that the other side has opened: mostly there is one. */
  #importers: readonly Importer[] = []
  /** By the copy of the package that they were given to: one may have keys of the same names as another. */
  readonly #keys = new Map<object, readonly Key<unknown>[]>()
  readonly #warned = new Set<string>()
  #exporter: Exporter | undefined
  #caller: Caller | undefined
  #server: Server | undefined
  /** Calls that came before there was somebody to serve them. */
  #early: PackedCall[] = []
  /** Of how many channels the other side would not be told yet that this thread has died. */
  #unready = 0
  /** What was posted, until it is known that the other side listens; undefined from then on. */
  #unheard: Unheard | undefined = new Unheard()
  /** What was posted before the other side said that it listens, until it has said how much of that it has heard. */
  #asked: Unheard | undefined
  /** How many messages the other side has posted that were heard here. */
  #heard = 0
  /** Whether all of them were. Until then no call that came is begun: the attach that it needs may be missing. */
  #isWhole = false
  /** Why nothing goes in or out any more. */
  #lost: LinkLostError | undefined
  /** Why nothing goes out: the other side has closed its end. It may open it again, by an attach. */
  #left: LinkLostError | undefined
  readonly #stop: () => void
  /** Why the worker is being terminated, if it is by us. */
  #terminated: LinkLostError | undefined

  constructor(endpoint: WorkerEndpoint, shared: boolean, forget: () => void) {
    this.#endpoint = endpoint
    this.#shared = shared
    this.#forget = forget
    const gone = goneBefore(endpoint)
    // Before anything listens: something around an endpoint may throw at it.
    if (gone === undefined) endpoint.postMessage(here, [] as never)
    this.#stop = watchEndpoint(endpoint, {
      message: (data) => this.#receive(data),
      garbled: (error) => this.#unreadable(error),
      lost: (why) => this.#lose(this.#terminated ?? why),
      failed: (why) => this.#leave(this.#terminated ?? why),
      isAwaited: () => this.#caller?.isAwaited === true,
    })
    if (gone === undefined) goneSoon(endpoint, (how) => this.#lose(goneFor(how)))
    else this.#lose(goneFor(gone))
  }

  register(keys: readonly Key<unknown>[], copy: object): void {
    if (keys.length > 0) this.#keys.set(copy, [...new Set([...(this.#keys.get(copy) ?? []), ...keys])])
  }

  /** Why it is closed; undefined while it is not. */
  get lost(): LinkLostError | undefined {
    return this.#lost ?? this.#left
  }

  /** What exports over this link. With it the other side is told, and given the table. */
  get exporter(): Exporter {
    if (this.lost !== undefined) throw this.lost
    return (this.#exporter ??= Exporter.over(
      (message, transfer) => this.#post(message, transfer),
      (error, name) => this.#warn(name, 'sent', error),
      (hasDied) => {
        this.#exporter?.close()
        this.#exporter = undefined
        if (hasDied) this.#ended()
      },
      this.#shared,
    ))
  }

  /** Tells the other side that this one is there, before anything is exported. */
  announce(): void {
    if (this.lost === undefined) void this.exporter
  }

  get caller(): Caller {
    if (this.#caller !== undefined) return this.#caller
    this.#caller = new Caller(
      (message, transfer) => this.#post(message, transfer),
      (id) => this.#unheard?.giveUp(id),
    )
    if (this.lost !== undefined) this.#caller.lose(this.lost)
    return this.#caller
  }

  /** False when something is served here already. */
  serve(api: object, make: MakeServer = serverOf): boolean {
    if (this.#server !== undefined) return false
    const server = make(
      api,
      (sent) => this.#import(parseSent(sent, 'import'), false),
      giveBack,
      (message, transfer) => this.#post(message, transfer),
    )
    this.#server = server
    this.#serveEarly()
    return true
  }

  /** Who begins the calls that come, if they may begin: no method does before the other side will be told should this thread die of it, since one that keeps the thread keeps it from that, too. */
  get #ready(): Server | undefined {
    return this.#unready === 0 && this.#isWhole ? this.#server : undefined
  }

  #serveEarly(): void {
    const server = this.#ready
    if (server !== undefined) for (const early of this.#early.splice(0)) server.receive(early)
  }

  export(ctx: Context): ContextHandle {
    return this.exporter.export(ctx)
  }

  import(handle: unknown): CancelableContext {
    if (!isHandle(handle)) throw new TypeError(`import() needs a handle that export() made, but got ${named(handle)}.`)
    return this.#import(parseHandle(handle), true)
  }

  /** @param mayBeDropped whether nobody may cancel it */
  #import(parsed: ParsedHandle | undefined, mayBeDropped: boolean): CancelableContext {
    if (parsed === undefined) return refused('it is forged, damaged, or of another version')
    let base: Context = background()
    for (const keys of this.#keys.values()) base = baseOf(parsed, keys, this.#notReceived, base)
    const importer = this.#importerOf(parsed)
    if (this.lost !== undefined) return ended(base, new End('canceled', this.lost, hostClock.now()))
    if (importer === undefined) {
      const early =
        'nothing was heard from the other side yet. Call link() when this thread starts, and not when the first handle comes'
      return refused(this.#isWhole ? 'it was made for another link, or for one that is closed' : early)
    }
    if (parsed.end === undefined)
      return importer.import(parsed, base, parsed.why === undefined ? undefined : reviveCause(parsed.why), mayBeDropped)
    return importEnded(parsed.end, base)
  }

  #importerOf({ table, link }: { readonly table: number; readonly link: number }): Importer | undefined {
    for (const importer of this.#importers) if (importer.link === link && importer.table === table) return importer
    return undefined
  }

  /** Ends the worker by force; then everything on this link is lost for the reason given. */
  terminate(why: LinkLostError): void {
    if (this.#lost !== undefined || this.#terminated !== undefined || !canTerminate(this.#endpoint)) return
    this.#terminated = why
    void this.#endpoint.terminate()
    // In a browser a terminated worker is gone at once, and nothing tells. In Node its exit does.
    if (isWebWorker(this.#endpoint)) this.#lose(why)
  }

  stats(): LinkStats {
    let [imports, observers] = [0, 0]
    for (const importer of this.#importers) {
      imports += importer.size
      observers += importer.observed
    }
    return { ...tableStats(), exports: this.#exporter?.size ?? 0, imports, observers, calls: this.#caller?.size ?? 0 }
  }

  static {
    disposable<WorkerLink>(this.prototype, function () {
      this.#close(new LinkLostError('The link was closed by this thread.'))
      this.#forget()
    })
  }

  toString(): string {
    const { exports, imports, calls } = this.stats()
    return show('Link', this.lost === undefined ? 'open' : 'closed', { exports, imports, calls })
  }

  toJSON(): string {
    return String(this)
  }

  static {
    inspectAsText(this.prototype)
  }

  /** Tells the other side, also where nothing has come from there yet: its calls may be on their way, and nothing else would ever answer them. */
  #close(error: LinkLostError): void {
    this.#post(detach, [])
    this.#lose(error)
  }

  /** From here on nothing goes in or out. */
  #lose(error: LinkLostError): void {
    if (this.#lost !== undefined) return
    this.#lost = error
    this.#stop()
    this.#letGo(error)
  }

  /** The other side has closed its end. What is served here stays, for when it opens that again. */
  #leave(error: LinkLostError): void {
    if (this.lost !== undefined) return
    this.#left = error
    this.#letGo(error)
  }

  /** Everything that the other side held is taken back before anybody hears of it. */
  #letGo(error: LinkLostError): void {
    this.#early = []
    if (this.#unheard !== undefined) this.#unheard = new Unheard()
    this.#asked = undefined
    this.#exporter?.close()
    this.#exporter = undefined
    this.#caller?.lose(error)
    const importers = this.#importers
    this.#importers = []
    for (const importer of importers) importer.close(error)
  }

  /** In a browser, where nothing else tells. Who closes the link has said so over the endpoint. */
  #ended(): void {
    this.#leave(this.#terminated ?? new LinkLostError('The other thread has ended.'))
  }

  /** The other side is there, also where it had closed its end. */
  #join(): void {
    if (this.#left === undefined) return
    this.#left = undefined
    this.#caller = undefined
    // Of what was exported before it has heard, or hears later, that it is closed.
    this.announce()
  }

  /** The other side begins to listen: whatever it posts is heard, but not all that was posted to it may have been. */
  #meet(): void {
    this.#asked = this.#unheard
    this.#endpoint.postMessage({ ctxbridge: 'sent', version: VERSION, count: this.#unheard?.count ?? 0 }, [] as never)
    this.#unheard = undefined
    this.#join()
    this.#hasAll()
  }

  /** The other side listened before this one did: nothing that was posted to it is missing. */
  #compare({ count }: Sent): void {
    this.#unheard = undefined
    this.#exporter?.arrived()
    if (count > 0) this.#endpoint.postMessage({ ctxbridge: 'got', version: VERSION, count: this.#heard }, [] as never)
    if (count <= this.#heard) this.#hasAll()
  }

  /** Nothing is missing any more: what came may begin. */
  #hasAll(): void {
    this.#isWhole = true
    this.#serveEarly()
  }

  /** Posts again what the other side has missed. */
  #repeat({ count }: Got): void {
    if (this.#asked === undefined) return
    const missing = this.#asked.missing(count)
    this.#asked = undefined
    if (missing.some(({ how }) => how === 'attach'))
      this.#exporter?.announceAgain((message, transfer) => this.#post(message, transfer))
    else this.#exporter?.arrived()
    const messages = missing.flatMap((kept) => (kept.how === 'copy' ? [kept.message] : []))
    this.#post({ ctxbridge: 'again', version: VERSION, messages } satisfies Again, [])
    for (const kept of missing) if (kept.how === 'gone' && kept.id !== undefined) this.#caller?.miss(kept.id, tooLate())
  }

  /** What was missing is here. It comes before what was heard meanwhile. */
  #hearAgain({ messages }: Again): void {
    if (this.#isWhole) return
    const later = this.#early.splice(0)
    for (const message of messages) if (Array.isArray(message)) this.#receiveCall(message)
    // Not whole yet: queued behind those, or refused.
    for (const call of later) this.#receiveCall(call)
    this.#hasAll()
  }

  #receive(data: unknown): void {
    if (Array.isArray(data)) {
      if (this.#receiveCall(data)) this.#heard++
    } else if (isHere(data)) {
      this.#meet()
    } else if (isSent(data)) {
      this.#compare(data)
    } else if (isGot(data)) {
      this.#repeat(data)
    } else if (isAgain(data)) {
      this.#hearAgain(data)
    } else if (isDetach(data)) {
      this.#leave(new LinkLostError('The other thread has closed the link.'))
    } else if (isMemory(data)) {
      this.#heard++
      this.#importerOf(data)?.memory(data.chunks)
    } else if (isAttach(data)) {
      this.#heard++
      this.#open(data)
    }
  }

  /** Whether it is of a call. */
  #receiveCall(data: unknown): boolean {
    if (isCall(data)) {
      const server = this.#ready
      if (server !== undefined) server.receive(data)
      else if ((this.#server !== undefined && this.#isWhole) || this.#early.length < MAX_EARLY) this.#early.push(data)
      else this.#post(unread(data, tooEarly()), [])
    } else if (isAnswer(data)) {
      this.#caller?.receive(data)
    } else if (isBegun(data)) {
      this.#caller?.begun(data)
    } else if (isAsk(data)) {
      this.#post(packBegun(data), [])
    } else return false
    return true
  }

  #open(attach: Attach): void {
    if (this.#importerOf(attach) !== undefined) return
    this.#join()
    keepSpecimens(attach.chunks.length > 0 || attach.follows === true)
    const importer: Importer = new Importer(attach, (hasDied) => {
      this.#importers = this.#importers.filter((other) => other !== importer)
      // Where it has opened another one since, it is there.
      if (hasDied && this.#importers.length === 0) this.#ended()
    })
    this.#importers = [...this.#importers, importer]
    speakFor(this.#endpoint, importer, attach.thread)
    if (importer.ready === undefined) return this.#serveEarly()
    this.#unready++
    void importer.ready.then(() => {
      this.#unready--
      this.#serveEarly()
    })
  }

  /** What could not be read may have been memory, which this thread cannot be given. Of all else somebody waits for an answer that never comes. */
  #unreadable(error: unknown): void {
    // Of what the other side sent before it left nothing is answered.
    if (this.#left !== undefined) return
    const isMemory = this.#importers.some((importer) => importer.memory(undefined))
    // In a browser, before the first attach, it is that of one which nobody heard, and which comes again.
    if (isMemory || (threads === undefined && !this.#isWhole && this.#importers.length === 0)) {
      this.#heard++
      return
    }
    this.#close(new LinkLostError('A message of the other thread could not be read.', { cause: error }))
  }

  /** Returns whether it is kept until it is known that the other side listens. */
  #post(message: unknown, transfer: readonly Transferable[]): boolean {
    if (this.#lost !== undefined) return false
    if (this.#unheard === undefined) this.#endpoint.postMessage(message, transfer as never)
    else this.#unheard.post(this.#endpoint, message, transfer)
    return this.#unheard !== undefined
  }

  readonly #notReceived = (error: unknown, name: string): void => this.#warn(name, 'received', error)

  /** A value that is left out harms nothing else, but somebody misses it: said once for each key. */
  #warn(name: string, what: string, error: unknown): void {
    if (this.#warned.has(name)) return
    this.#warned.add(name)
    warn(`The value of the portable key ${named(name)} was not ${what}: ${String(error)}`)
  }
}

function goneFor(how: 'exited' | 'closed'): LinkLostError {
  return new LinkLostError(
    how === 'exited' ? 'The worker has exited.' : 'The port to the other thread was closed, or given away.',
  )
}

function tooLate(): LinkLostError {
  return new LinkLostError(
    'The other thread began to listen after this call had been made, and what was transferred with it is gone: let it call expose(), wrap() or link() before its first await.',
  )
}

function tooEarly(): BridgeError {
  return refusal(
    'ERR_LIMIT',
    `The other thread serves nothing yet, and ${MAX_EARLY} calls wait for that: let it call expose() when it starts.`,
  )
}
