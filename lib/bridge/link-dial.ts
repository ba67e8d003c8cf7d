/** The side that connects: opens a socket, and another one when that breaks. What a socket is, and what time is, it is given. */
import { catchUp } from '../boundary.ts'
import { after } from '../clock.ts'
import type { Context } from '../context.ts'
import { LinkLostError } from '../errors.ts'
import { race } from '../wait.ts'
import type { Link } from './link.ts'
import { type LinkHost, type LinkSettings, makeLink, maxMessageOf } from './link-host.ts'
import type { Channel } from './link-types.ts'
import { greetingTimeout, Opening } from './link-opening.ts'

/** The waits between attempts to connect again, in milliseconds: a random part of the first one, which doubles up to the last one. */
const firstWait = 100
const longestWait = 5_000
/** How long one attempt may take, the greeting included. */
const attemptTimeout = 5_000
/** An attempt that is older is given up when the machine wakes: it may wait for a network that is gone. */
const freshAttempt = 1_000

/** What a socket tells the link that it carries. */
export interface Receiver<M = Uint8Array> {
  receive(message: M): void
  /** The connection is gone. `final`: it was closed on purpose, by whichever side; otherwise it broke. */
  lost(reason: LinkLostError, final: boolean): void
}

/** What may happen to a side as a whole, such as a page. */
export interface Life {
  /** Time or the network may have passed it by: it woke, it can be seen again, it is online. */
  readonly awake: () => void
  /** Nothing will run until it is awake, if it ever is. */
  readonly asleep: () => void
}

/** The sockets of a platform. */
export interface Sockets<S, M = Uint8Array> {
  /** Opens a socket; rejects where that fails, and when `signal` gives up. Whoever takes it gives it to `channel` before anything else happens. */
  open(url: URL, maxMessage: number, signal: AbortSignal): Promise<S>
  /** The channel over a socket, which belongs to it from here on. `connect` is given the channel and gives whoever takes what comes. */
  channel<R extends Receiver<M>>(socket: S, connect: (channel: Channel<M>) => R): R
  /** Tells of what happens to this side as a whole, until the function returned is called. */
  watch?(life: Life): () => void
  /** Whether a failure to open says that nobody is there who could know a session. */
  refused(error: unknown): boolean
}

export interface Dialed<M = Uint8Array> {
  readonly link: Link<M>
  readonly closed: Promise<LinkLostError>
}

/** Connects, and waits until the server has greeted. */
export async function dial<S, M>(
  host: LinkHost<M>,
  sockets: Sockets<S, M>,
  url: URL,
  context: Context,
  settings: LinkSettings,
  methods: object | undefined,
  reconnect: boolean,
): Promise<Dialed<M>> {
  context.throwIfDone()
  const dialer = new Dialer(host, sockets, url, settings, methods, reconnect)
  return dialer.open(context)
}

class Dialer<S, M> {
  readonly #host: LinkHost<M>
  readonly #sockets: Sockets<S, M>
  readonly #url: URL
  readonly #settings: LinkSettings
  readonly #methods: object | undefined
  readonly #reconnect: boolean
  #link: Link<M> | undefined
  /** The channel that the link is on: what others tell is nothing to it. */
  #channel: Channel<M> | undefined
  #wake: (() => void) | undefined
  /** Ends the wait between two attempts, and an attempt that is not of just now. */
  #hurry: (() => void) | undefined
  /** Ends an attempt. */
  #giveUp: (() => void) | undefined
  #looping = false
  #waits = firstWait
  #asleep = false

  constructor(
    host: LinkHost<M>,
    sockets: Sockets<S, M>,
    url: URL,
    settings: LinkSettings,
    methods: object | undefined,
    reconnect: boolean,
  ) {
    this.#host = host
    this.#sockets = sockets
    this.#url = url
    this.#settings = settings
    this.#methods = methods
    this.#reconnect = reconnect
  }

  async open(context: Context): Promise<Dialed<M>> {
    const giveUp = new AbortController()
    const socket = await race(context, this.#sockets.open(this.#url, maxMessageOf(this.#settings), giveUp.signal)).catch(
      (error: unknown) => {
        giveUp.abort()
        throw error
      },
    )
    const opening = new Opening()
    const { closed } = opening
    this.#sockets.channel(socket, (channel) => {
      this.#channel = channel
      try {
        this.#link = makeLink(this.#host, channel, this.#settings, this.#methods, this.#reconnect ? 'connect' : undefined, {
          onOpen: opening.greeted,
          onClose: (reason) => {
            this.#giveUp?.()
            this.#wake?.()
            opening.over(reason)
          },
          onSuspend: (reason) => void this.#again(reason),
        })
      } catch (error) {
        // Nobody else knows the socket.
        channel.terminate()
        throw error
      }
      return this.#receiver(channel)
    })
    const link = this.#link as unknown as Link<M>
    const stop = this.#sockets.watch?.({ awake: () => this.#awake(link), asleep: () => this.#sleep(link) })
    if (stop !== undefined) void closed.then(stop)
    await opening.wait(link, context, this.#host.clock, greetingTimeout, notGreeted)
    return { link, closed }
  }

  #receiver(channel: Channel<M>): Receiver<M> {
    const isCurrent = (): boolean => this.#channel === channel
    return {
      receive: (message) => {
        if (isCurrent()) this.#link?.receive(message)
        this.#wake?.()
      },
      lost: (reason, final) => {
        if (!isCurrent()) return
        this.#channel = undefined
        // Whoever waits now: not the pause that begins with this.
        const wake = this.#wake
        if (final) this.#link?.lost(reason)
        else this.#link?.detached(reason)
        wake?.()
      },
    }
  }

  /** Time or the network has passed us by: connects again at once, or asks whether the connection is still good. */
  #awake(link: Link<M>): void {
    catchUp(this.#host.clock)
    this.#asleep = false
    if (link.stats().state === 'open') return link.probe()
    this.#waits = firstWait
    this.#hurry?.()
  }

  /**
   * Leaves the connection, which would look alive to the other side, and connects when awake: in time, everything goes on; later, it has ended there. Without
   * a session there is nothing to go on with.
   */
  #sleep(link: Link<M>): void {
    if (link.token === '') return
    this.#asleep = true
    if (link.stats().state === 'open') {
      this.#channel = undefined
      link.leave()
    } else {
      this.#giveUp?.()
    }
  }

  /** Connects again, until that succeeds, or makes no sense, or the link is over. Never rejects. */
  async #again(reason: LinkLostError): Promise<void> {
    const link = this.#link as Link<M>
    // One loop at a time: what breaks while it waits is seen by it.
    if (this.#looping) return
    this.#looping = true
    for (this.#waits = firstWait; link.stats().state === 'suspended'; this.#waits = Math.min(2 * this.#waits, longestWait)) {
      // oxlint-disable-next-line no-await-in-loop -- attempt after attempt
      await this.#pause(this.#host.random() * this.#waits)
      if (link.stats().state !== 'suspended') break
      if (this.#asleep) continue
      // oxlint-disable-next-line no-await-in-loop -- attempt after attempt
      const refusal = await this.#attempt(link)
      if (refusal !== undefined) link.lost(new LinkLostError(reason.message, { cause: refusal }))
    }
    this.#looping = false
  }

  /** One attempt: gives its error where that says that nobody is there any more who could know the session. */
  async #attempt(link: Link<M>): Promise<unknown> {
    const giveUp = new AbortController()
    const { clock } = this.#host
    const stop = after(clock, attemptTimeout, true, () => giveUp.abort())
    const since = clock.now()
    this.#giveUp = () => giveUp.abort()
    this.#hurry = () => {
      if (clock.now() - since > freshAttempt) giveUp.abort()
    }
    try {
      const socket = await this.#sockets.open(this.#url, maxMessageOf(this.#settings), giveUp.signal)
      const channel = this.#sockets.channel(socket, (opened) => {
        this.#channel = opened
        // It may have been given up, or the link closed, at about the moment in which it opened.
        if (giveUp.signal.aborted || !link.reconnected(opened)) {
          this.#channel = undefined
          opened.terminate()
        }
        return { ...this.#receiver(opened), channel: opened }
      }).channel
      giveUp.signal.addEventListener('abort', () => {
        if (link.stats().state !== 'suspended' || this.#channel !== channel) return
        // Without a word, which would end the session where it arrives; and what the socket still tells is nothing.
        this.#channel = undefined
        channel.terminate()
        this.#wake?.()
      })
      while (this.#channel === channel && link.stats().state === 'suspended') {
        // oxlint-disable-next-line no-await-in-loop -- until that is so
        await new Promise<void>((resolve) => (this.#wake = resolve))
      }
      return undefined
    } catch (error) {
      // The process that knew the session is gone. Anything else may pass: a network that is down, a name that is not resolved now.
      return this.#sockets.refused(error) ? error : undefined
    } finally {
      this.#wake = this.#hurry = this.#giveUp = undefined
      stop()
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.#wake = this.#hurry = undefined
        stop()
        resolve()
      }
      const stop = this.#asleep ? () => undefined : after(this.#host.clock, ms, true, done)
      this.#wake = this.#hurry = done
    })
  }
}

function notGreeted(): LinkLostError {
  const what = `The server opened a connection and did not greet within ${greetingTimeout} ms`
  return new LinkLostError(`${what}: is it one of ctxbridge, by serve(), and what stands before it passes messages on?`)
}
