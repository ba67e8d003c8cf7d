/**
 * What differs between the threads of Node and those of browsers, found at run time: no module of Node is imported, so the same
 * files run in both, whoever bundles them.
 */

type NodeThreads = typeof import('node:worker_threads')

const { process: node } = globalThis as { readonly process?: NodeJS.Process }

/** Node's threads, where this is Node. */
export const threads: NodeThreads | undefined =
  node?.versions?.node === undefined ? undefined : node.getBuiltinModule('node:worker_threads')

/** Whether it is a proxy, as far as anybody can tell: where nobody can, in a browser, the platform takes none for what is behind it. */
export const isProxy: (value: unknown) => boolean =
  threads === undefined ? () => false : (node?.getBuiltinModule('node:util').types.isProxy ?? (() => false))

/** Whether this is the thread that a program begins with: it is not to be blocked. */
export const isMainThread: boolean =
  threads?.isMainThread ?? typeof (globalThis as { WorkerGlobalScope?: unknown }).WorkerGlobalScope === 'undefined'

/** Whether other threads can be given memory of this one. A page that is not cross-origin isolated may have the class, and yet not share it. */
export function canShare(): boolean {
  return (
    typeof SharedArrayBuffer === 'function' && (globalThis as { crossOriginIsolated?: boolean }).crossOriginIsolated !== false
  )
}

// Taken at import, as lib/clock.ts takes its own.
const hrtime = threads === undefined ? undefined : node?.hrtime

/** Now, in ms, by a clock that all threads of the process share. Browsers have none. */
export const sharedNow: (() => number) | undefined = hrtime && (() => Number(hrtime.bigint()) / 1e6)

/** A random Int32 that is not negative. */
export function randomId(): number {
  return (crypto.getRandomValues(new Int32Array(1))[0] ?? 0) & 0x7fffffff
}

/** Calls `f` when this thread ends by itself, or by `process.exit()`, unless it is the main one, with which all others end. Nobody tells of a `terminate()`, and a browser of no end. */
export function beforeExit(f: () => void): void {
  if (!isMainThread) node?.on?.('exit', f)
}

/** Says something to the developer that is nobody's rejection. */
export function warn(message: string): void {
  if (typeof node?.emitWarning === 'function') node.emitWarning(message, { type: 'CtxbridgeWarning' })
  // oxlint-disable-next-line no-console -- where else would a browser say it?
  else console.warn(`ctxbridge: ${message}`)
}
