/**
 * The figure of the README: how long a cancel takes to arrive, by three ways, beside the limit of each and what else there is. A picture of its own that
 * follows the reader's choice of light or dark, and the first thing on the page of a run.
 */
import { anchorOf, logAxis, pretty, tickText } from './axis.ts'
import { tailOf } from './charts.ts'
import type { Kind, Run, SuiteResult } from './model.ts'
import { escape } from './text.ts'

interface Row {
  /** Of a contender in the results. */
  readonly name: string
  readonly label: string
}

interface Panel {
  readonly suite: string
  readonly title: string
  readonly rows: readonly Row[]
}

const panels: readonly Panel[] = [
  {
    suite: 'worker/busy',
    title: 'into a busy loop of a worker thread',
    rows: [
      { name: 'bare Atomics flag', label: 'limit: a bare Atomics flag' },
      { name: 'ctx.err()', label: 'ctxbridge' },
      { name: 'vscode-jsonrpc, shared memory', label: 'vscode-jsonrpc' },
      { name: 'transferableAbortSignal', label: 'transferableAbortSignal' },
      { name: 'Comlink, handler by hand', label: 'Comlink, by hand' },
    ],
  },
  {
    suite: 'worker/idle',
    title: 'to a listener in an idle worker thread',
    rows: [
      { name: 'bare MessagePort, long-lived', label: 'limit: a bare MessagePort' },
      { name: 'bare Atomics.waitAsync', label: 'limit: a bare waitAsync' },
      { name: 'afterFunc(ctx, f)', label: 'ctxbridge, afterFunc' },
      { name: "ctx.signal, 'abort' listener", label: "ctxbridge, 'abort'" },
      { name: 'vscode-jsonrpc, messages', label: 'vscode-jsonrpc' },
      { name: "vscode-jsonrpc, messages, to an 'abort' listener", label: "vscode-jsonrpc, 'abort'" },
      { name: 'transferableAbortSignal', label: 'transferableAbortSignal' },
      { name: 'Comlink, handler by hand', label: 'Comlink, by hand' },
    ],
  },
  {
    suite: 'websocket/cancel',
    title: 'to a handler in another process, over a WebSocket',
    rows: [
      { name: 'bare ws frame of the same size', label: 'limit: a bare ws frame' },
      { name: 'ctxbridge/websocket, afterFunc', label: 'ctxbridge, afterFunc' },
      { name: "ctxbridge/websocket, 'abort' listener", label: "ctxbridge, 'abort'" },
      { name: 'socket.io, an event by hand', label: 'socket.io, by hand' },
      { name: 'vscode-jsonrpc over a socket', label: 'vscode-jsonrpc' },
      { name: 'tRPC over WebSocket, unsubscribe()', label: 'tRPC' },
      { name: 'grpc-js, call.cancel()', label: 'grpc-js' },
      { name: 'connect, an AbortSignal', label: 'connect' },
      { name: 'fetch abort', label: 'fetch abort' },
    ],
  },
]

/** What is shown of one contender. */
interface Shown {
  readonly label: string
  readonly kind: Kind
  readonly p50?: number
  readonly tail?: number
}

/** Where things are. On a phone a name stands above its line, as the values do. */
interface Layout {
  readonly width: number
  /** Of the axis. */
  readonly start: number
  readonly end: number
  readonly rowHeight: number
  readonly namesAbove: boolean
  /** Where the two columns of values end. */
  readonly p50: number
  readonly tail: number
}

const wide: Layout = { width: 840, start: 210, end: 660, rowHeight: 24, namesAbove: false, p50: 736, tail: 832 }
const narrow: Layout = { width: 400, start: 6, end: 392, rowHeight: 38, namesAbove: true, p50: 316, tail: 392 }

function shown({ rows }: Panel, { results, absent }: SuiteResult, tail: Tail): Shown[] {
  return rows.flatMap(({ name, label }): Shown[] => {
    const result = results.find((one) => one.name === name)
    if (result !== undefined) return [{ label, kind: result.kind, p50: result.p50, tail: result[tail] ?? result.p90 }]
    const missing = absent.find((one) => one.name === name)
    // One that failed here says nothing of what it can do; one that cannot, does.
    return missing === undefined || missing.failed ? [] : [{ label, kind: missing.kind }]
  })
}

type Tail = 'p90' | 'p99'

/** Which percentile it shows beside the median: one of which all that it shows have samples enough. */
export function headlineTail({ suites }: Run): Tail {
  const all = panels.flatMap(({ suite, rows }) =>
    suites
      .filter(({ id }) => id === suite)
      .flatMap(({ results }) => results.filter(({ name }) => rows.some((row) => row.name === name))),
  )
  return tailOf(all)
}

/** The parts of the picture and its height; undefined where the run has none of the three ways. */
function draw(run: Run, layout: Layout): { readonly parts: readonly string[]; readonly height: number } | undefined {
  const percentile = headlineTail(run)
  const found = panels.flatMap((panel) => {
    const suite = run.suites.find(({ id }) => id === panel.suite)
    const rows = suite === undefined ? [] : shown(panel, suite, percentile)
    return rows.some(({ kind, p50 }) => kind === 'ours' && p50 !== undefined) ? [{ title: panel.title, rows }] : []
  })
  if (found.length === 0) return undefined
  const values = found.flatMap(({ rows }) => rows.flatMap(({ p50 = 0, tail = 0 }) => [p50, tail])).filter((value) => value > 0)
  const { start, end, rowHeight, namesAbove } = layout
  const axis = logAxis(values, start, end)
  const parts: string[] = []
  let y = 8
  const top = y + 18
  for (const { title, rows } of found) {
    y += 20
    parts.push(`<text class="title" x="0" y="${y}">${escape(title)}</text>`)
    y += 8
    for (const { label, kind, p50, tail } of rows) {
      const own = kind === 'ours' ? ' own' : ''
      const middle = namesAbove ? y + 26 : y + rowHeight / 2
      const base = namesAbove ? y + 15 : middle + 4
      parts.push(
        `<text class="label${own}" ${namesAbove ? 'x="0"' : `x="${start - 14}" text-anchor="end"`} y="${base}">${escape(label)}</text>`,
      )
      if (p50 === undefined || tail === undefined) {
        const never = namesAbove ? 'never: it would have to yield' : 'never: the loop would have to yield'
        parts.push(
          `<text class="label" ${namesAbove ? `x="${layout.tail}" text-anchor="end"` : `x="${start}"`} y="${base}">${never}</text>`,
        )
      } else {
        parts.push(
          `<line class="tail ${kind}" x1="${axis.at(p50)}" x2="${axis.at(tail)}" y1="${middle}" y2="${middle}"/>`,
          `<line class="tick ${kind}" x1="${axis.at(tail)}" x2="${axis.at(tail)}" y1="${middle - 5}" y2="${middle + 5}"/>`,
          `<circle class="${kind}" cx="${axis.at(p50)}" cy="${middle}" r="${kind === 'ours' ? 6 : 5}"/>`,
          `<text class="label${own}" x="${layout.p50}" y="${base}" text-anchor="end">${pretty(p50, 'ns')}</text>`,
          `<text class="label" x="${layout.tail}" y="${base}" text-anchor="end">${pretty(tail, 'ns')}</text>`,
        )
      }
      y += rowHeight
    }
    y += 8
  }
  const grid = axis.ticks.map((tick) => {
    const x = axis.at(tick)
    const text = tickText(tick, 'ns')
    return `<line class="grid" x1="${x}" x2="${x}" y1="${top}" y2="${y}"/><text class="label" x="${x}" y="${y + 16}" text-anchor="${anchorOf(x, text, layout.width)}">${text}</text>`
  })
  const heads = `<text class="label" x="${layout.p50}" y="14" text-anchor="end">p50</text><text class="label" x="${layout.tail}" y="14" text-anchor="end">${percentile}</text>`
  return { parts: [...grid, heads, ...parts], height: y + 24 }
}

function description(run: Run): string {
  return `How long a cancel takes to arrive: median and ${headlineTail(run).slice(1)}th percentile, of ctxbridge, of the physical limit, and of others`
}

/** For a page, which has the colours, and shows one of the two. */
export function headlineChart(run: Run): string {
  const charts = (
    [
      ['wide', wide],
      ['narrow', narrow],
    ] as const
  ).flatMap(([name, layout]) => {
    const drawn = draw(run, layout)
    if (drawn === undefined) return []
    return `<svg class="${name}" viewBox="0 0 ${layout.width} ${drawn.height}" role="img" aria-label="${description(run)}">${drawn.parts.join('')}</svg>`
  })
  return charts.join('')
}

const style = `text{font:13px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;fill:#57606a}.title{fill:#1b1f24;font-weight:600}.own{fill:#0969da;font-weight:600}
.grid{stroke:#e1e6eb}.tail{stroke-width:2.5;opacity:.55}.tick{stroke-width:2;opacity:.7}
.ours{fill:#0969da;stroke:#0969da}.limit{fill:#6e7781;stroke:#6e7781}.platform{fill:#9a6700;stroke:#9a6700}.peer{fill:#bc4c00;stroke:#bc4c00}circle{stroke:none}
@media (prefers-color-scheme:dark){text{fill:#9aa5b1}.title{fill:#e6edf3}.own{fill:#58a6ff}.grid{stroke:#30363d}.ours{fill:#58a6ff;stroke:#58a6ff}.limit{fill:#9aa5b1;stroke:#9aa5b1}.platform{fill:#e3b341;stroke:#e3b341}.peer{fill:#ff9351;stroke:#ff9351}}`

/**
 * A picture by itself, on no background.
 *
 * @throws TypeError when the run has measured none of the ways that it shows
 */
export function headlineSvg(run: Run): string {
  const drawn = draw(run, wide)
  if (drawn === undefined) throw new TypeError('A headline needs results of worker/busy, worker/idle or websocket/cancel.')
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${wide.width} ${drawn.height}" width="${wide.width}" role="img" aria-label="${description(run)}"><style>${style}</style>${drawn.parts.join('')}</svg>\n`
}
