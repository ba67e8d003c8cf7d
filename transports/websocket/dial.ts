/** The side that connects: opens a socket, and another one when that breaks. */
import type { Channel, Link } from '../../lib/bridge/link.ts'
import type { Context } from '../../lib/context.ts'
import type { LinkLostError } from '../../lib/errors.ts'
import { race } from '../../lib/wait.ts'
import { type LinkSettings, makeLink, maxMessageOf } from './link.ts'
import type { Receiver } from './receiver.ts'

/** The waits between attempts to connect again, in milliseconds: a random part of the first one, which doubles up to the last one. */
const firstWait = 100
const longestWait = 5_000
/** How long one attempt may take, the greeting included. */
const attemptTimeout = 5_000

/** The WebSockets of a platform. */
export interface Sockets<S> {
  /** Opens a socket; rejects where that fails, and when `signal` gives up. Whoever takes it gives it to `channel` before anything else happens. */
  open(url: URL, maxMessage: number, signal: AbortSignal): Promise<S>
  /** The channel over a socket, which belongs to it from here on. `connect` is given the channel and gives whoever takes what comes. */
  channel<R extends Receiver>(socket: S, connect: (channel: Channel) => R): R
  /** Whether a failure to open says that nobody is there who could know a session. */
  refused(error: unknown): boolean
}

export interface Dialed {
  readonly link: Link
  readonly closed: Promise<LinkLostError>
}

/** Connects, and waits until the server has greeted. */
export async function dial<S>(
  sockets: Sockets<S>,
  url: URL,
  context: Context,
  settings: LinkSettings,
  methods: object | undefined,
  reconnect: boolean,
): Promise<Dialed> {
  context.throwIfDone()
  const dialer = new Dialer(sockets, url, settings, methods, reconnect)
  return dialer.open(context)
}

class Dialer<S> {
  readonly #sockets: Sockets<S>
  readonly #url: URL
  readonly #settings: LinkSettings
  readonly #methods: object | undefined
  readonly #reconnect: boolean
  #link: Link | undefined
  /** The channel that the link is on: what others tell is nothing to it. */
  #channel: Channel | undefined
  #wake: (() => void) | undefined

  constructor(sockets: Sockets<S>, url: URL, settings: LinkSettings, methods: object | undefined, reconnect: boolean) {
    this.#sockets = sockets
    this.#url = url
    this.#settings = settings
    this.#methods = methods
    this.#reconnect = reconnect
  }

  async open(context: Context): Promise<Dialed> {
    const giveUp = new AbortController()
    const socket = await race(context, this.#sockets.open(this.#url, maxMessageOf(this.#settings), giveUp.signal)).catch(
      (error: unknown) => {
        giveUp.abort()
        throw error
      },
    )
    let greeted!: () => void
    let over!: (reason: LinkLostError) => void
    const opened = new Promise<void>((resolve) => (greeted = resolve))
    const closed = new Promise<LinkLostError>((resolve) => (over = resolve))
    this.#sockets.channel(socket, (channel) => {
      this.#channel = channel
      this.#link = makeLink(channel, this.#settings, this.#methods, this.#reconnect ? 'connect' : undefined, {
        onOpen: greeted,
        onClose: (reason) => {
          this.#wake?.()
          over(reason)
        },
        onSuspend: (reason) => void this.#again(reason),
      })
      return this.#receiver(channel)
    })
    const link = this.#link as unknown as Link
    try {
      await race(context, Promise.race([opened, closed.then((reason) => Promise.reject(reason))]))
    } catch (error) {
      link.close()
      throw error
    }
    return { link, closed }
  }

  #receiver(channel: Channel): Receiver {
    const isCurrent = (): boolean => this.#channel === channel
    return {
      receive: (bytes) => {
        if (isCurrent()) this.#link?.receive(bytes)
        this.#wake?.()
      },
      lost: (reason, final) => {
        if (!isCurrent()) return
        this.#channel = undefined
        if (final) this.#link?.lost(reason)
        else this.#link?.detached(reason)
        this.#wake?.()
      },
    }
  }

  /** Connects again, until that succeeds, or makes no sense, or the link is over. Never rejects. */
  async #again(reason: LinkLostError): Promise<void> {
    const link = this.#link as Link
    // One loop at a time: what breaks while it waits is seen by it.
    if (this.#looping) return
    this.#looping = true
    for (let wait = firstWait; link.stats().state === 'suspended'; wait = Math.min(2 * wait, longestWait)) {
      // oxlint-disable-next-line no-await-in-loop -- attempt after attempt
      await this.#pause(Math.random() * wait)
      if (link.stats().state !== 'suspended') break
      // oxlint-disable-next-line no-await-in-loop -- attempt after attempt
      const verdict = await this.#attempt(link)
      if (verdict === 'nobody') link.lost(reason)
    }
    this.#looping = false
  }

  #looping = false

  /** One attempt: whether nobody is there any more who could know the session. */
  async #attempt(link: Link): Promise<'nobody' | undefined> {
    const giveUp = new AbortController()
    const timer = setTimeout(() => giveUp.abort(), attemptTimeout)
    try {
      const socket = await this.#sockets.open(this.#url, maxMessageOf(this.#settings), giveUp.signal)
      const channel = this.#sockets.channel(socket, (opened) => {
        this.#channel = opened
        link.reconnected(opened)
        return { ...this.#receiver(opened), channel: opened }
      }).channel
      giveUp.signal.addEventListener('abort', () => {
        if (link.stats().state === 'suspended') channel.close(1000, 'no greeting')
      })
      while (this.#channel === channel && link.stats().state === 'suspended') {
        // oxlint-disable-next-line no-await-in-loop -- until that is so
        await new Promise<void>((resolve) => (this.#wake = resolve))
      }
      return undefined
    } catch (error) {
      // The process that knew the session is gone. Anything else may pass: a network that is down, a name that is not resolved now.
      return this.#sockets.refused(error) ? 'nobody' : undefined
    } finally {
      this.#wake = undefined
      clearTimeout(timer)
    }
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
}
