/** Contexts in worker threads: calls whose arguments may be contexts, and below them handles for messages of one's own. */
export { expose } from './expose.ts'
export type { ContextHandle } from './handle.ts'
export { isLinkMessage, type Link, link, type LinkOptions, type LinkStats } from './link.ts'
export type { WorkerEndpoint } from './endpoint.ts'
export { sleepSync } from './sleep-sync.ts'
export { type Remote, wrap, type WrapOptions } from './wrap.ts'
