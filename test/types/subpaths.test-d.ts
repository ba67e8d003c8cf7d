/** Every public name leads to declarations, and all of them are checked with the compiler that reads this. */

import type * as core from 'ctxbridge'
import type * as comlink from 'ctxbridge/comlink'
// @ts-expect-error what has no subpath cannot be reached
import type * as inside from 'ctxbridge/dist/lib/context.js'
import type * as port from 'ctxbridge/message-port'
import type * as node from 'ctxbridge/node'
import type * as piscina from 'ctxbridge/piscina'
import type * as testing from 'ctxbridge/testing'
import type * as tinypool from 'ctxbridge/tinypool'
import type * as trace from 'ctxbridge/trace'
import type * as websocket from 'ctxbridge/websocket'
import type * as worker from 'ctxbridge/worker'
import type * as workerpool from 'ctxbridge/workerpool'

export type Everything = [
  typeof core,
  typeof comlink,
  typeof inside,
  typeof node,
  typeof piscina,
  typeof port,
  typeof testing,
  typeof tinypool,
  typeof trace,
  typeof websocket,
  typeof worker,
  typeof workerpool,
]
