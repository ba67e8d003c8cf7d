/**
 * Contexts for jobs of a worker pool: what the adapters of the pools have in common.
 *
 * Nobody knows which of its workers a pool will give a job to. So a job takes along all that its worker needs: a handle, and the shared memory that
 * it points to, a reference of half a microsecond; and the owner alone knows when the job is over, and takes the slot back then. So it is no
 * matter when and by whom the pool and its workers were made.
 */

import { dispose } from '../../lib/dispose.ts'
import { listen } from '../../lib/boundary.ts'
import { isInt32Array, isSharedMemory } from '../../lib/bridge/realm.ts'
import type { CancelableContext, Context } from '../../lib/context.ts'
import { BridgeError, LinkLostError, withoutStack } from '../../lib/errors.ts'
import { scopeOf } from '../../lib/foreign.ts'
import { attempt, named, readOptions } from '../../lib/given.ts'
import type { Key } from '../../lib/key.ts'
import { reviveCause } from '../../lib/wire/cause.ts'
import { afterGrace } from './after-grace.ts'
import { Exporter } from './exporter.ts'
import { failureFromWire, failureToWire, messageOf, refusal } from './failure.ts'
import { isHandle, parseHandle } from './handle.ts'
import { canShare, threads, warn } from './host.ts'
import { baseOf, importEnded, refused } from './import-ended.ts'
import { Importer } from './importer.ts'
import { channelOf, VERSION } from './messages.ts'
import { portableKeys } from './options.ts'
import { keepSpecimens } from './specimens.ts'
import { isStream } from './stream.ts'
import { holdsContext, isOrHasWithin } from './within.ts'

export interface RunOptions {
  /**
   * How long, in ms, a job may go on after its context has ended before the pool ends it by force, and its worker with it. The worker that a job was given to may take as long until it comes to it, and at least 5 s,
   * as it may be loading its file. `Infinity`: never. Default: 200.
   */
  readonly grace?: number
}

/** Takes the place of a task in the pool's queue. */
interface Envelope {
  readonly ctxbridge: 'task'
  readonly version: typeof VERSION
  readonly handle: unknown
  readonly chunks: readonly (readonly [chunk: number, buffer: SharedArrayBuffer])[]
  /** One word: see `waiting`. */
  readonly state: Int32Array
  readonly task: unknown
}

/** Takes the place of a result: pools lose an error's code and causes, each in its own way. */
interface Failed {
  readonly ctxbridge: 'failed'
  /** That of the envelope, so that whoever sent it can read this. */
  readonly version: number
  readonly failure?: unknown
  /** Why the job's result cannot be sent; then it has not failed itself. */
  readonly unsendable?: unknown
}

/**
 * A job that has not begun is either begun by its worker or withdrawn by its caller, whoever is first; and one that has begun either ends or is abandoned, as its pool is through with it before. What
 * fails when it has returned is the pool's, and what it has returned is no failure, whatever it looks like.
 */
const waiting = 0
const begun = 1
const withdrawn = 2
const abandoned = 3
const failed = 4
const returned = 5

/** For a job that its pool is through with, whatever that still does with it: it begins no more, since nobody would end it, and answers nobody. Returns what it was. */
function close(state: Int32Array): number {
  const was = Atomics.compareExchange(state, 0, waiting, withdrawn)
  return was === begun ? Atomics.compareExchange(state, 0, begun, abandoned) : was
}

/**
 * How long, in ms, a worker has at least to come to a job whose context has ended: nothing tells one that is blocked from one that is loading its file; and that would have to begin again, and be ended
 * again, if each job that waits for it had no more than its grace.
 */
const MIN_GRACE_TO_BEGIN = 5_000

/** What a pool does with a job. */
export interface Submission<Result> {
  readonly result: PromiseLike<Result>
  /** Ends the job in the pool's own way, at the cost of its worker. */
  force(): void
  /** Takes a job out of the pool's queue that has not been given to a worker; left out where the pool has no way to do that, or fails at it: then it stays there until its turn, and does not begin. */
  withdraw?(): void
}

/**
 * What goes out on a channel lies at each thread that listens until its event loop turns; and that of a worker of piscina or tinypool does not while it has nothing to do. So after as many
 * messages the next jobs get another channel, and a worker that gets one of them leaves those that it has no job of.
 */
const MAX_POSTED = 256

/** A channel, and how many jobs have it. */
interface Channel {
  readonly exporter: Exporter
  jobs: number
}

let channel: Channel | undefined

/** To be given to `leave` when the job is over. */
function join(): Channel {
  if (channel === undefined || channel.exporter.posted >= MAX_POSTED) {
    if (channel?.jobs === 0) channel.exporter.close()
    channel = { exporter: Exporter.toAnybody(notSent), jobs: 0 }
  }
  channel.jobs++
  return channel
}

function leave(joined: Channel): void {
  if (--joined.jobs === 0 && joined !== channel) joined.exporter.close()
}

/** What `run` was given, read once, wherever it is inherited from: also what only the pool knows. */
export function readRunOptions<Options extends object>(given: Options): Options {
  const options = readOptions('run', given, undefined, (all) => {
    const taken: Partial<Options> = {}
    for (const name in all) taken[name] = all[name]
    return taken as Options
  })
  // The pools' own way to cancel a job, which would be lost here: it aborts by force, at the cost of the worker.
  if ((options as { readonly signal?: unknown }).signal !== undefined)
    throw new TypeError("run() has no option 'signal': make a context that ends with it, by withSignal(ctx, signal).")
  return options
}

/** Not within `runIn`, whose first task and context it would keep. */
function notSent(error: unknown, key: string): void {
  warn(`The value of the portable key ${named(key)} was not sent: ${String(error)}`)
}

/**
 * Runs a job in a pool.
 *
 * @param submit hands the envelope to the pool
 * @param name the job, as an error names it
 */
export function runIn<Result>(
  ctx: Context,
  task: unknown,
  name: string,
  { grace = 200 }: RunOptions,
  submit: (envelope: object) => Submission<Result>,
): Promise<Result> {
  // Asked by its scope: somebody else's context may throw when it is asked itself.
  const scope = scopeOf(ctx, 'run')
  if (typeof name !== 'string') throw new TypeError(`run() needs the name of a job to be a text, but got ${named(name)}.`)
  if (typeof grace !== 'number' || !(grace >= 0)) {
    throw new TypeError(`run() needs 'grace' to be a number of milliseconds, at least 0, but got ${named(grace)}.`)
  }
  if (!canShare()) {
    const isPage = threads === undefined || typeof SharedArrayBuffer === 'function'
    const why = isPage ? 'this page cannot share, as it is not cross-origin isolated' : 'this process has none of'
    throw new TypeError(`run() needs shared memory, which ${why}: wrap() of 'ctxbridge/worker' goes by messages.`)
  }
  if (isOrHasWithin(task)) throw contextWithin()
  const ended = scope.err()
  if (ended !== undefined) return Promise.reject(ended)
  const joined = join()
  const { exporter } = joined
  const grant = exporter.exportForCall(ctx)
  const { handle } = grant
  const state = new Int32Array(new SharedArrayBuffer(4))
  let given = false
  /** For a job that stays in the queue, though its context has ended: its worker may never come to it, as to any other. */
  let countThen: (() => void) | undefined
  let submitted: Submission<Result>
  try {
    submitted = submit({
      ctxbridge: 'task',
      version: VERSION,
      handle,
      chunks: exporter.chunksOf(handle),
      // Read when the pool posts the job to a worker.
      get state() {
        given = true
        countThen?.()
        return state
      },
      task,
    } satisfies Envelope)
  } catch (error) {
    // The pool may have it in its queue all the same.
    submitted = { result: Promise.reject(error), force: () => undefined }
  }
  return new Promise((resolve, reject) => {
    let forget: (() => void) | undefined
    let ignored: BridgeError | undefined
    let isOver = false
    const count = (hasBegun: boolean): void => {
      if (grace === Infinity || isOver) return
      // Nobody waits for one that has not begun: the process does not stay for it.
      forget ??= afterGrace(hasBegun ? grace : Math.max(grace, MIN_GRACE_TO_BEGIN), hasBegun, () => {
        // It has come to its end, and its worker cannot tell that; or its pool takes its time: tinypool does, where it replaces the worker, and does not heed this then.
        const hasEnded = Atomics.load(state, 0) >= failed
        const message = `The job '${name}' ignored its context for ${grace} ms after that had ended, so its pool was told to end it by force.`
        if (!hasEnded) ignored = withoutStack(() => new BridgeError('ERR_CONTEXT_IGNORED', message, { cause: scope.err() }))
        submitted.force()
        if (hasEnded) reject(settled(failed))
      })
    }
    const stop = listen(ctx, () => {
      const hasBegun = Atomics.compareExchange(state, 0, waiting, withdrawn) !== waiting
      if (!hasBegun) reject(scope.err())
      if (hasBegun || given) return count(hasBegun)
      countThen = () => count(false)
      submitted.withdraw?.()
    })
    const settled = (was: number): unknown => {
      if (!isOver) {
        isOver = true
        forget?.()
        stop()
        if (was === begun) grant.abandon()
        else grant.release()
        leave(joined)
      }
      // Also where only the other thread has seen yet that the deadline has passed.
      return ignored ?? scope.err()
    }
    // What is no promise of the platform's may do anything when it is asked.
    Promise.resolve(submitted.result).then(
      (result) => {
        const was = close(state)
        const failure = was !== returned && isFailed(result) ? result : undefined
        const end = settled(was)
        if (was === waiting && failure === undefined) reject(notAJob(name))
        else if (end !== undefined) reject(end)
        else if (failure === undefined) resolve(result)
        else if (typeof failure.unsendable === 'string') reject(unsendable(`result of the job '${name}'`, failure.unsendable))
        else reject(failureFromWire(failure.failure))
      },
      (error: unknown) => {
        const was = close(state)
        const why = was === returned ? notCloned(error) : undefined
        const end = settled(was)
        // Refused: where the pool keeps it all the same, as piscina does, nobody waits for it any more.
        if (was === waiting && !given) submitted.withdraw?.()
        if (end !== undefined) reject(end)
        else if (why !== undefined) reject(unsendable(`result of the job '${name}'`, why))
        else if (was !== waiting || attempt(() => (error as Error).name) !== 'DataCloneError') reject(error)
        else reject(holdsContext([task]) ? contextWithin() : unsendable(`task of the job '${name}'`, messageOf(error)))
      },
    )
  })
}

/** For a context, or a signal, in a task. */
export function contextWithin(): TypeError {
  const what = 'run() cannot send a context, or an AbortSignal, within a task'
  const remedy = 'Make one of two, with merge(ctx, other) or withSignal(ctx, signal)'
  return new TypeError(`${what}: a job has one context, which is the one that run() is given. ${remedy}.`)
}

/** Whoever is no job() takes the envelope for its task, and nobody would notice. */
function notAJob(name: string): TypeError {
  const what = `run() needs the worker's '${name}' to be a job(), but it is another function, which was called without its context`
  return new TypeError(`${what}: write it as job((ctx, task) => ...).`)
}

/** For who sent an envelope of another version: of that nothing else can be read. */
function ofAnother(version: number): BridgeError {
  const both = `the thread that called run() speaks version ${version} of the protocol of threads, the pool's worker ${VERSION}`
  return refusal('ERR_PROTOCOL', `Both threads need the same version of ctxbridge: ${both}.`)
}

function unsendable(what: string, why: string): BridgeError {
  return new BridgeError('ERR_UNSENDABLE', `The ${what} cannot be sent to the other thread: ${why}`)
}

/**
 * Why a result could not be cloned, where a pool's error says that; undefined where it says something else, such as that the worker has exited, which it may when its job has returned. Of
 * Node's `DataCloneError` nothing may be left: an empty object, of piscina and tinypool, whose worker dies of it, and of workerpool an error without a message.
 */
function notCloned(error: unknown): string | undefined {
  const { name, message, code } =
    attempt(() => {
      const { name, message, code } = error as Partial<Error> & { readonly code?: unknown }
      return { name, message, code }
    }) ?? {}
  if (message === undefined || message === '')
    return 'its pool does not say why. Mostly something within it cannot be cloned, as a function cannot, or throws when it is read. Return plain data.'
  return name === 'DataCloneError' || code === 'ERR_MISSING_TRANSFERABLE_IN_TRANSFER_LIST' ? message : undefined
}

const noStreams =
  'what a generator gives does not cross here. Return an array; or send a port with the task, and serve over that with ctxbridge/message-port, which has streams.'

const noContexts = 'a context, or an AbortSignal, is no result: that of a job is over with it.'

/**
 * Why a result cannot be sent; undefined where it can, or where only its pool will tell, which costs most pools the worker. To try each would be to clone it twice, so
 * only what looks like one that cannot be is tried.
 */
function whyUnsendable(result: unknown): string | undefined {
  // Of a signal Node would make an empty object.
  if (isOrHasWithin(result)) return noContexts
  const given = isStream(result)
  if (!given && typeof result !== 'function' && typeof result !== 'symbol') return undefined
  try {
    structuredClone(result)
    return undefined
  } catch (error) {
    return given ? noStreams : messageOf(error)
  }
}

/** By the names of their channels. */
const importers = new Map<string, Importer>()

/** Leaves the channels of that table that this worker has no job of any more. */
function leaveOthers(table: number): void {
  for (const [name, importer] of importers) {
    if (importer.table !== table || importer.size > 0) continue
    importers.delete(name)
    importer.close(new LinkLostError('The pool has another channel by now.'))
  }
}

export interface JobOptions {
  /** The portable keys whose values are taken over from the caller's context. Values of other keys are dropped. */
  readonly keys?: readonly Key<unknown>[]
}

/**
 * A function for a pool's worker file, which `run` calls there: `export default job((ctx, task) => ...)`. Its context ends with the caller's, for the same
 * reason, also in a loop that never yields; when the job is over, or its pool is through with it before, it is cancelled here. A job whose context has ended before it begins is not called.
 * What it throws rejects `run`, by kind, name, message, code, causes and stack; what it returns goes the pool's own way, and where it cannot be cloned, `run` rejects with a `BridgeError` of code
 * `ERR_UNSENDABLE`.
 *
 * @throws TypeError when `f` is no function, or a key is not portable; the returned one throws it when it is called other than by `run`
 */
export function job<Task, Result>(
  f: (ctx: Context, task: Task) => Result,
  options: JobOptions = {},
): (task: Task) => Promise<Awaited<Result>> {
  if (typeof f !== 'function') throw new TypeError(`job() needs a function, but got ${named(f)}.`)
  const keys = portableKeys(
    'job',
    readOptions('job', options, ['keys'], ({ keys = [] }) => keys),
  )
  return async (envelope: unknown): Promise<Awaited<Result>> => {
    if (!isEnvelope(envelope)) {
      const version = attempt(() => versionOf(envelope))
      if (version === undefined || version === VERSION)
        throw new TypeError('A job() needs its context: call it with run(pool, ctx, task), not by the pool itself.')
      return { ctxbridge: 'failed', version, failure: failureToWire(ofAnother(version)) } satisfies Failed as never
    }
    const ctx = importFrom(envelope, keys)
    let over = failed
    try {
      if (Atomics.compareExchange(envelope.state, 0, waiting, begun) !== waiting) return undefined as never
      ctx.throwIfDone()
      const result = await f(ctx, envelope.task as Task)
      const unsendable = whyUnsendable(result)
      if (unsendable !== undefined) return { ctxbridge: 'failed', version: VERSION, unsendable } satisfies Failed as never
      over = returned
      return result
    } catch (error) {
      const failure = failureToWire(error)
      return { ctxbridge: 'failed', version: VERSION, failure } satisfies Failed as never
    } finally {
      ctx[dispose]()
      // A pool takes it for a fault of its own when it hears of a job that it is through with; tinypool throws it to nobody.
      if (Atomics.exchange(envelope.state, 0, over) === abandoned) await new Promise(() => undefined)
    }
  }
}

function isFailed(result: unknown): result is Failed {
  const failed = result as Partial<Failed> | null
  return typeof failed === 'object' && failed !== null && failed.ctxbridge === 'failed' && failed.version === VERSION
}

/** That of an envelope, of whichever version; undefined for what is none. */
function versionOf(value: unknown): number | undefined {
  const { ctxbridge, version } = value as { readonly ctxbridge?: unknown; readonly version?: unknown }
  return ctxbridge === 'task' && typeof version === 'number' ? version : undefined
}

function isEnvelope(value: unknown): value is Envelope {
  const envelope = value as Partial<Envelope> | null
  try {
    return (
      typeof envelope === 'object' &&
      envelope !== null &&
      envelope.ctxbridge === 'task' &&
      envelope.version === VERSION &&
      Array.isArray(envelope.chunks) &&
      envelope.chunks.every(isChunk) &&
      isInt32Array(envelope.state)
    )
  } catch {
    // It did not come from a pool: a getter or a proxy of somebody else's threw.
    return false
  }
}

function isChunk(chunk: unknown): boolean {
  return Array.isArray(chunk) && Number.isInteger(chunk[0]) && isSharedMemory(chunk[1])
}

function importFrom({ handle, chunks }: Envelope, keys: readonly Key<unknown>[]): CancelableContext {
  const parsed = isHandle(handle) ? parseHandle(handle) : undefined
  if (parsed === undefined) return refused('it is damaged, or of another version')
  const base = baseOf(parsed, keys)
  if (parsed.end !== undefined) return importEnded(parsed.end, base)
  const { table, link } = parsed
  const name = channelOf(table, link)
  let importer = importers.get(name)
  if (importer === undefined) {
    leaveOthers(table)
    keepSpecimens(true)
    importer = new Importer({ table, link, chunks: [], port: new BroadcastChannel(name) }, () => undefined)
    importers.set(name, importer)
  }
  for (const [number, chunk] of chunks) importer.attach(number, chunk)
  // Given back when the job is over. A pool's worker may go from job to job without a turn of its event loop, and what is registered to be
  // given back when collected is only let go of in one.
  const mayBeDropped = false
  return importer.import(parsed, base, parsed.why === undefined ? undefined : reviveCause(parsed.why), mayBeDropped)
}
