/** What an endpoint tells of the other thread, whichever kind it is: its messages, and its end. */

import type { Worker as NodeWorker } from 'node:worker_threads'
import { type Emitter, listenTo } from '../../lib/bridge/port.ts'
import { LinkLostError } from '../../lib/errors.ts'
import { report } from '../../lib/spread.ts'
import { isWebWorker, type WorkerEndpoint } from './endpoint.ts'
import { threads } from './host.ts'

export interface EndpointWatcher {
  message(data: unknown): void
  /** A message could not be read. */
  garbled(error: unknown): void
  /** Nothing comes any more. May be called again. */
  lost(why: LinkLostError): void
  /** Nothing will come, unless something does: its script failed before anything was heard from it. */
  failed(why: LinkLostError): void
  /** Whether somebody will be told of a loss. */
  isAwaited(): boolean
}

/** Listens to an endpoint, until the function returned is called. */
export function watchEndpoint(endpoint: WorkerEndpoint, watcher: EndpointWatcher): () => void {
  if (isNodeWorker(endpoint)) return watchWorker(endpoint, watcher)
  const port = endpoint as unknown as Emitter
  return isWebWorker(endpoint) ? watchWebWorker(port, watcher) : listen(port, watcher)
}

export function isNodeWorker(endpoint: unknown): endpoint is NodeWorker {
  return threads !== undefined && endpoint instanceof threads.Worker
}

function listen(port: Emitter, watcher: EndpointWatcher): () => void {
  return listenTo(port, {
    message: (data) => watcher.message(data),
    closed: () => watcher.lost(new LinkLostError('The port to the other thread was closed.')),
    garbled: (error) => watcher.garbled(error),
  })
}

function watchWorker(worker: NodeWorker, watcher: EndpointWatcher): () => void {
  let uncaught: { readonly error: unknown; readonly heard: boolean } | undefined
  const message = (data: unknown): void => watcher.message(data)
  const garbled = (error: unknown): void => watcher.garbled(error)
  const error = (error: unknown): void => {
    uncaught = { error, heard: worker.listenerCount('error') > 1 }
  }
  // It comes after 'error', and always; an answer that came just before has reached its caller by now.
  const exit = (code: number): void => {
    // By listening we have kept it from being thrown. Where nobody else heard of it, and no caller will, it is.
    if (uncaught?.heard === false && !watcher.isAwaited()) report(uncaught.error)
    const options = uncaught === undefined ? undefined : { cause: uncaught.error }
    watcher.lost(new LinkLostError(`The worker exited with code ${code}.`, options))
  }
  worker.on('message', message).on('messageerror', garbled).once('exit', exit)
  // First, since whoever listens by `once` has gone when it has heard.
  worker.prependListener('error', error)
  return () => {
    worker.off('message', message).off('messageerror', garbled).off('error', error)
    // What is uncaught by now may still have to be reported at the exit: the calls that end with this do not tell of it.
    if (uncaught === undefined) worker.off('exit', exit)
  }
}

/** A browser tells of a script that cannot be loaded, or fails at once, and of nothing after it: a worker survives its exceptions. */
function watchWebWorker(worker: Emitter, watcher: EndpointWatcher): () => void {
  let starting = true
  const failed = (event: { readonly message?: string }): void => {
    watcher.failed(
      new LinkLostError(`The worker could not be started${event.message === undefined ? '' : `: ${event.message}`}.`),
    )
  }
  const started = (): void => {
    if (starting) worker.removeEventListener('error', failed as never)
    starting = false
  }
  const message = (data: unknown): void => {
    started()
    watcher.message(data)
  }
  worker.addEventListener('error', failed as never)
  const stop = listen(worker, { ...watcher, message })
  return () => {
    started()
    stop()
  }
}
