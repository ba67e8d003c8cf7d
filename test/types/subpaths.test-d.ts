/** Every public name leads to declarations, and all of them are checked with the compiler that reads this. */

import type * as core from 'ctxbridge'
// @ts-expect-error what has no subpath cannot be reached
import type * as inside from 'ctxbridge/dist/lib/context.js'
import type * as node from 'ctxbridge/node'
import type * as websocket from 'ctxbridge/websocket'
import type * as worker from 'ctxbridge/worker'

export type Everything = [typeof core, typeof node, typeof websocket, typeof worker, typeof inside]
