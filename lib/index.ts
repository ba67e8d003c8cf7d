/** Go's `context` for TypeScript, whose tree crosses every boundary that a program has. */
export {
  afterFunc,
  background,
  type CancelableContext,
  type CancelFunc,
  cause,
  type Context,
  createRoot,
  todo,
  withCancel,
  withDeadline,
  withoutCancel,
  withTimeout,
  withValue,
} from './context.ts'
export { merge } from './merge.ts'
export type { Clock, Timer } from './clock.ts'
export {
  BridgeError,
  type BridgeErrorCode,
  CanceledError,
  ContextError,
  DeadlineExceededError,
  isCanceled,
  isDeadlineExceeded,
  type Kind,
  LinkLostError,
  RemoteError,
} from './errors.ts'
export { type Group, type GroupOptions, group } from './group.ts'
export { type Codec, createKey, type Key, type KeyOptions } from './key.ts'
export { withSignal } from './signal.ts'
export { race, sleep } from './wait.ts'
